"""Ways to read that rise in cost, for any cost weight one: the scale of a first look, and the price of a second."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import inf, log, sqrt
from typing import Any, Self

import numpy as np

from dld_spotter.budget.controller import Calibration
from dld_spotter.core.errors import CheckpointError, DataError
from dld_spotter.tradeoff.allocation import decide

HARDLY = 1e-3
"""Cost weight at which cost hardly counts."""
LEAST = 1e-9
"""What a step brings at least beyond the one before, in words."""
END = 4.0
"""The first and the last step are good for cost weights up to this factor beyond their neighbour's."""


@dataclass(frozen=True)
class OperatingPoint:
    """How one image is read.

    Args:
        scale: of the first look.
        price: of the second, see :class:`dld_spotter.selection.second_pass.rule.SecondPassRule`; infinite for one look.
    """

    scale: float
    price: float = inf


@dataclass(frozen=True)
class OperatingPoints:
    """R steps, the same for every image; what differs is how much of an image its first look leaves open.

    Args:
        scales: ``(R,)`` of the first look.
        prices: ``(R,)`` of the second.
        losses: ``(R,)`` mean loss, in words of an average image.
        costs: ``(R,)`` mean relative cost, ascending.
        images: how many images they were seen on.
    """

    scales: tuple[float, ...]
    prices: tuple[float, ...]
    losses: tuple[float, ...]
    costs: tuple[float, ...]
    images: int = 0

    def __post_init__(self) -> None:
        columns = np.array([self.scales, self.prices, self.losses, self.costs], float)  # of one length, or numpy refuses
        sound = (
            columns.shape[1] > 0
            and bool((columns[0] <= 1).all() and (columns[[0, 3]] > 0).all())
            and bool((np.diff(columns[3]) > 0).all() and (np.diff(columns[2]) < 0).all())
        )
        if not (sound and (columns[1] >= 0).all() and np.isfinite(columns[[0, 2, 3]]).all()):
            raise DataError(
                "a ladder needs steps of ascending cost and falling loss, with scales from 0 to 1 and prices of at least 0; "
                f"found {self}"
            )

    @classmethod
    def on_hull(cls, steps: list[OperatingPoint], losses: np.ndarray, costs: np.ndarray, images: int) -> Self:
        """Keep of M ways to read, ``losses`` and ``costs`` ``(M,)``, those that are best at some cost weight.

        A dearer step never looks first at a lower scale: what such a step gains on the images that it was seen on is mostly
        luck, and a budget between two of them would have each image read in another manner. The last way, full
        resolution, is always the last step: where it has brought nothing on these images, it is taken only when cost
        hardly counts, for the sake of images that need it.
        """
        best = losses.argmin()
        losses = losses.copy()
        losses[-1] = min(losses[-1], losses[best] - HARDLY * max(costs[-1] - costs[best], 0.0))
        scales, kept = np.array([step.scale for step in steps]), [int(np.lexsort((losses, costs))[0])]
        while kept[-1] != len(steps) - 1:
            here = kept[-1]
            ahead = np.flatnonzero((costs > costs[here]) & (losses < losses[here]) & (scales >= scales[here]))
            falls = (losses[here] - losses[ahead]) / (costs[ahead] - costs[here])
            kept.append(int(ahead[falls.argmax()]))
        columns = [[values[k] for k in kept] for values in (losses.tolist(), costs.tolist())]
        return cls(tuple(steps[k].scale for k in kept), tuple(steps[k].price for k in kept), *map(tuple, columns), images)

    @classmethod
    def read(cls, values: Mapping[str, Any], origin: str) -> Self:
        """Read what :meth:`plain` gave; raises CheckpointError naming ``origin`` if it is something else."""
        try:
            columns = [tuple(map(float, values[key])) for key in ("scales", "prices", "losses", "costs")]
            return cls(*columns, int(values["images"]))
        except (KeyError, TypeError, ValueError, OverflowError, DataError) as error:
            raise CheckpointError(f"{origin} holds a damaged ladder of budgets ({error}); run fit_ladder again") from error

    def plain(self) -> dict[str, Any]:
        """Plain values, as JSON and checkpoints hold them; a price of one look is a string, since JSON knows no infinity."""
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return values | {"prices": ["inf" if price == inf else price for price in self.prices]}

    def at(self, gamma: float) -> OperatingPoint:
        """The step of least ``loss + gamma * cost``; between two of one scale, the price follows the cost weight smoothly.

        Images unlike those that the steps were seen on, such as pages of text alone, would else get all or nothing.
        """
        k = int(decide(np.array([self.losses]), np.array([self.costs]), gamma)[0])
        middles = self._middles()
        other = k - 1 if gamma > middles[k] else k + 1
        plain = OperatingPoint(self.scales[k], self.prices[k])
        if not (0 <= other < len(self.costs) and self.scales[k] == self.scales[other]) or middles[k] == middles[other]:
            return plain
        price = self.prices[other]
        if min(plain.price, price) == 0 or max(plain.price, price) == inf:
            return plain
        share = log(gamma / middles[k]) / log(middles[other] / middles[k])
        return OperatingPoint(plain.scale, plain.price * (price / plain.price) ** share)

    def below(self, scale: float) -> OperatingPoint:
        """The dearest step whose first look is at most at ``scale``, or else the cheapest."""
        k = max((k for k, known in enumerate(self.scales) if known <= scale), default=0)
        return OperatingPoint(self.scales[k], self.prices[k])

    def _middles(self) -> list[float]:
        """Cost weight in the middle of the range of each step, which are those where its neighbours are as good."""
        losses, costs = np.array(self.losses), np.array(self.costs)
        turns = (np.maximum(losses[:-1] - losses[1:], LEAST) / np.diff(costs)).tolist()
        ends = [turns[0] * END, *turns, turns[-1] / END] if turns else [END, 1 / END]
        return [sqrt(above * below) for above, below in pairwise(ends)]

    @property
    def calibration(self) -> Calibration:
        """What cost weights spend."""
        found = Calibration.of(np.array([self.losses]), np.array([self.costs]))
        return Calibration(found.gammas, found.costs, True, self.images)
