"""The table that a policy of sizes learns from: what an engine read of N images in each of K ways, and what that took."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from math import inf
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from dld_spotter.budget.operating_points import OperatingPoint
from dld_spotter.core.archives import UNREADABLE, Bounds, read_arrays
from dld_spotter.core.errors import DataError
from dld_spotter.core.files import whole
from dld_spotter.selection.sizes.features import VERSION
from dld_spotter.tradeoff import Measures, Outcomes

BOUNDS = Bounds(members=64, member=2**28, archive=2**29, ratio=1000)
"""Of a table, as of one of :class:`~dld_spotter.tradeoff.Outcomes`."""
COUNTS = ("sides", "sizes", "matched", "predicted", "true", "words", "again")
"""What is finite, and not below 0."""
NOMINAL = 1280
"""Long side in pixels that scale 1.0 of a trade-off stands for."""
LARGEST_SCALE = 4.0
"""An image is enlarged to so many times its sides at most."""


class Way(NamedTuple):
    """How an engine may read an image.

    Attributes:
        size: long side of the view in pixels; above that of the image, it is enlarged.
        gain_threshold: of a second pass; infinite for a single pass.
    """

    size: int
    gain_threshold: float = inf

    def point(self, height: int, width: int) -> OperatingPoint:
        """What it comes to for an image of this height and width."""
        return OperatingPoint(min(self.size / max(height, width), LARGEST_SCALE), self.gain_threshold)


@dataclass(frozen=True, eq=False)
class EngineOutcomes:
    """N images, each read by an engine in K ways.

    Args:
        engine: name, version and settings of the engine.
        names: ``(N,)`` of the images.
        sides: ``(N, 2)`` height and width of the reference.
        features: ``(N, F)`` what thumbnails tell.
        sizes: ``(K,)`` long side of each way, ascending among those of a single pass.
        gain_thresholds: ``(K,)`` of the second pass of each way, infinite for a single pass.
        matched: ``(N, K)`` words found and read.
        predicted: ``(N, K)`` words predicted that count.
        true: ``(N, K)`` true words that count.
        words: ``(N, K)`` words that the engine wrote, in both passes.
        again: ``(N, K)`` pixels of the second pass over those of the reference.
        seconds: ``(N, K)`` wall time, where it was measured.
        version: of the features.
    """

    engine: str
    names: np.ndarray
    sides: np.ndarray
    features: np.ndarray
    sizes: np.ndarray
    gain_thresholds: np.ndarray
    matched: np.ndarray
    predicted: np.ndarray
    true: np.ndarray
    words: np.ndarray
    again: np.ndarray
    seconds: np.ndarray
    version: int = VERSION

    def __post_init__(self) -> None:
        images, ways = len(self.names), len(self.sizes)
        for name in ("matched", "predicted", "true", "words", "again", "seconds"):
            if np.shape(getattr(self, name)) != (images, ways):
                raise DataError(f"outcomes.{name} must have shape {(images, ways)}, found {np.shape(getattr(self, name))}")
        if not images or not ways or len(self.features) != images or self.sides.shape != (images, 2):
            raise DataError(f"outcomes need images and ways, and features and sides of each image; found {images} and {ways}")
        if self.version != VERSION:
            raise DataError(
                f"these outcomes hold features of version {self.version}, expected {VERSION}; read the images again"
            )

    @property
    def ways(self) -> tuple[Way, ...]:
        """The K ways."""
        pairs = zip(self.sizes.tolist(), self.gain_thresholds.tolist(), strict=True)
        return tuple(Way(int(size), float(threshold)) for size, threshold in pairs)

    def single(self) -> Outcomes:
        """The ways of a single pass as the table of a trade-off; scale 1.0 is ``NOMINAL`` pixels, cost is area."""
        once = np.flatnonzero(np.isinf(self.gain_thresholds))
        scales = self.sizes[once] / NOMINAL
        area = np.broadcast_to(scales**2, (len(self.names), len(once)))
        columns = (self.matched, self.predicted, self.true)
        counts = [column[:, once] for column in columns]
        measures = Measures.of(*counts, area, np.nan, self.seconds[:, once])
        return Outcomes.of(tuple(self.names.tolist()), tuple(scales.tolist()), measures)

    def save(self, path: str | Path) -> None:
        """Write a compressed ``.npz`` without pickled objects."""
        with whole(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **{field.name: np.asarray(getattr(self, field.name)) for field in fields(self)})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            DataError: the file is missing, or holds something else.
        """
        try:
            values = read_arrays(Path(path), [field.name for field in fields(cls)], BOUNDS)
            engine, version = values.pop("engine"), values.pop("version")
            if engine.dtype.kind != "U" or engine.ndim or version.dtype.kind not in "iu" or version.ndim:
                raise ValueError("engine must be one text and version one whole number")
            _check_columns(values)
            return cls(**values, engine=str(engine), version=int(version))
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        except UNREADABLE as error:
            raise DataError(
                f"{path} is no table of an engine's outcomes ({error}); fit_selector engine=NAME writes one"
            ) from error

    @classmethod
    def joined(cls, tables: Iterable[Self]) -> Self:
        """The images of several tables of one engine and the same ways, such as of photos and of documents.

        Raises:
            DataError: they are of different engines, or ways.
        """
        first, *others = tables
        for other in others:
            if (other.engine, other.ways) != (first.engine, first.ways):
                raise DataError(
                    f"outcomes of {other.engine} at {other.sizes} cannot join those of {first.engine} at {first.sizes}"
                )
        rows = {
            field.name: np.concatenate([getattr(table, field.name) for table in (first, *others)])
            for field in fields(cls)
            if field.name not in ("engine", "version", "sizes", "gain_thresholds")
        }
        return cls(engine=first.engine, sizes=first.sizes, gain_thresholds=first.gain_thresholds, **rows)


def _check_columns(values: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError where a column of a file is not what a table can hold."""
    names = values["names"]
    if names.dtype.kind != "U" or names.ndim != 1 or any(values[name].ndim != 1 for name in ("sizes", "gain_thresholds")):
        raise ValueError("names must be a list of texts, sizes and gain_thresholds lists of numbers")
    for name in values.keys() - {"names"}:
        column = values[name]
        if column.dtype.kind not in "biuf" or (name in COUNTS and not (np.isfinite(column) & (column >= 0)).all()):
            raise ValueError(f"{name} must be {'finite numbers, none below 0' if name in COUNTS else 'numbers'}")
    if np.isnan(values["gain_thresholds"]).any():
        raise ValueError("gain_thresholds must be numbers")
