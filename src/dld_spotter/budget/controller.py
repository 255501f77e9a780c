"""Holds a budget over a stream of images by adjusting the cost weight."""

from math import isfinite

import numpy as np

from dld_spotter.budget.calibration import Calibration
from dld_spotter.core.errors import ConfigError

SETTLE = 8.0
"""Images within which an account is settled at the earliest."""


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
        self, calibration: Calibration, budget: float, share: float = 0.04, settle: float = SETTLE, patience: float = 100.0
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
