"""From a budget to the cost weights that spend it: calibrated beforehand, or held over a stream while it passes.

A selector decides ``argmin_k loss_k + gamma * cost_k`` per image; the higher the cost weight gamma, the less it spends.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import ceil, exp, floor, inf, isfinite
from typing import Any, Self

import numpy as np

from dld_spotter.core.errors import CheckpointError, ConfigError, DataError
from dld_spotter.tradeoff.allocation import SLACK, decide

GRID = 256
"""Cost weights tried, even in the logarithm, over the range in which they matter."""
KEPT = 49
"""Points of the curve that are kept, even in cost."""


@dataclass(frozen=True)
class Calibration:
    """What cost weights spend on average, as seen on validation images; straight over log gamma between its points.

    Args:
        gammas: ascending cost weights.
        costs: mean relative cost at each, the selector's own included.
        continuous: whether the selector decides for any cost weight, else for these alone. Then costs never rise.
        images: how many images it was seen on.
    """

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

    @classmethod
    def read(cls, values: Mapping[str, Any], origin: str) -> Self:
        """Read what :meth:`plain` gave; raises CheckpointError naming ``origin`` if it is something else."""
        try:
            gammas, costs = (tuple(map(float, values[key])) for key in ("gammas", "costs"))
            return cls(gammas, costs, bool(values["continuous"]), int(values["images"]))
        except (KeyError, TypeError, ValueError, OverflowError, DataError) as error:
            raise CheckpointError(f"{origin} holds a damaged calibration of budgets ({error}); calibrate it again") from error

    def plain(self) -> dict[str, Any]:
        """Plain values, as JSON and checkpoints hold them."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

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
    prices = (rise / np.where(saving > 0, saving, inf))[(saving > 0) & (rise > 0)]
    if not len(prices):
        return np.ones(1)
    return np.geomspace(prices.min() * (1 - 1e-6), prices.max() * (1 + 1e-6), GRID)


def _mean_at(values: np.ndarray, index: np.ndarray) -> float:
    return float(np.take_along_axis(values, index[:, None], 1).mean())


class BudgetController:
    """Holds a mean cost over a stream of images that nobody has seen.

    It keeps an account of what was allowed and not spent. Each image is aimed at the mean cost that settles the account
    within a number of images, and the calibration turns this aim into a cost weight. What the account keeps asking for, since
    these images are unlike those of the calibration, moves the aim for good: proportional and integral control, critically
    damped. Its response hardly depends on the spotter, for the calibration has made it linear. Aim and account are bounded, so
    that a stretch on which the budget cannot be spent, or not be held, is not paid back for ever.

    Args:
        calibration: what cost weights spend.
        budget: mean cost per image, in any unit; relative cost where every image counts alike.
        share: the account is settled within this share of the images seen so far, so that the cost weight comes to rest.
        settle: the least number of images within which it is settled.
        patience: the highest.

    Raises:
        ConfigError: the budget is no number above 0.
    """

    ACCOUNT = 50
    """Bound of the account, in images."""

    def __init__(
        self, calibration: Calibration, budget: float, share: float = 0.04, settle: float = 8.0, patience: float = 100.0
    ) -> None:
        if not (isfinite(budget) and budget > 0):
            raise ConfigError(f"a budget must be a number above 0, found {budget:g}")
        self.calibration = calibration
        self.budget = budget
        self.share, self.settle, self.patience = share, settle, patience
        self.images = 0
        self.spent = 0.0
        """Sum of what was spent."""
        self._account = 0.0
        self._shift = 0.0
        self._asked, self._full = 0, 0.0

    @property
    def mean(self) -> float:
        """Mean cost per image so far; NaN before the first one."""
        return self.spent / self.images if self.images else float("nan")

    def gamma(self, full: float = 1.0) -> float:
        """Cost weight for the next image, or the next few.

        Args:
            full: what one at relative cost 1.0 costs, in the unit of the budget. Where this differs between images, a unit of
                relative cost is worth so much more in a large one.
        """
        self._asked += 1
        self._full += (full - self._full) / self._asked
        aim = self.budget + self._shift + self._account / self._horizon
        return self.calibration.aim(aim / self._full) * full / self._full

    def record(self, cost: float) -> None:
        """Tell what the image has cost."""
        self.images += 1
        self.spent += cost
        bound = self.ACCOUNT * self.budget
        self._account = float(np.clip(self._account + self.budget - cost, -bound, bound))
        limit = (self.calibration.high - self.calibration.low) * self._full
        # A quarter of the square: the fastest response without overshoot.
        self._shift = float(np.clip(self._shift + self._account / (2 * self._horizon) ** 2, -limit, limit))

    @property
    def _horizon(self) -> float:
        """Images within which the account is settled."""
        return min(self.patience, max(self.settle, self.share * self.images))
