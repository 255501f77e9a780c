"""Operating points: how an image is read, and a table of them that rises in cost, from which any cost weight takes one."""

from dataclasses import dataclass
from itertools import pairwise
from math import inf, log, sqrt
from typing import ClassVar, Self

import numpy as np

from dld_spotter.budget.calibration import Calibration
from dld_spotter.core.errors import DataError
from dld_spotter.core.records import Record
from dld_spotter.tradeoff.allocation import decide

HARDLY = 1e-3
"""Cost weight at which cost hardly counts."""
LEAST = 1e-9
"""What an operating point brings at least beyond the one before, in words."""
END = 4.0
"""The first and the last operating point are good for cost weights up to this factor beyond their neighbour's."""


@dataclass(frozen=True)
class OperatingPoint:
    """How one image is read.

    Args:
        scale: of the first forward pass, relative to the reference.
        second_pass: gain threshold of a second pass: words that it must be expected to bring per cost of the whole image at
            full resolution; infinite for a single pass.
    """

    scale: float
    second_pass: float = inf


@dataclass(frozen=True)
class OperatingPoints(Record):
    """R operating points, the same for every image; what differs is how much of an image its first pass leaves open.

    Args:
        scales: ``(R,)`` of the first pass.
        gain_thresholds: ``(R,)`` of the second pass, infinite for a single pass.
        losses: ``(R,)`` mean loss, in words of an average image.
        costs: ``(R,)`` mean relative cost, ascending.
        images: how many images they were seen on.
    """

    remedy: ClassVar[str] = "run fit_operating_points again"

    scales: tuple[float, ...]
    gain_thresholds: tuple[float, ...]
    losses: tuple[float, ...]
    costs: tuple[float, ...]
    images: int = 0

    def __post_init__(self) -> None:
        columns = np.array(
            [self.scales, self.gain_thresholds, self.losses, self.costs], float
        )  # of one length, or numpy refuses
        sound = (
            columns.shape[1] > 0
            and bool((columns[0] <= 1).all() and (columns[[0, 3]] > 0).all())
            and bool((np.diff(columns[3]) > 0).all() and (np.diff(columns[2]) < 0).all())
        )
        if not (sound and (columns[1] >= 0).all() and np.isfinite(columns[[0, 2, 3]]).all()):
            raise DataError(
                "operating points need ascending costs and falling losses, with scales from 0 to 1 and gain thresholds of at "
                f"least 0; found {self}"
            )

    @classmethod
    def on_hull(cls, points: list[OperatingPoint], losses: np.ndarray, costs: np.ndarray, images: int) -> Self:
        """Keep of M operating points, ``losses`` and ``costs`` ``(M,)``, those that are best at some cost weight.

        A more costly point never has a lower first scale: what such a point gains on the images that it was measured on is
        mostly selection bias, and a budget between two of them would have each image read in another manner. The last one,
        full resolution, is always kept: where it has brought nothing on these images, it is taken only when cost hardly
        counts, for the sake of images that need it.
        """
        best = np.lexsort((costs, losses))[0]
        losses = losses.copy()
        losses[-1] = min(losses[-1], losses[best] - HARDLY * max(costs[-1] - costs[best], 0.0))
        scales, kept = np.array([point.scale for point in points]), [int(np.lexsort((losses, costs))[0])]
        while kept[-1] != len(points) - 1:
            here = kept[-1]
            ahead = np.flatnonzero((costs > costs[here]) & (losses < losses[here]) & (scales >= scales[here]))
            falls = (losses[here] - losses[ahead]) / (costs[ahead] - costs[here])
            kept.append(int(ahead[falls.argmax()]))
        chosen = [points[k] for k in kept]
        return cls(
            tuple(point.scale for point in chosen),
            tuple(point.second_pass for point in chosen),
            tuple(losses[kept].tolist()),
            tuple(costs[kept].tolist()),
            images,
        )

    @property
    def points(self) -> list[OperatingPoint]:
        """All of them, ascending in cost."""
        return list(map(OperatingPoint, self.scales, self.gain_thresholds))

    def at(self, gamma: float) -> OperatingPoint:
        """The point of least ``loss + gamma * cost``; between two of one scale, the gain threshold follows gamma smoothly.

        Images unlike those that the points were measured on, such as documents of text alone, would else get all or nothing.
        """
        k = int(decide(np.array([self.losses]), np.array([self.costs]), gamma)[0])
        middles = self._middles()
        other = k - 1 if gamma > middles[k] else k + 1
        point = self.points[k]
        if not (0 <= other < len(self.costs) and self.scales[k] == self.scales[other]) or middles[k] == middles[other]:
            return point
        threshold = self.gain_thresholds[other]
        if min(point.second_pass, threshold) == 0 or max(point.second_pass, threshold) == inf:
            return point
        share = log(gamma / middles[k]) / log(middles[other] / middles[k])
        return OperatingPoint(point.scale, point.second_pass * (threshold / point.second_pass) ** share)

    def below(self, scale: float) -> OperatingPoint:
        """The most costly point whose first pass is at most at ``scale``, or else the cheapest."""
        return self.points[max((k for k, known in enumerate(self.scales) if known <= scale), default=0)]

    def _middles(self) -> list[float]:
        """Cost weight in the middle of the range of each point, which are those where its neighbours are as good."""
        losses, costs = np.array(self.losses), np.array(self.costs)
        turns = (np.maximum(losses[:-1] - losses[1:], LEAST) / np.diff(costs)).tolist()
        ends = [turns[0] * END, *turns, turns[-1] / END] if turns else [END, 1 / END]
        return [sqrt(above * below) for above, below in pairwise(ends)]

    @property
    def calibration(self) -> Calibration:
        """What cost weights spend."""
        found = Calibration.of(np.array([self.losses]), np.array([self.costs]))
        return Calibration(found.gammas, found.costs, True, self.images)
