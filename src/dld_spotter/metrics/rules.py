"""How words are counted: a protocol, a task, a threshold and a lexicon, in one value."""

from collections.abc import Sequence
from dataclasses import dataclass

from dld_spotter.core.errors import ConfigError
from dld_spotter.core.instances import TextInstances
from dld_spotter.core.words import Word
from dld_spotter.metrics.lexicons import Lexicon
from dld_spotter.metrics.matching import ImageCounts, ImageMatch, match_images
from dld_spotter.metrics.protocols import Task, check_task, find_protocol


@dataclass(frozen=True)
class Rules:
    """How words are counted; see :mod:`dld_spotter.metrics.protocols`."""

    protocol: str = "rrc"
    task: Task = "end_to_end"
    iou: float = 0.5
    lexicon: Lexicon | None = None

    def __post_init__(self) -> None:
        find_protocol(self.protocol)
        check_task(self.task)
        if not isinstance(self.iou, int | float) or not 0 <= self.iou < 1:
            raise ConfigError(f"iou={self.iou} must be a number from 0 to below 1; 0.5 is usual")

    @property
    def lexicon_name(self) -> str:
        """Name and policy of the lexicon, or none."""
        return "none" if self.lexicon is None else f"{self.lexicon.name}, {self.lexicon.policy}"

    def match(self, name: str, truth: TextInstances, words: Sequence[Word]) -> ImageMatch:
        """Match one image; overlaps that decide nothing are left out."""
        lexicon = None if self.lexicon is None else self.lexicon.of(name)
        return match_images([truth], [words], self.protocol, self.task, self.iou, [lexicon], exact=False)[0]

    def count(self, name: str, truth: TextInstances, words: Sequence[Word]) -> ImageCounts:
        """Count one image."""
        return self.match(name, truth, words).counts
