"""How wide the crop of a word is, in a module that needs no torch: exported spotters crop by it too."""

import numpy as np

from dld_spotter.core.geometry import word_heights

HEIGHT = 48
"""Rows of a word crop."""
COLUMN = 8
"""Columns of a crop per step of the logits."""
WIDTHS = (32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 320, 448, 640)
"""Columns that a crop may have: the next ones from what the word's aspect ratio asks for, which the word then fills."""
NOMINAL_WIDTH = 96
"""Columns of the word that a FLOP count is made for, 6 letters."""
TOLERANCE = 0.02
"""Share by which a word may be squeezed rather than take the next width; so rounding never decides for round ratios."""


def crop_widths(boundaries: np.ndarray, ratio: float = 1.0) -> np.ndarray:
    """Columns ``(N,)`` int64 of the crops of words ``(N, 2, K, 2)``, ``ratio`` times those that keep their proportions.

    >>> square = np.array([[[[0.0, 0.0], [9.0, 0.0]], [[0.0, 9.0], [9.0, 9.0]]]])
    >>> crop_widths(np.concatenate([square, square * [3.0, 1.0]])).tolist()
    [48, 160]
    """
    lengths = np.linalg.norm(np.diff(boundaries, axis=2), axis=-1).sum(-1).mean(1)
    wanted = HEIGHT * lengths / np.maximum(word_heights(boundaries), 1e-3) * ratio * (1 - TOLERANCE)
    return np.array(WIDTHS)[np.searchsorted(WIDTHS, wanted).clip(max=len(WIDTHS) - 1)]
