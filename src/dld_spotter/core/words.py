"""What reading a photo gives, in a module that needs no torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Cost = Callable[[int, int, float], float]
"""Cost of a view: of its height, its width and the number of words that are read in it."""


@dataclass(frozen=True)
class Word:
    """A word that was read.

    Args:
        polygon: ``(P, 2)`` float32 clockwise from the text's top left.
        text: what was read.
        score: in 0..1.
        proposal: which of the proposals of its view it is, or is a part of; -1 where nobody says.
    """

    polygon: np.ndarray
    text: str
    score: float
    proposal: int = -1


@dataclass(frozen=True)
class SpottingResult:
    """What was read in an image, and what it took.

    Args:
        words: polygons in pixels of the reference.
        sizes: height and width of every view that went through the detector: one, or two after a second pass.
        reads: how many words of each view went through the recogniser; more than were sure enough to be reported.
        again: how many were read in both views, at most: high enough ones of the first in what was read again.
        dropped: regions beyond what a decoder takes, which nobody has read.
    """

    words: list[Word]
    sizes: tuple[tuple[int, int], ...]
    reads: tuple[float, ...]
    again: float = 0
    dropped: int = 0

    def spent(self, cost: Cost) -> float:
        """Cost of all that was detected in and recognised."""
        return sum(cost(*size, read) for size, read in zip(self.sizes, self.reads, strict=True))

    def full(self, size: Sequence[int], cost: Cost) -> float:
        """Cost of one pass over the whole reference of this height and width that reads each of these words once."""
        height, width = size
        return cost(height, width, sum(self.reads) - self.again)
