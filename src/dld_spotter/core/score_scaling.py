"""From the scores of words to how likely they are right. Needs no torch."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from dld_spotter.core.arrays import Floats
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.records import Record

SCORE_SCALING = "score_scaling"
"""What checkpoints and exports call it."""
SUREST = 1e-4
"""Scores are taken to be at least this and at most 1 less it: their log-odds stay finite."""
STEPS = 50
"""Of Newton's method, which takes about six."""
STIFFNESS = 1e-6
"""Added to the curvature, so that words that are all right, or all of one score, still have a solution."""


@dataclass(frozen=True)
class ScoreScaling(Record):
    """Platt scaling (Platt 1999; arXiv 1706.04599, section 4): ``sigmoid(slope * log-odds of the score + offset)``.

    Args:
        slope: above 0, so that the order of words stays.
        offset: of the log-odds.
    """

    remedy: ClassVar[str] = "run fit_operating_points again"

    slope: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.slope < np.inf and np.isfinite(self.offset)):
            raise ConfigError(f"scores are scaled by a slope above 0 and an offset, found {self}")

    def __call__(self, scores: Floats) -> Floats:
        """Probabilities of scores in 0..1, of the same shape.

        >>> ScoreScaling()(np.array([0.25, 0.5])).round(3).tolist()
        [0.25, 0.5]
        """
        return _sigmoid(self.slope * log_odds(scores) + self.offset)

    @classmethod
    def fit(cls, scores: Floats, right: Floats) -> Self:
        """The most likely scaling of N words; as if one more of either kind had been seen, as Platt has it.

        Where higher scores are not more often right, all words are about as likely, by the smallest slope that keeps order.

        Args:
            scores: ``(N,)`` in 0..1.
            right: ``(N,)``, 1 where the word is right and 0 where not.
        """
        if not len(scores):
            return cls()
        hits = right.sum()
        high, low = (hits + 1) / (hits + 2), 1 / (len(right) - hits + 2)
        target = np.where(right > 0, high, low)
        inputs = np.stack([log_odds(scores), np.ones(len(scores))], axis=1)
        found = np.array([1.0, 0.0])
        for _ in range(STEPS):
            likely = _sigmoid(inputs @ found)
            curvature = (inputs * (likely * (1 - likely))[:, None]).T @ inputs + STIFFNESS * np.eye(2)
            step = np.linalg.solve(curvature, inputs.T @ (likely - target))
            found = found - np.clip(step, -2, 2)  # from far away a whole step would lead farther
        slope, offset = found.tolist()
        if slope <= 0:
            mean = target.mean()
            slope, offset = STIFFNESS, float(np.log(mean / (1 - mean)))
        return cls(slope, offset)


def log_odds(scores: Floats) -> Floats:
    """``log(s / (1 - s))`` of scores in 0..1."""
    safe = np.clip(scores, SUREST, 1 - SUREST)
    odds: Floats = np.log(safe / (1 - safe))
    return odds


def _sigmoid(values: Floats) -> Floats:
    likely: Floats = 1 / (1 + np.exp(-values))
    return likely
