"""What reading a photo gives, in a module that needs no torch."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Word:
    """A word that was read: polygon ``(P, 2)`` float32 clockwise from the text's top left, text, score in 0..1."""

    polygon: np.ndarray
    text: str
    score: float
