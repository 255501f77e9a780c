"""Cut-outs of an image on one mosaic, and words of the mosaic back in the image."""

from collections.abc import Iterable, Sequence
from math import prod

import numpy as np

from dld_spotter.core.words import Word
from dld_spotter.selection.second_pass.regions import Box, Region, depths

WIDTHS = np.geomspace(0.7, 2.0, 8)
"""Widths of a mosaic that are tried, over the side of a square as large as what comes on it."""
EDGE = 2.0
"""Pixels of the edge of a cut-out within which a word may go on behind it."""

Layout = tuple[tuple[int, int], list[tuple[int, int]]]
"""Height and width of a mosaic, and the left and top of each cut-out on it."""


def lay_out(boxes: Sequence[Box]) -> Layout:
    """Lay out cut-outs on one mosaic, the smallest that shelves of some widths make."""
    sizes = np.array([(right - left, bottom - top) for left, top, right, bottom in boxes])
    widths = np.maximum(sizes[:, 0].max(), np.rint(WIDTHS * np.sqrt(sizes.prod(axis=1).sum())))
    return min((_shelve(sizes, width) for width in np.unique(widths)), key=lambda layout: prod(layout[0]))


def _shelve(sizes: np.ndarray, width: float) -> Layout:
    """Cut-outs ``(N, 2)`` (width, height) on shelves, the tallest first, each on the highest shelf that has room for it."""
    corners: list[tuple[int, int]] = [(0, 0)] * len(sizes)
    shelves: list[tuple[int, int]] = []  # what is taken of each, and where it begins
    height = 0
    for region in np.argsort(-sizes[:, 1], kind="stable").tolist():
        w, h = sizes[region].tolist()
        shelf = next((k for k, (taken, _) in enumerate(shelves) if taken + w <= width), len(shelves))
        if shelf == len(shelves):
            shelves.append((0, height))
            height += h
        corners[region] = shelves[shelf]
        shelves[shelf] = (shelves[shelf][0] + w, shelves[shelf][1])
    return (height, max(taken for taken, _ in shelves)), corners


def mosaic_size(regions: Iterable[Region]) -> tuple[int, int]:
    """Height and width of the mosaic that regions take."""
    return lay_out([region.box for region in regions])[0]


def make_mosaic(image: np.ndarray, boxes: Sequence[Box]) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Lay cut-outs on one mosaic ``(h, w, 3)``, the rest of it black; returns where each lies on it, too."""
    size, corners = lay_out(boxes)
    mosaic = np.zeros((*size, 3), np.uint8)
    for (left, top, right, bottom), (x, y) in zip(boxes, corners, strict=True):
        mosaic[y : y + bottom - top, x : x + right - left] = image[top:bottom, left:right]
    return mosaic, corners


def from_mosaic(
    words: Iterable[Word], cut: Sequence[Region], corners: Sequence[tuple[int, int]], found: Sequence[Region]
) -> list[tuple[Region, Word]]:
    """Bring words from the mosaic back to the reference.

    Cut-outs may show the same pixels. Of these the one counts that shows most around a word; and a word that ends where its
    cut-out ends is none if another region shows more of it, whether that is on the mosaic or not.

    Args:
        words: polygons in pixels of the mosaic.
        cut: the regions that are on it.
        corners: left and top of each.
        found: all regions of the image.

    Returns:
        the words that are left, with the region where each was read.
    """
    boxes = np.array([region.box for region in found]).reshape(-1, 4)
    own = [next(k for k, other in enumerate(found) if other is region) for region in cut]
    shifts = boxes[own, :2] - np.array(corners).reshape(-1, 2)
    frames = boxes[own] - np.tile(shifts, 2)
    brought = []
    for word in words:
        inside = depths(frames, word.polygon)
        k = int(inside.argmax())
        if not np.isfinite(inside[k]):
            continue
        polygon = word.polygon + shifts[k].astype(np.float32)
        around = depths(boxes, polygon)
        cut_off = around[own[k]] <= EDGE and around.max() > around[own[k]]
        if around[own].argmax() == k and not cut_off:
            brought.append((cut[k], Word(polygon, word.text, word.score)))
    return brought
