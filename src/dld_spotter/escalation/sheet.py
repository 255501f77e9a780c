"""Cut-outs of an image on one sheet, and words of the sheet back in the image."""

from collections.abc import Iterable, Sequence
from math import prod

import numpy as np

from dld_spotter.escalation.places import Box, Place, owner
from dld_spotter.word import Word

WIDTHS = np.geomspace(0.7, 2.0, 8)
"""Widths of a sheet that are tried, over the side of a square as large as what comes on it."""

Layout = tuple[tuple[int, int], list[tuple[int, int]]]
"""Height and width of a sheet, and the left and top of each cut-out on it."""


def lay_out(boxes: Sequence[Box]) -> Layout:
    """Find a place for cut-outs on one sheet, as small a one as shelves of some width make it."""
    sizes = np.array([(right - left, bottom - top) for left, top, right, bottom in boxes])
    widths = np.maximum(sizes[:, 0].max(), np.rint(WIDTHS * np.sqrt(sizes.prod(axis=1).sum())))
    return min((_shelve(sizes, width) for width in np.unique(widths)), key=lambda layout: prod(layout[0]))


def _shelve(sizes: np.ndarray, width: float) -> Layout:
    """Cut-outs ``(N, 2)`` (width, height) on shelves, the tallest first, each on the highest shelf that has room for it."""
    corners: list[tuple[int, int]] = [(0, 0)] * len(sizes)
    shelves: list[tuple[int, int]] = []  # what is taken of each, and where it begins
    height = 0
    for place in np.argsort(-sizes[:, 1], kind="stable").tolist():
        w, h = sizes[place].tolist()
        shelf = next((k for k, (taken, _) in enumerate(shelves) if taken + w <= width), len(shelves))
        if shelf == len(shelves):
            shelves.append((0, height))
            height += h
        corners[place] = shelves[shelf]
        shelves[shelf] = (shelves[shelf][0] + w, shelves[shelf][1])
    return (height, max(taken for taken, _ in shelves)), corners


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


def back(
    words: Iterable[Word], cut: Sequence[Place], corners: Sequence[tuple[int, int]], found: Sequence[Place]
) -> list[tuple[Place, Word]]:
    """Bring words from the sheet back to the reference.

    Args:
        words: polygons in pixels of the sheet.
        cut: the places that are on it.
        corners: left and top of each.
        found: all places of the image. What another one of them shows better may be cut off in this one, and is left to it.

    Returns:
        what is left, with the place where it was read.
    """
    shown = [
        Place((x, y, x + right - left, y + bottom - top), place.evidence)
        for place, (x, y) in zip(cut, corners, strict=True)
        for left, top, right, bottom in [place.box]
    ]
    brought = []
    for word in words:
        frame = owner(shown, word.polygon.mean(0))
        if frame is None:
            continue
        place = cut[shown.index(frame)]
        moved = Word(word.polygon + np.subtract(place.box[:2], frame.box[:2]).astype(np.float32), word.text, word.score)
        if owner(found, moved.polygon.mean(0)) is place:
            brought.append((place, moved))
    return brought
