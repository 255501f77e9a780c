"""How far scores can be believed, and letters be copied: reliability of scores, and words that are right in their case too."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from dld_spotter.core.arrays import Floats
from dld_spotter.core.words import Word
from dld_spotter.metrics.matching import ImageMatch

BINS = 10
"""Of equal width, as in arXiv 1706.04599, figure 1."""


def scored_words(match: ImageMatch, words: Sequence[Word]) -> Floats:
    """Score of each prediction that counts, and whether it is right, ``(D', 2)``.

    Args:
        match: of an image.
        words: its D predictions in the order of the match, with the scores to be judged.
    """
    right = np.zeros(len(words))
    right[match.pairs[match.correct, 1]] = 1
    scores = np.array([word.score for word in words], float)
    return np.stack([scores, right], axis=1)[~match.ignored_words]


def right_in_case(match: ImageMatch, words: Sequence[Word]) -> tuple[int, int]:
    """How many pairs are right, and how many of these in every capital and small letter, before a lexicon corrected them."""
    right = match.pairs[match.correct].tolist()
    return len(right), sum(match.truths[a] == words[b].text for a, b in right)


@dataclass(frozen=True)
class Bin:
    """Words whose score lies in one part of 0..1.

    Args:
        words: how many.
        score: their mean score.
        right: share of them that is right.
    """

    words: int
    score: float
    right: float


@dataclass(frozen=True)
class Reliability:
    """Scores beside what came true.

    Args:
        bins: those with words, ascending.
    """

    bins: tuple[Bin, ...]

    @classmethod
    def of(cls, scored: Floats) -> Self:
        """Of words ``(N, 2)``: score, and 1 where right."""
        place = np.minimum((scored[:, 0] * BINS).astype(int), BINS - 1)
        parts = [scored[place == k] for k in range(BINS)]
        return cls(tuple(Bin(len(part), *part.mean(0).tolist()) for part in parts if len(part)))

    @property
    def error(self) -> float:
        """Expected calibration error (arXiv 1706.04599, equation 3); NaN without words."""
        words = np.array([one.words for one in self.bins], float)
        apart = np.array([abs(one.score - one.right) for one in self.bins])
        return float(words @ apart / words.sum()) if len(words) else float("nan")

    def draw(self, path: Path, title: str) -> None:
        """Draw the reliability diagram: a bar a bin, beside the diagonal on which scores can be believed."""
        from matplotlib.figure import Figure  # takes long to import, and only pictures need it

        figure = Figure(figsize=(4.6, 4.4), layout="constrained")
        axes = figure.subplots()
        places = [(min(int(one.score * BINS), BINS - 1) + 0.5) / BINS for one in self.bins]
        bars = axes.bar(places, [one.right for one in self.bins], 0.92 / BINS, color="#1f6fb4")
        axes.bar_label(bars, [str(one.words) for one in self.bins], fontsize=8, color="#555555")
        axes.plot([0, 1], [0, 1], color="#c1272d", linestyle="--", linewidth=1.4)
        axes.plot([one.score for one in self.bins], [one.right for one in self.bins], "o", color="#222222", markersize=4)
        axes.set(xlim=(0, 1), ylim=(0, 1.08), xlabel="score", ylabel="share of words that are right")
        axes.set_title(f"{title}\nexpected calibration error {self.error:.3f}", loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, dpi=160)


@dataclass(frozen=True)
class WordQuality:
    """What Hmean does not tell of words.

    Args:
        reliability: of scores.
        right: words that are right by the protocol.
        in_case: those among them that are right in every capital and small letter.
    """

    reliability: Reliability
    right: int
    in_case: int

    @classmethod
    def of(cls, images: Iterable[tuple[ImageMatch, Sequence[Word]]]) -> Self:
        """Of matches, each with its predictions in the order of the match and the scores to be judged."""
        images = list(images)
        scored = [np.zeros((0, 2)), *(scored_words(match, words) for match, words in images)]
        counts = np.array([(0, 0), *(right_in_case(match, words) for match, words in images)]).sum(0).tolist()
        return cls(Reliability.of(np.concatenate(scored)), *counts)

    @property
    def exact_case(self) -> float:
        """Share of the words that are right which is so in every letter; NaN where none is right."""
        return self.in_case / self.right if self.right else float("nan")

    def to_dict(self) -> Mapping[str, Any]:
        """Plain values, null where there is no word."""
        error, case = (None if np.isnan(value) else value for value in (self.reliability.error, self.exact_case))
        bins = [vars(one) for one in self.reliability.bins]
        return {"expected_calibration_error": error, "exact_case": case, "reliability": bins}
