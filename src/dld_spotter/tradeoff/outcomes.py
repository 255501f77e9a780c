"""The table of outcomes: what reading each image at each scale gave and what it cost."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from dld_spotter.core.archives import UNREADABLE, Bounds, read_arrays
from dld_spotter.core.arrays import Floats
from dld_spotter.core.errors import DataError
from dld_spotter.core.files import whole
from dld_spotter.tradeoff.measures import MEASURES, Measures

BOUNDS = Bounds(members=64, member=2**28, archive=2**29, ratio=1000)
"""Of a table: a million images at eight scales take 64 MiB for each measure."""


@dataclass(frozen=True)
class Outcomes:
    """N images, each read once at each of K scales.

    Args:
        names: N image names; tables of the same images can be compared pairwise.
        scales: K scales, ascending, 1.0 being the reference.
        matched: ``(N, K)`` int words found and read.
        predicted: ``(N, K)`` int words predicted that count.
        true: ``(N, K)`` int true words that count.
        relative_cost: ``(N, K)`` cost over that of one pass at the reference resolution that reads each of the same words once.
        gflops: ``(N, K)`` GFLOPs.
        seconds: ``(N, K)`` wall time.
    """

    names: tuple[str, ...]
    scales: tuple[float, ...]
    matched: np.ndarray
    predicted: np.ndarray
    true: np.ndarray
    relative_cost: np.ndarray
    gflops: np.ndarray
    seconds: np.ndarray

    def __post_init__(self) -> None:
        expected = (len(self.names), len(self.scales))
        for measure in MEASURES:
            found = np.shape(getattr(self, measure))
            if found != expected:
                raise DataError(f"outcomes.{measure} must have shape {expected} (images, scales), found {found}")
        if not self.names or list(self.scales) != sorted(set(self.scales)):
            raise DataError(f"outcomes need at least one image and ascending scales, found {len(self.names)} and {self.scales}")

    @classmethod
    def of(cls, names: tuple[str, ...], scales: tuple[float, ...], measures: Measures) -> Self:
        """Build from measures ``(N, K)``, whose counts are whole numbers."""
        counts = (measures.matched.astype(int), measures.predicted.astype(int), measures.true.astype(int))
        return cls(names, scales, *counts, measures.relative_cost, measures.gflops, measures.seconds)

    @cached_property
    def measures(self) -> Measures:
        """All measures ``(N, K)``; they belong to the table and cannot be written to."""
        measures = Measures.of(*(getattr(self, measure) for measure in MEASURES))
        measures.values.setflags(write=False)
        return measures

    def save(self, path: str | Path) -> None:
        """Write a compressed ``.npz``."""
        arrays = {measure: getattr(self, measure) for measure in MEASURES}
        with whole(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, names=np.array(self.names, str), scales=np.array(self.scales), **arrays)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what :meth:`save` wrote; raises :class:`DataError` on any other file."""
        try:
            found = read_arrays(Path(path), (*MEASURES, "names", "scales"), BOUNDS)
            names, scales = found.pop("names"), found.pop("scales")
            if names.dtype.kind != "U" or names.ndim != 1 or scales.ndim != 1:
                raise ValueError("names must be a list of texts and scales one of numbers")
            for name, values in {**found, "scales": scales}.items():
                unknown = np.isnan(values) if name == "gflops" and values.dtype.kind == "f" else False
                if values.dtype.kind not in "iuf" or not ((np.isfinite(values) & (values >= 0)) | unknown).all():
                    raise ValueError(f"{name} must be finite numbers, none below 0")
            return cls(tuple(names.tolist()), tuple(scales.tolist()), **found)
        except UNREADABLE as error:
            raise DataError(f"{path} is no table of outcomes ({error}); write one with Outcomes.save") from error


def spend(outcomes: Outcomes, weights: Floats) -> Measures:
    """Expected measures of each image ``(N,)`` when image i is read at scale k with probability ``weights[i, k]``."""
    return outcomes.measures.mixed(weights)
