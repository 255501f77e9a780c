"""What is found in a view before anything is read, in a module that needs no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dld_spotter.core.geometry import sides_to_polygon, word_heights
from dld_spotter.core.words import Word
from dld_spotter.models.contours import Regions


@dataclass(frozen=True, eq=False)
class Glance:
    """One view of an image, looked at by the detector alone.

    Args:
        size: height and width of the view.
        probability: ``(h, w)`` text map, padding included.
        regions: N of the view that may be words.
        factors: ``(2,)`` (x, y) from pixels of the reference to those of the view.
        source: what the reader that found them needs to read them.
    """

    size: tuple[int, int]
    probability: np.ndarray
    regions: Regions
    factors: np.ndarray
    source: Any = None

    @property
    def all(self) -> np.ndarray:
        """Index of every region."""
        return np.arange(len(self.regions))

    def heights(self) -> np.ndarray:
        """Height ``(N,)`` in pixels of the view; that of the whole where a region is a part."""
        return word_heights(self.regions.sides)[self.regions.roots()]

    def polygons(self) -> list[np.ndarray]:
        """Polygon ``(P, 2)`` of each in pixels of the reference."""
        return [sides_to_polygon(sides / self.factors) for sides in self.regions.sides]

    def outlines(self) -> list[np.ndarray]:
        """The same; that of the whole where a region is a part."""
        polygons = self.polygons()
        return [polygons[root] for root in self.regions.roots()]

    def within(self, which: np.ndarray, most: int | None) -> np.ndarray:
        """So many of the regions at ``which`` at most, see :meth:`Regions.pick`; wholes come with all of their parts."""
        return which[self.regions.take(which).pick(most=None if most is None else max(most, 0))]


Find = Callable[[np.ndarray, float], Glance]
"""Looks at an image ``(H, W, 3)`` uint8 at a scale of it."""
Read = Callable[[Glance, np.ndarray], list[Word]]
"""Reads the regions of a glance at indices ``(M,)``: words that are sure enough, polygons in pixels of the reference."""
