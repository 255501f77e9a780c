"""A policy that chooses for each image at which size an OCR engine reads it, and whether it reads parts of it again."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, isinf, sqrt
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from dld_spotter.budget.calibration import Calibration
from dld_spotter.budget.operating_points import OperatingPoint
from dld_spotter.core.arrays import Floats
from dld_spotter.core.errors import ConfigError, DataError, SpotterError
from dld_spotter.core.files import write_text
from dld_spotter.core.records import Record
from dld_spotter.core.words import Cost
from dld_spotter.data.photos import scaled_size
from dld_spotter.selection.policy import FACTORS, GAMMA, Policy
from dld_spotter.selection.sizes.features import VERSION, describe
from dld_spotter.selection.sizes.outcomes import Way
from dld_spotter.selection.sizes.regression import Regression

MOST_BYTES = 2 * 10**6
"""Of the file of a policy."""
DIGITS = 5
"""Significant digits of the numbers in it."""
UNSEEN = 0.02
"""Share of the reference that must be expected to be read again for a second pass to be paid for."""

Rows = tuple[tuple[float, ...], ...]
Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Expected:
    """What is expected of M images in K ways, ``(M, K)``: losses, words read, and share of the reference that is read again."""

    losses: Floats
    words: Floats
    again: Floats

    @classmethod
    def of(cls, values: Floats) -> Self:
        """From the targets ``(M, 3 K)`` of a regression; words are in logarithms there."""
        losses, words, again = np.split(values, 3, axis=1)
        return cls(losses, np.expm1(words).clip(0), again.clip(0, 2))


@dataclass(frozen=True)
class SizeTable(Record):
    """What the file of a policy holds: numbers and names alone.

    Args:
        engine: name, version and settings of the engine that it was learnt from.
        version: of the features.
        reference: longest side in pixels of what is looked at and read again from.
        sizes: ``(K,)`` long sides of views, pixels.
        gain_thresholds: ``(K,)`` of second passes, infinite for a single pass.
        center: ``(F,)`` mean of the features.
        spread: ``(F,)`` their standard deviation.
        width: of the kernel.
        anchors: ``(N, F)`` standardised features of the images that it was learnt from.
        mean: ``(3 K,)`` losses, logarithms of words, and shares read again: the mean.
        weights: ``(N, 3 K)`` of the kernels.
        sides: ``(N, 2)`` height and width of these images.
        known: ``(N, 3 K)`` what would be expected of each of them, had it been left out: what budgets are calibrated on.
    """

    remedy: ClassVar[str] = "learn it again with fit_selector engine=NAME"
    refusal: ClassVar[type[SpotterError]] = DataError

    engine: str
    version: int
    reference: int
    sizes: tuple[int, ...]
    gain_thresholds: Numbers
    center: Numbers
    spread: Numbers
    width: float
    anchors: Rows
    mean: Numbers
    weights: Rows
    sides: tuple[tuple[int, int], ...]
    known: Rows

    def __post_init__(self) -> None:
        images, ways, features = len(self.anchors), len(self.sizes), len(self.center)
        shapes = [(self.anchors, images, features), (self.weights, images, 3 * ways), (self.known, images, 3 * ways)]
        sound = images > 0 and ways > 0 and len(self.gain_thresholds) == ways and len(self.mean) == 3 * ways
        sound = sound and len(self.spread) == features and len(self.sides) == images
        sound = sound and all(len(rows) == count and {len(row) for row in rows} == {width} for rows, count, width in shapes)
        if not sound:
            raise DataError(f"a policy needs as many numbers as {images} images, {ways} ways and {features} features take")
        numbers = np.concatenate(
            [np.ravel(rows) for rows in (self.center, self.spread, *self.anchors, self.mean, *self.weights)]
        )
        if not (np.isfinite(numbers).all() and np.isfinite(self.known).all() and min(self.spread) > 0):
            raise DataError("a policy needs finite numbers, and spreads above 0")
        if not (isfinite(self.width) and self.width > 0 and min(self.sizes) > 0 and min(map(min, self.sides)) > 0):
            raise DataError("a policy needs sizes and a width above 0")
        if not (min(self.gain_thresholds) >= 0 and self.reference > 0 and any(map(isinf, self.gain_thresholds))):
            raise DataError("a policy needs gain thresholds of at least 0, one of them infinite, and a reference above 0")


class SizePolicy(Policy):
    """Takes of K ways of reading the one of the least ``loss + gamma * cost``, as thumbnails let expect.

    Losses are in words of an average image, or in shares of an image's own words, as it was learnt. Cost 1.0 is the mean time
    of the images that it was learnt from, read at the largest size in one pass.

    Args:
        table: what was learnt.
        gamma: cost weight where none is asked for.
        factors: its multiples.
    """

    second_passes = True

    def __init__(self, table: SizeTable, gamma: float = GAMMA, factors: Sequence[float] = FACTORS) -> None:
        self.table = table
        self.ways = tuple(map(Way, table.sizes, table.gain_thresholds))
        self.scales = tuple(sorted({way.size / table.reference for way in self.ways}))
        self.gammas = tuple(round(gamma * factor, 9) for factor in factors)
        learnt = (table.center, table.spread, table.anchors, table.width, table.mean, table.weights)
        self.regression = Regression(*(values if isinstance(values, float) else np.array(values, float) for values in learnt))
        self.known = Expected.of(np.array(table.known, float))
        self._units: dict[Cost, float] = {}

    def expect(self, image: np.ndarray) -> Expected:
        """What is expected of an image ``(H, W, 3)`` at the reference resolution."""
        return Expected.of(self.regression(describe(image)))

    def decide(self, image: np.ndarray, cost: Cost, gamma: float | None = None) -> OperatingPoint:
        """See :meth:`Policy.decide`; ``cost`` is in seconds, or whatever else adds up over passes."""
        expected, (height, width) = self.expect(image), image.shape[:2]
        losses, costs = expected.losses[0], self.costs(height, width, expected.words[0], expected.again[0], cost)
        way = self.ways[int((losses + self.weight(gamma) * costs / self.unit(cost)).argmin())]
        return way.point(height, width)

    def costs(self, height: int, width: int, words: Floats, again: Floats, cost: Cost) -> Floats:
        """Cost ``(K,)`` of reading an image of this size in each way, with so many words and so much of it again ``(K,)``."""
        found = []
        for way, read, share in zip(self.ways, words.tolist(), again.tolist(), strict=True):
            spent = cost(*scaled_size(height, width, way.point(height, width).scale), read)
            if not isinf(way.gain_threshold) and share > UNSEEN:
                spent += cost(*scaled_size(height, width, sqrt(share)), 0)
            found.append(spent)
        return np.array(found)

    def unit(self, cost: Cost) -> float:
        """What one unit of relative cost is: the mean over the images learnt from, at the largest size in one pass."""
        if cost not in self._units:
            largest = max((way.size, k) for k, way in enumerate(self.ways) if isinf(way.gain_threshold))[1]
            self._units[cost] = float(self.known_costs(cost)[:, largest].mean())
        return self._units[cost]

    def known_costs(self, cost: Cost) -> Floats:
        """Cost ``(N, K)`` of each way for the images learnt from."""
        rows = zip(self.table.sides, self.known.words, self.known.again, strict=True)
        return np.array([self.costs(*sides, words, again, cost) for sides, words, again in rows])

    def calibrate(self, cost: Cost) -> Calibration:
        """What cost weights spend, in units of :meth:`unit`, with a cost that was measured on this machine."""
        return Calibration.of(self.known.losses, self.known_costs(cost) / self.unit(cost))

    def check_engine(self, engine: str, origin: str = "policy") -> None:
        """Raise ConfigError if the policy was learnt from another engine, version or setting than ``engine``."""
        if engine != self.table.engine:
            raise ConfigError(
                f"{origin} was learnt from {self.table.engine}, and the engine is {engine}; give that engine and those "
                "settings, or learn another policy with fit_selector"
            )

    def save(self, path: str | Path) -> None:
        """Write the policy as JSON.

        Raises:
            DataError: it would exceed ``MOST_BYTES``.
        """
        text = json.dumps(_short(self.table.to_dict()), separators=(",", ":")) + "\n"
        if len(text) > MOST_BYTES:
            raise DataError(f"{path} would have {len(text) / 1e6:.1f} MB, and at most 2 are allowed; learn from fewer images=")
        write_text(path, text)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what :meth:`save` wrote: data alone, every number of which is checked.

        Raises:
            DataError: the file is missing, damaged, too large, or holds something else.
        """
        try:
            size = Path(path).stat().st_size
            if size > MOST_BYTES:
                raise DataError(
                    f"policy={path} has {size / 1e6:.1f} MB, and a policy at most 2; name one that fit_selector wrote"
                )
            values = json.loads(Path(path).read_text("utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"policy={path} cannot be read ({error}); name the policy.json that fit_selector wrote") from error
        table = SizeTable.from_dict(values, f"policy={path}")
        if table.version != VERSION:
            raise DataError(f"policy={path} holds features of version {table.version}, expected {VERSION}; {SizeTable.remedy}")
        return cls(table)


def _short(value: object) -> object:
    """The same plain values, with numbers of few digits."""
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_short(item) for item in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) and value != inf else value
