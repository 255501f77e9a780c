"""Escalation: find words in a small view, then look again at full resolution where words may have been missed or misread.

Text covers a few per cent of most photos. The places in doubt are cut out of the reference, packed into one sheet and read
in a second pass, whose cost follows their area alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from dld_spotter.data.views import make_view
from dld_spotter.errors import ConfigError
from dld_spotter.models.contours import MAP_STRIDE
from dld_spotter.models.spotter import Spotter
from dld_spotter.structures import Word

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels."""


@dataclass(frozen=True)
class Escalation:
    """When and where to look again.

    Args:
        threshold: text probability of the first look from which on a place may hold words; below the detector's own, so
            that it proposes more than it reports.
        sure: words with at least this score are not looked at again.
        context: pixels of the reference that are shown around a place.
        largest: area of the second look, relative to the reference; where the places need more, the image is read whole.
    """

    threshold: float = 0.1
    sure: float = 0.8
    context: int = 12
    largest: float = 0.6

    def __post_init__(self) -> None:
        if not (0 < self.threshold < 1 and self.sure >= 0 and self.context >= 0 and 0 < self.largest <= 1):
            raise ConfigError(
                f"escalation needs 0 < threshold < 1, sure and context of at least 0, 0 < largest <= 1, found {self}"
            )


@dataclass(frozen=True)
class Look:
    """What was read in two looks.

    Args:
        words: polygons in pixels of the reference.
        sizes: height and width of every view that went through the detector.
        read: how many words went through the recogniser.
    """

    words: list[Word]
    sizes: tuple[tuple[int, int], ...]
    read: int


@torch.inference_mode()
def look_twice(spotter: Spotter, reference: np.ndarray, scale: float, rule: Escalation) -> Look:
    """Read a reference image ``(H, W, 3)`` uint8 at a scale, and its places in doubt once more at full resolution."""
    device = next(spotter.parameters()).device
    view = make_view([reference], scale, spotter.stride)
    view = replace(view, close=make_view([reference], 1.0, spotter.stride)).to(device)
    (words,) = spotter.spot(view)
    _, maps = spotter.detect(view.images)
    probability = maps.text[0].float().sigmoid().cpu().numpy()
    (size,) = view.sizes.tolist()
    boxes = places(probability, size, reference.shape[:2], words, rule)
    if not boxes:
        return Look(words, (tuple(size),), len(words))
    sheet, corners = pack(reference, boxes)
    whole = reference.shape[0] * reference.shape[1]
    if sheet.shape[0] * sheet.shape[1] > rule.largest * whole:
        sheet, boxes, corners = reference, [(0, 0, reference.shape[1], reference.shape[0])], [(0, 0)]
    (again,) = spotter.spot(make_view([sheet], 1.0, spotter.stride).to(device))
    kept = [word for word in words if not any(_holds(box, word.polygon.mean(0)) for box in boxes)]
    moved = [_back(word, boxes, corners) for word in again]
    found = kept + [word for word in moved if word is not None]
    return Look(found, (tuple(size), sheet.shape[:2]), len(words) + len(again))


def places(
    probability: np.ndarray, size: Sequence[int], whole: Sequence[int], words: Sequence[Word], rule: Escalation
) -> list[Box]:
    """Boxes in pixels of the reference, apart from each other, that are to be looked at again.

    Args:
        probability: ``(H/2, W/2)`` text map of the first look, padding included.
        size: height and width of the first view.
        whole: the same of the reference.
        words: what the first look read, in pixels of the reference.
        rule: see :class:`Escalation`.
    """
    rows, columns = (-(-side // MAP_STRIDE) for side in size)
    mask = (probability[:rows, :columns] > rule.threshold).astype(np.uint8)
    grow = np.array([whole[1] / size[1], whole[0] / size[0]]) * MAP_STRIDE
    reach = np.ceil(rule.context / grow).astype(int)
    mask = cv2.dilate(mask, np.ones((2 * reach[1] + 1, 2 * reach[0] + 1), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    boxes = [(x, y, x + w, y + h) for x, y, w, h in stats[1:count, :4].tolist()]
    scaled = np.array(boxes).reshape(-1, 2, 2) * grow
    ends = np.minimum(np.ceil(scaled[:, 1]), whole[::-1])
    apart = _merge([tuple(box) for box in np.concatenate([np.floor(scaled[:, 0]), ends], axis=1).astype(int).tolist()])
    return [box for box in apart if not _sure(box, words, rule.sure)]


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


def _sure(box: Box, words: Sequence[Word], least: float) -> bool:
    """Whether words were read in a box, and all of them surely."""
    scores = [word.score for word in words if _holds(box, word.polygon.mean(0))]
    return bool(scores) and min(scores) >= least


def _holds(box: Box, point: np.ndarray) -> bool:
    return box[0] <= point[0] < box[2] and box[1] <= point[1] < box[3]


def _back(word: Word, boxes: Sequence[Box], corners: Sequence[tuple[int, int]]) -> Word | None:
    """Bring a word from the sheet back to the reference; None where it lies in no cut-out."""
    middle = word.polygon.mean(0)
    for (left, top, right, bottom), (x, y) in zip(boxes, corners, strict=True):
        if _holds((x, y, x + right - left, y + bottom - top), middle):
            return Word(word.polygon + np.array([left - x, top - y], np.float32), word.text, word.score)
    return None
