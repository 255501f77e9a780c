"""Cut-outs of an image on one sheet, and words of the sheet back in the image."""

from collections.abc import Iterable, Sequence

import numpy as np

from dld_spotter.escalation.places import Box, Place, holds
from dld_spotter.word import Word


def lay_out(boxes: Sequence[Box]) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """Find a place for cut-outs on one sheet, row after row, the tallest first.

    Returns:
        height and width of the sheet, and the left and top of each cut-out on it.
    """
    sizes = np.array([(right - left, bottom - top) for left, top, right, bottom in boxes])
    width = int(max(sizes[:, 0].max(), np.sqrt(1.1 * sizes.prod(axis=1).sum())))
    corners: list[tuple[int, int]] = [(0, 0)] * len(boxes)
    x = y = row = 0
    for place in np.argsort(-sizes[:, 1], kind="stable"):
        w, h = sizes[place].tolist()
        if x and x + w > width:
            x, y, row = 0, y + row, 0
        corners[place] = (x, y)
        x, row = x + w, max(row, h)
    return (y + row, width), corners


def sheet_size(places: Iterable[Place]) -> tuple[int, int]:
    """Height and width of the sheet that places take."""
    return lay_out([place.box for place in places])[0]


def pack(image: np.ndarray, boxes: Sequence[Box]) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Lay cut-outs on one sheet ``(h, w, 3)``, the rest of it black; returns where each lies on it, too."""
    size, corners = lay_out(boxes)
    sheet = np.zeros((*size, 3), np.uint8)
    for (left, top, right, bottom), (x, y) in zip(boxes, corners, strict=True):
        sheet[y : y + bottom - top, x : x + right - left] = image[top:bottom, left:right]
    return sheet, corners


def back(word: Word, cut: Sequence[Place], corners: Sequence[tuple[int, int]]) -> Word | None:
    """Bring a word from the sheet back to the reference; None where it lies in no cut-out."""
    middle = word.polygon.mean(0)
    for place, (x, y) in zip(cut, corners, strict=True):
        left, top, right, bottom = place.box
        if holds((x, y, x + right - left, y + bottom - top), middle):
            return Word(word.polygon + np.array([left - x, top - y], np.float32), word.text, word.score)
    return None
