"""Where words may have been missed or misread, and what a first look saw there."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dld_spotter.data.geometry import polygons_to_sides, word_heights
from dld_spotter.escalation.gains import LACKING, READ, SHAPE, UNREAD, height_bin
from dld_spotter.models.contours import MAP_STRIDE
from dld_spotter.word import Word

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels."""
SHRUNK = 0.6
"""Height of unread text in the map, over that of its words."""
ASPECT = 4.0
"""Length over height of unread text that is taken for one word."""


@dataclass(frozen=True, eq=False)
class Place:
    """Where words may have been missed or misread.

    Args:
        box: in pixels of the reference.
        evidence: ``(3, 5)`` what the first look saw there, by kind and height, see :mod:`dld_spotter.escalation.gains`.
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
        return float(self.evidence[[READ, UNREAD]].sum())

    def holds(self, word: Word) -> bool:
        """Whether the middle of a word lies in it."""
        return holds(self.box, word.polygon.mean(0))


def places(
    probability: np.ndarray, size: Sequence[int], whole: Sequence[int], words: Sequence[Word], threshold: float, context: int
) -> list[Place]:
    """Everywhere that words may be, apart from each other.

    Args:
        probability: ``(H/2, W/2)`` text map of the first look, padding included.
        size: height and width of the first view.
        whole: the same of the reference.
        words: what the first look read, in pixels of the reference.
        threshold: text probability from which on a place may hold words.
        context: pixels of the reference that are shown around it.
    """
    rows, columns = (-(-side // MAP_STRIDE) for side in size)
    probability = probability[:rows, :columns]
    mask = (probability > threshold).astype(np.uint8)
    grow = np.array([whole[1] / size[1], whole[0] / size[0]]) * MAP_STRIDE
    reach = np.ceil(context / grow).astype(int)
    near = cv2.dilate(mask, np.ones((2 * reach[1] + 1, 2 * reach[0] + 1), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
    found = []
    for left, top, right, bottom in _merge([(x, y, x + w, y + h) for x, y, w, h in stats[1:count, :4].tolist()]):
        start = np.floor(np.array([left, top]) * grow)
        end = np.minimum(np.ceil(np.array([right, bottom]) * grow), whole[::-1])
        found.append(Place(tuple(np.concatenate([start, end]).astype(int).tolist()), np.zeros(SHAPE)))
    pixel = grow.mean() / MAP_STRIDE  # of the view, in pixels of the reference
    heights = word_heights(polygons_to_sides([word.polygon for word in words])) / pixel
    seen = [
        (word.polygon.mean(0), (READ, LACKING), height, (1.0, 1 - word.score))
        for word, height in zip(words, heights.tolist(), strict=True)
    ]
    for middle, kinds, height, amounts in [*seen, *_unread(probability, mask, words, grow)]:
        place = next((place for place in found if holds(place.box, middle)), None)
        if place is not None:  # a word may have grown out of a region that is too narrow to hold its middle
            place.evidence[list(kinds), height_bin(height)] += amounts
    return found


def _unread(
    probability: np.ndarray, mask: np.ndarray, words: Sequence[Word], grow: np.ndarray
) -> list[tuple[np.ndarray, tuple[int], float, tuple[float]]]:
    """Text that no word covers: middle in the reference, kind, height in the view, and how many words it may hold."""
    rest = mask.copy()
    for word in words:
        cv2.fillPoly(rest, [np.rint(word.polygon / grow - 0.5).astype(np.int32)], 0)
    count, labels, stats, middles = cv2.connectedComponentsWithStats(rest, connectivity=8)
    found = []
    for k in range(1, count):
        x, y, w, h, _ = stats[k].tolist()
        part = np.s_[y : y + h, x : x + w]
        sureness = float(probability[part][labels[part] == k].max())
        held = sureness * max(1.0, max(w, h) / min(w, h) / ASPECT)
        found.append(((middles[k] + 0.5) * grow, (UNREAD,), min(w, h) * MAP_STRIDE / SHRUNK, (held,)))
    return found


def _merge(boxes: Sequence[Box]) -> list[Box]:
    """Join boxes that overlap until none do."""
    joined: list[Box] = []
    for box in boxes:
        while (hit := next((other for other in joined if _overlap(box, other)), None)) is not None:
            joined.remove(hit)
            box = (min(box[0], hit[0]), min(box[1], hit[1]), max(box[2], hit[2]), max(box[3], hit[3]))
        joined.append(box)
    return joined


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def holds(box: Box, point: np.ndarray) -> bool:
    """Whether a point ``(2,)`` lies in a box."""
    return box[0] <= point[0] < box[2] and box[1] <= point[1] < box[3]
