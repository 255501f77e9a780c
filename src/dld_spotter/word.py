"""What reading a photo gives, in a module that needs no torch."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Word:
    """A word that was read: polygon ``(P, 2)`` float32 clockwise from the text's top left, text, score in 0..1."""

    polygon: np.ndarray
    text: str
    score: float


@dataclass(frozen=True)
class Look:
    """What was read in an image, and what it took.

    Args:
        words: polygons in pixels of the reference.
        sizes: height and width of every view that went through the detector: one, or two after a second look.
        read: how many words went through the recogniser and had a text.
    """

    words: list[Word]
    sizes: tuple[tuple[int, int], ...]
    read: int
