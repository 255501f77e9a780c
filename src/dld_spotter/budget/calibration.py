"""What the cost weights of a policy spend on average, calibrated on validation images.

A selector decides ``argmin_k loss_k + gamma * cost_k`` per image; the higher the cost weight gamma, the less it spends.
"""

from dataclasses import dataclass
from math import ceil, exp, floor, inf, isfinite
from typing import ClassVar, Self

import numpy as np

from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.core.records import Record
from dld_spotter.tradeoff.allocation import SLACK, decide

GRID = 256
"""Cost weights tried, even in the logarithm, over the range in which they matter."""
KEPT = 49
"""Points of the curve that are kept, even in cost."""


@dataclass(frozen=True)
class Calibration(Record):
    """What cost weights spend on average, as seen on validation images; straight over log gamma between its points.

    Args:
        gammas: ascending cost weights.
        costs: mean relative cost at each, the selector's own included.
        continuous: whether the selector decides for any cost weight, else for these alone. Then costs never rise.
        images: how many images it was seen on.
    """

    remedy: ClassVar[str] = "calibrate it again"

    gammas: tuple[float, ...]
    costs: tuple[float, ...]
    continuous: bool = True
    images: int = 0

    def __post_init__(self) -> None:
        gammas, costs = np.array(self.gammas, float), np.array(self.costs, float)
        sound = gammas.ndim == costs.ndim == 1 and len(gammas) == len(costs) > 0
        sound = sound and bool(np.isfinite([gammas, costs]).all() and (np.diff(gammas) > 0).all() and (costs > 0).all())
        if not sound or (self.continuous and (gammas[0] <= 0 or (np.diff(costs) > 0).any())):
            raise DataError(
                "a calibration needs ascending cost weights, each with a mean relative cost above 0 that does not rise; "
                f"found gammas={self.gammas} and costs={self.costs}"
            )

    @classmethod
    def of(
        cls, losses: np.ndarray, costs: np.ndarray, spent: np.ndarray | None = None, overhead: np.ndarray | float = 0.0
    ) -> Self:
        """See what a selector that decides for any cost weight spends on a set of images.

        Args:
            losses: ``(N, K)`` loss that is expected of each scale.
            costs: ``(N, K)`` relative costs that the decision knows.
            spent: ``(N, K)`` relative costs that follow, where they differ.
            overhead: ``()`` or ``(N,)`` relative cost of deciding.
        """
        spent = costs if spent is None else spent
        gammas = _decisive(losses, costs)
        own = float(np.mean(overhead))
        means = [_mean_at(spent, decide(losses, costs, gamma)) + own for gamma in gammas]
        # What the decision does not know may let a higher weight spend a little more; the curve is the lower envelope.
        falling = np.minimum.accumulate(means)
        levels, first, count = np.unique(falling, return_index=True, return_counts=True)
        # Where several weights spend the same, the middle one stands for them.
        middle = np.sqrt(gammas[first] * gammas[first + count - 1])
        kept = np.linspace(levels[-1], levels[0], KEPT if len(levels) > 1 else 1)
        weights = np.exp(np.interp(kept, levels, np.log(middle)))
        return cls(tuple(weights.tolist()), tuple(kept.tolist()), True, len(losses))

    @classmethod
    def of_heads(cls, gammas: tuple[float, ...], spent: np.ndarray) -> Self:
        """See what a selector that decides for G cost weights alone spends; ``spent`` is ``(G, N)``, its own cost included."""
        return cls(tuple(gammas), tuple(spent.mean(1).tolist()), False, spent.shape[1])

    @property
    def low(self) -> float:
        """The least mean relative cost."""
        return min(self.costs)

    @property
    def high(self) -> float:
        """The highest mean relative cost: what is spent where cost hardly counts."""
        return max(self.costs)

    def check(self, budget: float) -> None:
        """Raise ConfigError if a mean relative cost cannot be met."""
        if not (isfinite(budget) and self.low <= budget * SLACK and budget <= max(1.0, self.high)):
            least, most = ceil(1000 * self.low) / 1000, floor(1000 * self.high) / 1000  # what is named can be given
            raise ConfigError(
                f"budget={budget:g} cannot be met: the mean relative cost of this selector lies from {least:g} to "
                f"{max(least, most):g} (1.0 is full resolution); give a budget in between"
            )

    def gamma_for(self, budget: float) -> float:
        """The lowest cost weight that spends at most ``budget`` on images like those of the calibration.

        Raises:
            ConfigError: the budget is below the least that can be spent, or above full resolution.
        """
        self.check(budget)
        return self.aim(budget)

    def aim(self, cost: float) -> float:
        """As :meth:`gamma_for`, of any number: beyond its ends a continuous curve goes on over log gamma for its own length."""
        if not self.continuous:
            fitting = [(spent, -gamma) for gamma, spent in zip(self.gammas, self.costs, strict=True) if spent <= cost * SLACK]
            return -max(fitting)[1] if fitting else self.gammas[int(np.argmin(self.costs))]
        logs = np.log(self.gammas)
        span = self.high - self.low
        beyond = float(np.clip(cost - np.clip(cost, self.low, self.high), -span, span))
        steepness = (logs[-1] - logs[0]) / span if span else 0.0
        return exp(float(np.interp(cost, self.costs[::-1], logs[::-1])) - beyond * steepness)


def _decisive(losses: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Cost weights, even in the logarithm, from the one that first turns an image cheaper to the one that last does."""
    rise = losses[:, None, :] - losses[:, :, None]
    saving = costs[:, :, None] - costs[:, None, :]
    turning = (rise / np.where(saving > 0, saving, inf))[(saving > 0) & (rise > 0)]
    if not len(turning):
        return np.ones(1)
    return np.geomspace(turning.min() * (1 - 1e-6), turning.max() * (1 + 1e-6), GRID)


def _mean_at(values: np.ndarray, index: np.ndarray) -> float:
    return float(np.take_along_axis(values, index[:, None], 1).mean())
