"""Budgets as users name them: the request, and the account of what is spent on it. Needs no torch."""

from dataclasses import asdict, dataclass
from math import isfinite
from numbers import Real

from dld_spotter.budget.calibration import Calibration
from dld_spotter.budget.candidates import TimedPoints
from dld_spotter.budget.controller import SETTLE, BudgetController
from dld_spotter.budget.latency import Line
from dld_spotter.budget.operating_points import OperatingPoint
from dld_spotter.core.errors import ConfigError

DIGITS = 5
"""Of what an image has cost, in lines of output."""
BUDGETS = {"budget": "of full resolution", "budget_gflops": "GFLOP", "budget_ms": "ms"}
"""Names of budgets and what their means per image are counted in."""
COLD = 3
"""Images of a process, the first ones, whose seconds are left out of an account: they start threads and prepare kernels."""
USUAL = {"budget": 0.3, "budget_gflops": 5, "budget_ms": 100, "max_cost": 0.8}
"""An amount of each that many photos can be read for."""


@dataclass(frozen=True)
class Request:
    """How resolution is chosen; at most one is given, and none leaves it to the selector's middle cost weight.

    Args:
        gamma: cost weight.
        scale: the same for every image.
        budget: mean relative cost per image, 1.0 being full resolution.
        budget_gflops: mean GFLOP per image.
        budget_ms: mean milliseconds per image on this device.
        max_cost: relative cost that no image may exceed; beside any of the others.

    Raises:
        ConfigError: two are given, or one is no number of its range.
    """

    gamma: float | None = None
    scale: float | None = None
    budget: float | None = None
    budget_gflops: float | None = None
    budget_ms: float | None = None
    max_cost: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
                raise ConfigError(f"{name}={value} must be a number, or null to leave it to the checkpoint")
        if len(self.given) > 1:
            names = " and ".join(f"{name}={value:g}" for name, value in self.given.items())
            raise ConfigError(f"{names} exclude each other; leave one of them out")
        for name in USUAL:
            value = getattr(self, name)
            if value is not None and not (isfinite(value) and value > 0):
                raise ConfigError(f"{name}={value:g} must be above 0; give such as {name}={USUAL[name]}")

    @property
    def given(self) -> dict[str, float]:
        """What was asked for of what excludes each other, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None and name != "max_cost"}

    @property
    def budgeted(self) -> tuple[str, float] | None:
        """Name and amount of the budget, where there is one."""
        return next(((name, value) for name, value in self.given.items() if name in BUDGETS), None)


class BudgetTracker:
    """Holds a budget over the images that are read one after the other, and keeps account of it.

    Where the operating points are known by the clock of the device, milliseconds are held in seconds. Elsewhere seconds are
    translated into GFLOP by the line of the device. So one controller serves every unit.

    Args:
        name: which of ``BUDGETS``.
        amount: mean per image.
        calibration: what the selector's cost weights spend.
        line: seconds per GFLOP of this device; of ``budget_ms`` alone.
        settle: the least number of images within which what was spent too much, or too little, is settled.
        timed: operating points by the clock of this device, in place of ``line``.

    Raises:
        ConfigError: the budget cannot be met.
    """

    def __init__(
        self,
        name: str,
        amount: float,
        calibration: Calibration,
        line: Line | None = None,
        settle: float = SETTLE,
        timed: TimedPoints | None = None,
    ) -> None:
        self.name, self.amount = name, amount
        self.line, self.timed = (line, timed) if name == "budget_ms" else (None, None)
        if name == "budget":
            calibration.check(amount)
        if name == "budget_ms" and line is None and timed is None:
            raise ValueError("budget_ms is held by the clock of the device; give line= or timed=")
        self._controller = BudgetController(calibration, self._target(), settle=settle)
        self._total, self._pieces, self._gflops = 0.0, 0, 0.0
        self.images = 0
        """How many images were read for it."""

    def _target(self) -> float:
        """The amount in the unit of the controller."""
        if self.name != "budget_ms":
            return self.amount
        seconds = self.amount / 1000
        fixed = self.timed.latency.fixed if self.timed else self.line.fixed if self.line else 0.0
        if seconds <= fixed:
            raise ConfigError(f"budget_ms={self.amount:g} cannot be met: here any image takes {1000 * fixed:.3g} ms at least")
        return seconds if self.line is None else self.line.gflops(seconds)

    def gamma(self, full_gflops: float, pieces: int = 1) -> float:
        """Cost weight for the next image, of which the GFLOP at scale 1.0 are known, in all of its pieces."""
        if self.timed is None:
            return self._controller.gamma(1.0 if self.name == "budget" else full_gflops)
        self._pieces += pieces
        self._gflops += full_gflops
        self._controller.calibration = self.timed.at(self._gflops / self._pieces).calibration
        return self._controller.gamma(pieces * self.timed.full(full_gflops / pieces))

    def point(self, gamma: float) -> OperatingPoint | None:
        """The operating point that is best by the clock at a cost weight; None where the policy is to say it."""
        if self.timed is None:
            return None
        mean = self._gflops / self._pieces if self._pieces else self.timed.candidates.full
        return self.timed.at(mean).points.at(gamma)

    def record(self, relative_cost: float, gflops: float, seconds: float, cold: bool = False) -> None:
        """Tell what the image has cost, as exactly as lines of output do: who goes on from these goes on alike.

        ``cold`` says that it is one of the first that the process has read: its seconds are no measure of the next ones, and
        are left out of the account.
        """
        relative_cost, gflops, seconds = (round(cost, DIGITS) for cost in (relative_cost, gflops, seconds))
        cost = {"budget": relative_cost, "budget_gflops": gflops, "budget_ms": 1000 * seconds}[self.name]
        self._total += cost
        self.images += 1
        if self.name != "budget_ms":
            self._controller.record(cost)
        elif not cold:
            self._controller.record(seconds if self.line is None else self.line.gflops(seconds))

    @property
    def mean(self) -> float:
        """Mean cost per image so far, in the unit of the budget; NaN before the first one."""
        return self._total / self.images if self.images else float("nan")

    def __str__(self) -> str:
        if not self.images:
            return f"{self.name}={self.amount:g}: nothing spent"
        return f"{self.name}={self.amount:g}: {self.mean:.3g} {BUDGETS[self.name]} spent per image"
