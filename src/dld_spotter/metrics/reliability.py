"""How far scores can be believed, and whether words that are right are so in every capital and small letter."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from dld_spotter.core.arrays import Floats
from dld_spotter.core.files import whole
from dld_spotter.core.words import Word
from dld_spotter.metrics.matching import ImageMatch

BINS = 10
"""Bins of scores from 0 to 1, of equal width."""


@dataclass(frozen=True)
class ScoreBin:
    """Predictions that count whose score lies from ``low`` to below ``high``: how many, their mean score, share of matches."""

    low: float
    high: float
    predictions: int
    score: float
    right: float


@dataclass(frozen=True)
class Reliability:
    """Score bins that hold a prediction, and the expected calibration error (arXiv 1706.04599, equation 3), else None."""

    bins: tuple[ScoreBin, ...]
    error: float | None

    @classmethod
    def of(cls, scored: Floats) -> Self:
        """Compare scores with how often predictions are matches.

        Args:
            scored: ``(N, 2)``, the score of each prediction that counts, and 1 where it is a match.
        """
        place = np.clip((scored[:, 0] * BINS).astype(int), 0, BINS - 1)
        bins, error = [], 0.0
        for k in np.unique(place).tolist():
            inside = scored[place == k]
            score, right = inside.mean(0).tolist()
            bins.append(ScoreBin(k / BINS, (k + 1) / BINS, len(inside), score, right))
            error += len(inside) / len(scored) * abs(score - right)
        return cls(tuple(bins), error if bins else None)

    def draw(self, path: Path, title: str) -> None:
        """Draw the reliability diagram: a bar a bin, beside the diagonal on which scores can be believed."""
        from matplotlib.figure import Figure  # takes long to import, and only pictures need it

        figure = Figure(figsize=(4.6, 4.4), layout="constrained")
        axes = figure.subplots()
        middles, heights = [(one.low + one.high) / 2 for one in self.bins], [one.right for one in self.bins]
        bars = axes.bar(middles, heights, 0.92 / BINS, color="#1f6fb4")
        axes.bar_label(bars, [str(one.predictions) for one in self.bins], fontsize=8, color="#555555")
        axes.plot([0, 1], [0, 1], color="#c1272d", linestyle="--", linewidth=1.4)
        axes.plot([one.score for one in self.bins], heights, "o", color="#222222", markersize=4)
        axes.set(xlim=(0, 1), ylim=(0, 1.08), xlabel="score", ylabel="share of predictions that are right")
        error = "" if self.error is None else f"\nexpected calibration error {self.error:.3f}"
        axes.set_title(title + error, loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        with whole(path) as partial:
            figure.savefig(partial, format=path.suffix[1:], dpi=160)


def scored_words(match: ImageMatch, words: Sequence[Word]) -> Floats:
    """Score of each prediction that counts, and 1 where it is a match, ``(D', 2)``.

    Args:
        match: of an image.
        words: its D predictions in the order of the match, with the scores to be judged.
    """
    right = np.zeros(len(words))
    right[match.pairs[match.correct, 1]] = 1
    scores = np.array([word.score for word in words], float)
    counted: Floats = np.stack([scores, right], axis=1)[~match.ignored_words]
    return counted


def exact_case(truth: str, read: str, corrected: str | None) -> bool | None:
    """Whether a match is written as in the truth; None where the lexicon has changed more than the case.

    Args:
        truth: the true text.
        read: what was read.
        corrected: what the lexicon has made of it; None where it has dropped it.
    """
    if corrected is None or read.upper() != corrected.upper():
        return None
    forms = (truth, truth[1:], truth[:-1], truth[1:-1])  # those that a protocol may have accepted
    return read in [form for form in forms if form.upper() == read.upper()]


@dataclass(frozen=True)
class WordQuality:
    """What Hmean does not tell of words.

    Args:
        reliability: of scores.
        exact_case: of the matches whose case is known, share in the truth's case; None where there is none.
    """

    reliability: Reliability
    exact_case: float | None

    @classmethod
    def of(cls, images: Iterable[tuple[ImageMatch, Sequence[Word]]]) -> Self:
        """Of matches, each with its predictions in the order of the match and the scores to be judged."""
        scored, cases = [np.zeros((0, 2))], []
        for match, words in images:
            scored.append(scored_words(match, words))
            right = match.pairs[match.correct].tolist()
            cases += [exact_case(match.truths[t], words[w].text, match.words[w].text) for t, w in right]
        known = [case for case in cases if case is not None]
        return cls(Reliability.of(np.concatenate(scored)), float(np.mean(known)) if known else None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)
