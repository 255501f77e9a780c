"""Where words may have been missed or misread, and what a first pass saw there."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dld_spotter.core.geometry import polygons_to_boundaries, word_heights
from dld_spotter.core.words import Word
from dld_spotter.models.proposals import MAP_STRIDE
from dld_spotter.selection.second_pass.gains import FOUND, LACKING, READ, SHAPE, UNREAD, height_bin

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels."""
SHRUNK = 0.6
"""Height of unread text in the map, over that of its words."""
ASPECT = 4.0
"""Length over height of unread text that is taken for one word."""


@dataclass(frozen=True, eq=False)
class Region:
    """Where words may have been missed or misread.

    Args:
        box: in pixels of the reference.
        evidence: ``(4, 5)`` what the first pass saw there, by kind and height (see ``gains.py``); where
            regions share pixels, each word is evidence of the one that shows most around it.
    """

    box: Box
    evidence: np.ndarray

    @property
    def area(self) -> int:
        """Pixels of the reference."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)

    @property
    def words(self) -> float:
        """How many words may be read there."""
        return float(self.evidence[[READ, FOUND, UNREAD]].sum())

    @property
    def waiting(self) -> float:
        """How many of them the first pass has found, and will recognise if nothing is read again."""
        return float(self.evidence[FOUND].sum())

    @property
    def more(self) -> float:
        """How many more are read there than without a second pass."""
        return self.words - self.waiting


def find_regions(
    probability: np.ndarray,
    size: Sequence[int],
    whole: Sequence[int],
    words: Sequence[Word],
    threshold: float,
    context: int,
    waiting: Sequence[np.ndarray] = (),
) -> list[Region]:
    """Everywhere that words may be; where two boxes share pixels, one around both would take more.

    Args:
        probability: ``(H/2, W/2)`` text map of the first pass, padding included.
        size: height and width of the first view.
        whole: the same of the reference.
        words: what the first pass read, in pixels of the reference.
        threshold: text probability from which on a region may hold words.
        context: pixels of the reference that are shown around it.
        waiting: outlines ``(P, 2)`` of what the first pass has found to be read later, in pixels of the reference.
    """
    rows, columns = (-(-side // MAP_STRIDE) for side in size)
    probability = probability[:rows, :columns]
    mask = (probability > threshold).astype(np.uint8)
    grow = np.array([whole[1] / size[1], whole[0] / size[0]]) * MAP_STRIDE
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    start, sides = stats[1:count, :2], stats[1:count, 2:4]
    corners = np.floor(start * grow - context), np.ceil((start + sides) * grow + context)
    boxes = _merge(np.hstack([corner.clip(0, whole[::-1]) for corner in corners]).astype(int))
    evidence = np.zeros((len(boxes), *SHAPE))
    pixel = grow.mean() / MAP_STRIDE  # of the view, in pixels of the reference
    texts = [((READ, LACKING), word.polygon, (1.0, 1 - word.score)) for word in words]
    texts += [((FOUND,), outline, (1.0,)) for outline in waiting]
    outlines = [outline for _, outline, _ in texts]
    seen = zip(texts, (word_heights(polygons_to_boundaries(outlines)) / pixel).tolist(), strict=True)
    unread = _unread(probability, mask, outlines, grow)
    for (kinds, outline, amounts), height in (*seen, *unread):
        if (k := owner(boxes, outline)) is not None:
            evidence[k, list(kinds), height_bin(height)] += amounts
    return [Region(tuple(box), evidence[k]) for k, box in enumerate(boxes.tolist())]


Text = tuple[tuple[int, ...], np.ndarray, tuple[float, ...]]
"""Kinds of evidence, corners ``(P, 2)`` in the reference, and how much of each kind it is."""


def _unread(
    probability: np.ndarray, mask: np.ndarray, known: Sequence[np.ndarray], grow: np.ndarray
) -> list[tuple[Text, float]]:
    """Text outside of what is known, as how many words it may hold, and its height in the view."""
    rest = mask.copy()
    for outline in known:
        cv2.fillPoly(rest, [np.rint(outline / grow - 0.5).astype(np.int32)], 0)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(rest, connectivity=8)
    found = []
    for k in range(1, count):
        x, y, w, h, _ = stats[k].tolist()
        part = np.s_[y : y + h, x : x + w]
        sureness = float(probability[part][labels[part] == k].max())
        held = sureness * max(1.0, max(w, h) / min(w, h) / ASPECT)
        corners = np.array([[x, y], [x + w, y + h]]) * grow
        found.append((((UNREAD,), corners, (held,)), min(w, h) * MAP_STRIDE / SHRUNK))
    return found


def _merge(boxes: np.ndarray) -> np.ndarray:
    """Put one box around two of the boxes ``(N, 4)`` until none takes less than the two, or as much."""
    joined = np.zeros((0, 4), int)
    for box in boxes:
        while len(joined):
            around = np.hstack([np.minimum(joined[:, :2], box[:2]), np.maximum(joined[:, 2:], box[2:])])
            saved = _areas(joined) + _areas(box) - _areas(around)
            best = saved.argmax()
            if saved[best] < 0:
                break
            box, joined = around[best], np.delete(joined, best, axis=0)
        joined = np.vstack([joined, box])
    return joined


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)


def depths(boxes: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """How far from the nearest edge of each box ``(N, 4)`` the outermost of points ``(P, 2)`` lies, pixels.

    Below 0 where they reach beyond it, and -inf where their middle is not in it: the box of the greatest depth shows most
    around them.
    """
    low, high = outline.min(0), outline.max(0)
    middle = (low + high) / 2
    holds = ((boxes[:, :2] <= middle) & (middle <= boxes[:, 2:])).all(1)
    return np.where(holds, np.minimum(low - boxes[:, :2], boxes[:, 2:] - high).min(1), -np.inf)


def owner(boxes: np.ndarray, outline: np.ndarray) -> int | None:
    """Which of boxes ``(N, 4)`` shows most around points ``(P, 2)``; None where no box holds their middle.

    A word may have grown out of a region too narrow to hold its middle.
    """
    depth = depths(boxes, outline)
    return int(depth.argmax()) if np.isfinite(depth.max(initial=-np.inf)) else None
