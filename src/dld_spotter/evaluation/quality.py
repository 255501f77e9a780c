"""Gathers what Hmean does not tell of words while a data set is read: how far scores can be believed, and exact case."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dld_spotter.core.words import Word
from dld_spotter.metrics.matching import ImageMatch
from dld_spotter.metrics.reliability import WordQuality

if TYPE_CHECKING:
    from dld_spotter.core.batches import Sample
    from dld_spotter.evaluation.measuring import Counting
    from dld_spotter.inference.predictor import Reading

PICTURE = "reliability.png"


@dataclass
class QualityCollector:
    """Called with every image that is read and its reading.

    Args:
        counting: how words are counted.
    """

    counting: "Counting"
    images: list[tuple[ImageMatch, list[Word]]] = field(default_factory=list)

    def __call__(self, sample: "Sample", reading: "Reading") -> None:
        """Match the words of an image."""
        words = self.counting.form.as_read(reading.words, keep_scores=True)
        self.images.append((self.counting.rules.match(sample.name, sample.instances, words), words))

    @property
    def quality(self) -> WordQuality:
        """Of all that was read."""
        return WordQuality.of(self.images)

    def leave(self, folder: Path) -> Mapping[str, Any]:
        """Draw the reliability diagram into a folder where there are words; returns what belongs into ``evaluation.json``."""
        quality = self.quality
        if quality.reliability.bins:
            quality.reliability.draw(folder / PICTURE, "Reliability of scores")
        return quality.to_dict()

    def __str__(self) -> str:
        quality = self.quality
        if quality.reliability.error is None:
            return "no prediction counts"
        case = "" if quality.exact_case is None else f"; of the matches, exact in case: {100 * quality.exact_case:.1f} %"
        return f"expected calibration error of scores: {quality.reliability.error:.3f} ({PICTURE}){case}"
