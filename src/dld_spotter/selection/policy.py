"""Who decides how an image is read. Needs no torch."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np

from dld_spotter.budget.calibration import Calibration
from dld_spotter.budget.candidates import CANDIDATES, Candidates
from dld_spotter.budget.operating_points import OperatingPoint, OperatingPoints
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.words import Cost

GAMMA = 0.2
"""Cost weight where none is asked for, as in training (``objective.weights.cost``)."""
FACTORS = (0.05, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Multiples of the cost weight at which reports are made."""


class Policy(ABC):
    """Decides for each image at which operating point it is read, under a cost weight gamma.

    Attributes:
        scales: of the first pass, ascending; what it chooses among.
        gammas: the cost weights that reports are made for, ascending.
        continuous: whether it decides for any cost weight, else for ``gammas`` alone.
        second_passes: whether it decides when an image is read again, too; else whoever reads may.
        calibration: what its cost weights spend on average; None where that was not measured, and budgets cannot be asked for.
        candidates: from which the operating points that are best by a device's clock are chosen; None where there are none, and
            a budget in milliseconds is held by a line over GFLOP.
    """

    scales: tuple[float, ...]
    gammas: tuple[float, ...]
    continuous: bool = True
    second_passes: bool = False
    calibration: Calibration | None = None
    candidates: Candidates | None = None

    @property
    def default_gamma(self) -> float:
        """The cost weight where none is asked for: the middle one."""
        return self.gammas[len(self.gammas) // 2]

    @property
    def gflops(self) -> float:
        """GFLOP of one decision."""
        return 0.0

    def index(self, gamma: float | None = None) -> int:
        """Which of ``gammas`` a cost weight is, by default the middle one.

        Raises:
            ConfigError: it is none of them.
        """
        wanted = round(float(self.weight(gamma)), 9)
        if wanted not in self.gammas:
            known = ", ".join(f"{value:g}" for value in self.gammas)
            raise ConfigError(f"gamma={gamma:g} is none of this selector's cost weights; choose one of {known}")
        return self.gammas.index(wanted)

    def weight(self, gamma: float | None) -> float:
        """A cost weight, by default the middle one."""
        return self.default_gamma if gamma is None else gamma

    def check(self, gamma: float) -> None:
        """Raise ConfigError if the policy cannot decide for this cost weight."""
        if not self.continuous:
            self.index(gamma)
        elif not gamma >= 0:
            raise ConfigError(f"gamma={gamma:g} must be at least 0")

    @abstractmethod
    def decide(self, image: np.ndarray, cost: Cost, gamma: float | None = None) -> OperatingPoint:
        """Decide how an image is read.

        Args:
            image: ``(H, W, 3)`` uint8 RGB at the reference resolution.
            cost: of a view, in any unit; scales are compared by what they cost relative to scale 1.0.
            gamma: cost weight; None takes the default one.
        """

    def alternatives(self, wanted: OperatingPoint) -> list[OperatingPoint]:
        """What may be taken in place of a decision that an image cannot afford."""
        return [replace(wanted, scale=scale) for scale in self.scales]


class OperatingPointPolicy(Policy):
    """Takes the same operating point for every image; which of its regions are read again shows in the first pass.

    Args:
        points: the table of operating points.
        gamma: cost weight where none is asked for.
        factors: its multiples.
        candidates: see :class:`Policy`.
    """

    second_passes = True

    def __init__(
        self,
        points: OperatingPoints,
        gamma: float = GAMMA,
        factors: Sequence[float] = FACTORS,
        candidates: Candidates | None = None,
    ) -> None:
        self.points = points
        self.candidates = candidates
        self.scales = tuple(sorted(set(points.scales)))
        self.gammas = tuple(round(gamma * factor, 9) for factor in factors)
        self.calibration = points.calibration

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], origin: str) -> Self:
        """Of the plain values of a checkpoint, which ``origin`` names in errors.

        Raises:
            CheckpointError: they are damaged.
        """
        known = Candidates.from_dict(facts[CANDIDATES], origin) if CANDIDATES in facts else None
        return cls(OperatingPoints.from_dict(facts["operating_points"], origin), candidates=known)

    def decide(self, image: np.ndarray, cost: Cost, gamma: float | None = None) -> OperatingPoint:
        """See :meth:`Policy.decide`; the image does not matter."""
        return self.points.at(self.weight(gamma))

    def alternatives(self, wanted: OperatingPoint) -> list[OperatingPoint]:
        """See :meth:`Policy.alternatives`; each scale with the gain threshold that belongs to it."""
        return [self.points.below(scale) for scale in self.scales]
