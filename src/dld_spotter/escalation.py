"""Escalation: find words in a small view, then look again at full resolution where words may have been missed or misread.

Text covers a few per cent of most photos. The places in doubt are cut out of the reference, packed into one sheet and read
in a second pass, whose cost follows their area alone. Needs no torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isinf
from typing import Any, Self

import cv2
import numpy as np
import shapely

from dld_spotter.errors import CheckpointError, ConfigError
from dld_spotter.models.contours import MAP_STRIDE
from dld_spotter.word import Look, Word

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels."""


SHARED = 0.4
"""Share of its area from which on a word is taken for another reading of a larger one."""


@dataclass(frozen=True)
class Escalation:
    """When and where to look again.

    Args:
        threshold: text probability of the first look from which on a place may hold words; below the detector's own, so
            that it proposes more than it reports.
        price: words in doubt that a place must hold per area of the whole image; infinite, and no place is worth it.
        context: pixels of the reference that are shown around a place.
        largest: area of the second look, relative to the reference; where the places need more, the image is read whole.
    """

    threshold: float = 0.15
    price: float = 2.0
    context: int = 12
    largest: float = 0.6

    def __post_init__(self) -> None:
        if not (0 < self.threshold < 1 and self.price >= 0 and self.context >= 0 and 0 < self.largest <= 1):
            raise ConfigError(
                f"escalation needs 0 < threshold < 1, price and context of at least 0, 0 < largest <= 1, found {self}"
            )

    @classmethod
    def read(cls, values: Any, origin: str) -> Self:
        """Read plain values; raises CheckpointError naming ``origin`` if they are something else."""
        try:
            return cls(**values)
        except (TypeError, ConfigError) as error:
            raise CheckpointError(f"{origin} holds a damaged rule of escalation ({error}); run fit_ladder again") from error


@dataclass(frozen=True)
class Place:
    """Where words may have been missed or misread.

    Args:
        box: in pixels of the reference.
        doubt: expected number of words that were not read rightly: of each word there, what its score lacks to 1; where
            none was read, the highest probability of the text map.
    """

    box: Box
    doubt: float

    @property
    def area(self) -> int:
        """Pixels of the reference."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)

    def holds(self, word: Word) -> bool:
        """Whether the middle of a word lies in it."""
        return _holds(self.box, word.polygon.mean(0))


def look_again(
    first: Look,
    probability: np.ndarray,
    reference: np.ndarray,
    rule: Escalation,
    price: float,
    read: Callable[[np.ndarray], Look],
) -> Look:
    """Read the places that are worth it once more; where both looks read something, the likelier word stays.

    Args:
        first: what was read in a smaller view.
        probability: ``(h, w)`` text map of that view, padding included.
        reference: ``(H, W, 3)`` uint8.
        rule: see :class:`Escalation`.
        price: in place of the rule's own.
        read: finds and reads the words of an image at full resolution.
    """
    if isinf(price):
        return first
    whole = reference.shape[0] * reference.shape[1]
    found = places(probability, first.sizes[0], reference.shape[:2], first.words, rule)
    worth = [place for place in found if place.doubt * whole >= price * place.area]
    if not worth:
        return first
    sheet, corners = pack(reference, [place.box for place in worth])
    if sheet.shape[0] * sheet.shape[1] > rule.largest * whole:
        again = read(reference)
        return Look(likeliest(first.words + again.words), (*first.sizes, *again.sizes), (*first.reads, *again.reads))
    again = read(sheet)
    moved = [word for word in (back(word, worth, corners) for word in again.words) if word is not None]
    return Look(likeliest(first.words + moved), (*first.sizes, *again.sizes), (*first.reads, *again.reads))


def places(
    probability: np.ndarray, size: Sequence[int], whole: Sequence[int], words: Sequence[Word], rule: Escalation
) -> list[Place]:
    """Everywhere that words may be, apart from each other.

    Args:
        probability: ``(H/2, W/2)`` text map of the first look, padding included.
        size: height and width of the first view.
        whole: the same of the reference.
        words: what the first look read, in pixels of the reference.
        rule: see :class:`Escalation`.
    """
    rows, columns = (-(-side // MAP_STRIDE) for side in size)
    probability = probability[:rows, :columns]
    mask = (probability > rule.threshold).astype(np.uint8)
    grow = np.array([whole[1] / size[1], whole[0] / size[0]]) * MAP_STRIDE
    reach = np.ceil(rule.context / grow).astype(int)
    mask = cv2.dilate(mask, np.ones((2 * reach[1] + 1, 2 * reach[0] + 1), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    cells = _merge([(x, y, x + w, y + h) for x, y, w, h in stats[1:count, :4].tolist()])
    found = []
    for left, top, right, bottom in cells:
        start = np.floor(np.array([left, top]) * grow)
        end = np.minimum(np.ceil(np.array([right, bottom]) * grow), whole[::-1])
        box = tuple(np.concatenate([start, end]).astype(int).tolist())
        lacking = [1 - word.score for word in words if _holds(box, word.polygon.mean(0))]
        doubt = sum(lacking) if lacking else float(probability[top:bottom, left:right].max())
        found.append(Place(box, doubt))
    return found


def pack(image: np.ndarray, boxes: Sequence[Box]) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Lay cut-outs on one sheet, row after row, the tallest first.

    Returns:
        the sheet ``(h, w, 3)`` and the left and top of each cut-out on it.
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
    sheet = np.zeros((y + row, width, 3), np.uint8)
    for (left, top, right, bottom), (x, y) in zip(boxes, corners, strict=True):
        sheet[y : y + bottom - top, x : x + right - left] = image[top:bottom, left:right]
    return sheet, corners


def back(word: Word, cut: Sequence[Place], corners: Sequence[tuple[int, int]]) -> Word | None:
    """Bring a word from the sheet back to the reference; None where it lies in no cut-out."""
    middle = word.polygon.mean(0)
    for place, (x, y) in zip(cut, corners, strict=True):
        left, top, right, bottom = place.box
        if _holds((x, y, x + right - left, y + bottom - top), middle):
            return Word(word.polygon + np.array([left - x, top - y], np.float32), word.text, word.score)
    return None


def likeliest(words: Sequence[Word]) -> list[Word]:
    """Of words that share more than ``SHARED`` of the smaller one's area, keep the one of the highest score.

    Neither look sees everything: large words are found in the small view, small ones at full resolution.
    """
    order = sorted(words, key=lambda word: -word.score)
    shapes = shapely.make_valid(np.array([shapely.Polygon(word.polygon) for word in order], object))
    areas, kept = shapely.area(shapes), []
    for k, shape in enumerate(shapes):
        shared = shapely.area(shapely.intersection(shapes[kept], shape))
        if not (shared > SHARED * np.minimum(areas[kept], areas[k])).any():
            kept.append(k)
    return [order[k] for k in kept]


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


def _holds(box: Box, point: np.ndarray) -> bool:
    return box[0] <= point[0] < box[2] and box[1] <= point[1] < box[3]
