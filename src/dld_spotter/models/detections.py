"""What is found in a view before anything is read, in a module that needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dld_spotter.core.geometry import boundaries_to_polygon, polygons_to_boundaries, word_heights
from dld_spotter.models.proposals import Proposals

POINTS = 8
"""Points of each boundary of a word that is given, where nothing was detected to go by."""


@dataclass(frozen=True, eq=False)
class Detections:
    """One view of an image, seen by the detector alone.

    Args:
        size: height and width of the view.
        probability: ``(h, w)`` text map, padding included.
        proposals: N of the view that may be words.
        factors: ``(2,)`` (x, y) from pixels of the reference to those of the view.
        source: what recognising them takes, of whoever detected them.
        min_score: words of a lower score are dropped when they are recognised.
    """

    size: tuple[int, int]
    probability: np.ndarray
    proposals: Proposals
    factors: np.ndarray
    source: Any = None
    min_score: float = 0.0

    @property
    def all(self) -> np.ndarray:
        """Index of every region."""
        return np.arange(len(self.proposals))

    def heights(self) -> np.ndarray:
        """Height ``(N,)`` in pixels of the view; that of the whole where a region is a part."""
        return word_heights(self.proposals.boundaries)[self.proposals.roots()]

    def polygons(self) -> list[np.ndarray]:
        """Polygon ``(P, 2)`` of each in pixels of the reference."""
        return [boundaries_to_polygon(boundaries / self.factors) for boundaries in self.proposals.boundaries]

    def outlines(self) -> list[np.ndarray]:
        """The same; that of the whole where a region is a part."""
        polygons = self.polygons()
        return [polygons[root] for root in self.proposals.roots()]

    def at(self, polygons: Sequence[np.ndarray]) -> "Detections":
        """The same view as if words had been detected, with certainty, at polygons ``(P, 2)`` in pixels of the reference.

        What is read there is kept, whatever its score.
        """
        points = self.proposals.boundaries.shape[2] if len(self.proposals) else POINTS
        boundaries = polygons_to_boundaries([polygon * self.factors for polygon in polygons], points)
        given = Proposals(boundaries, np.ones(len(polygons), np.float32), np.full(len(polygons), -1))
        return replace(self, proposals=given, min_score=0.0)

    def within(self, which: np.ndarray, most: int | None) -> np.ndarray:
        """So many of the regions at ``which`` at most, see :meth:`Proposals.pick`; wholes come with all of their parts."""
        return which[self.proposals.take(which).pick(most=None if most is None else max(most, 0))]
