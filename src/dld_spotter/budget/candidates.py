"""Candidates for operating points, what each of them takes, and which are best by the clock of a device. Needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log
from typing import ClassVar, NamedTuple, Self

import numpy as np

from dld_spotter.budget.calibration import Calibration
from dld_spotter.budget.operating_points import OperatingPoint, OperatingPoints
from dld_spotter.budget.pass_latency import PassLatency, Work
from dld_spotter.core.arrays import Floats
from dld_spotter.core.errors import DataError
from dld_spotter.core.records import Record

CANDIDATES = "candidates"
"""Under this name a checkpoint holds them."""
VERSION = 1
MOST = 4096
"""Candidates of a student at most."""
STEP = log(1.1)
"""Images whose GFLOP differ by less than a tenth have the same operating points."""


@dataclass(frozen=True)
class Candidates(Record):
    """M operating points that were tried, good and bad, and what reading took with each: means over the same images.

    What is best by FLOPs need not be best by the clock, and each device has a clock of its own: a checkpoint carries all.

    Args:
        scales: ``(M,)`` of the first pass; the last one is full resolution in a single pass.
        gain_thresholds: ``(M,)`` of the second pass, infinite for a single pass.
        losses: ``(M,)`` mean loss, in words of an average image.
        costs: ``(M,)`` mean relative cost.
        gflops: ``(M,)`` mean GFLOP of detecting, in all passes.
        passes: ``(M,)`` mean passes of the detector, from 1 to 2.
        words: ``(M,)`` mean words that went through the recogniser.
        images: how many images they were seen on.
        version: of this form.
    """

    remedy: ClassVar[str] = "run fit_operating_points again"

    scales: tuple[float, ...]
    gain_thresholds: tuple[float, ...]
    losses: tuple[float, ...]
    costs: tuple[float, ...]
    gflops: tuple[float, ...]
    passes: tuple[float, ...]
    words: tuple[float, ...]
    images: int = 0
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise DataError(f"version {self.version} of it is not known here, expected {VERSION}")
        named = (self.scales, self.gain_thresholds, self.losses, self.costs, self.gflops, self.passes, self.words)
        if not (0 < len(self.scales) <= MOST and {len(column) for column in named} == {len(self.scales)}):
            raise DataError(
                f"candidates need columns of one length from 1 to {MOST}, found {[len(column) for column in named]}"
            )
        scales, thresholds, _, costs, gflops, passes, words = columns = np.array(named, float)
        sound = bool(np.isfinite(np.delete(columns, 1, axis=0)).all() and ((scales > 0) & (scales <= 1)).all())
        sound = sound and bool((thresholds >= 0).all() and (np.stack([costs, gflops]) > 0).all() and (words >= 0).all())
        if not (sound and ((passes >= 1) & (passes <= 2)).all() and self.images >= 0):
            raise DataError(
                "candidates need scales from 0 to 1, costs and GFLOP above 0, 1 to 2 passes, and gain thresholds and words of "
                "at least 0"
            )
        if (self.scales[-1], self.gain_thresholds[-1]) != (1.0, inf):
            raise DataError("the last candidate must be full resolution in a single pass")

    @classmethod
    def of(cls, points: Sequence[OperatingPoint], losses: Floats, costs: Floats, work: Sequence[Work], images: int) -> Self:
        """Put together what was measured of M operating points: ``losses`` and ``costs`` ``(M,)``."""
        passes, gflops, words = (tuple(float(number) for number in column) for column in zip(*work, strict=True))
        scales, thresholds = tuple(point.scale for point in points), tuple(point.second_pass for point in points)
        return cls(scales, thresholds, tuple(losses.tolist()), tuple(costs.tolist()), gflops, passes, words, images)

    @property
    def points(self) -> list[OperatingPoint]:
        """All of them."""
        return list(map(OperatingPoint, self.scales, self.gain_thresholds))

    @property
    def full(self) -> float:
        """Mean GFLOP of detecting in full resolution."""
        return self.gflops[-1]

    def best(self, costs: Sequence[float] | None = None) -> OperatingPoints:
        """Those that are best at some cost weight.

        Args:
            costs: ``(M,)`` by which they are compared; None for relative costs.
        """
        compared = np.array(self.costs if costs is None else costs, float)
        return OperatingPoints.on_hull(self.points, np.array(self.losses), compared, self.images)

    def among(self, points: OperatingPoints) -> OperatingPoints:
        """Of some of these points, which were best by another cost, those that are best by relative cost as well."""
        place = [self.points.index(point) for point in points.points]
        losses, costs = np.array(self.losses)[place], np.array(self.costs)[place]
        return OperatingPoints.on_hull(points.points, losses, costs, self.images)

    def seconds(self, latency: PassLatency, full: float | None = None) -> list[float]:
        """Mean seconds ``(M,)`` of images whose ``full`` resolution has so many GFLOP; None for those that they were seen on.

        Words are as many in images of any size.
        """
        share = 1.0 if full is None else full / self.full
        rows = zip(self.passes, self.gflops, self.words, strict=True)
        return [latency.seconds(Work(passes, share * gflops, words)) for passes, gflops, words in rows]


class Timed(NamedTuple):
    """Operating points, whose costs are relative seconds, and what cost weights spend with them."""

    points: OperatingPoints
    calibration: Calibration


class TimedPoints:
    """The candidates that are best by the clock of a device, for images of any size.

    In small images the fixed part of a pass weighs more, so other points are best.

    Args:
        candidates: of which they are chosen.
        latency: of the device.
    """

    def __init__(self, candidates: Candidates, latency: PassLatency) -> None:
        self.candidates, self.latency = candidates, latency
        self._known: dict[int, Timed] = {}

    def full(self, gflops: float) -> float:
        """Seconds of an image in full resolution, whose detection there takes so many GFLOP."""
        return self.latency.seconds(Work(1.0, gflops, self.candidates.words[-1]))

    def at(self, gflops: float) -> Timed:
        """The best ones for images of so many GFLOP in full resolution."""
        step = round(log(gflops / self.candidates.full) / STEP)
        if step not in self._known:
            seconds = self.candidates.seconds(self.latency, self.candidates.full * float(np.exp(STEP * step)))
            points = self.candidates.best([one / seconds[-1] for one in seconds])
            self._known[step] = Timed(points, points.calibration)
        return self._known[step]
