"""Escalation: find words in a small view, then look again at full resolution where words may have been missed or misread.

Text covers a few per cent of most photos. The places in doubt are cut out of the reference, packed into one sheet and read
in a second pass, whose cost follows their area alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import nn

from dld_spotter.data.views import make_view
from dld_spotter.errors import ConfigError
from dld_spotter.models.contours import MAP_STRIDE
from dld_spotter.models.spotter import Spotter
from dld_spotter.structures import Look, View, Word

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

    threshold: float = 0.15
    sure: float = 0.75
    context: int = 12
    largest: float = 0.6

    def __post_init__(self) -> None:
        if not (0 < self.threshold < 1 and self.sure >= 0 and self.context >= 0 and 0 < self.largest <= 1):
            raise ConfigError(
                f"escalation needs 0 < threshold < 1, sure and context of at least 0, 0 < largest <= 1, found {self}"
            )


class Reads(Protocol):
    """What finds and reads the words of a view."""

    def spot(self, view: View) -> list[list[Word]]:
        """Find and read the words of B images; polygons in reference pixels."""


class SecondLook(nn.Module):
    """A spotter that looks twice.

    Args:
        spotter: reads both times.
        rule: when and where it looks again.
    """

    def __init__(self, spotter: Spotter, rule: Escalation) -> None:
        super().__init__()
        self.spotter, self.rule = spotter, rule

    @torch.inference_mode()
    def looks(self, view: View) -> list[Look]:
        """Find and read the words of B images, whose reference is in ``view.close``; that itself is read once."""
        found, probabilities = self.spotter.inspect(view)
        whole = view.close.sizes.tolist() if view.close else view.sizes.tolist()
        looks = []
        for place, (words, size) in enumerate(zip(found, view.sizes.tolist(), strict=True)):
            once = Look(words, (tuple(size),), len(words))
            if size == whole[place]:
                looks.append(once)
                continue
            height, width = whole[place]
            reference = view.close.images[place, :, :height, :width].permute(1, 2, 0).contiguous().cpu().numpy()
            looks.append(self._again(once, probabilities[place], reference, view.images.device))
        return looks

    def spot(self, view: View) -> list[list[Word]]:
        """Find and read the words of B images; polygons in reference pixels."""
        return [look.words for look in self.looks(view)]

    def _again(self, first: Look, probability: np.ndarray, reference: np.ndarray, device: torch.device) -> Look:
        """Look at the places in doubt of a reference ``(H, W, 3)``."""
        boxes = places(probability, first.sizes[0], reference.shape[:2], first.words, self.rule)
        if not boxes:
            return first
        sheet, corners = pack(reference, boxes)
        if sheet.shape[0] * sheet.shape[1] > self.rule.largest * reference.shape[0] * reference.shape[1]:
            sheet, boxes, corners = reference, [(0, 0, reference.shape[1], reference.shape[0])], [(0, 0)]
        (again,) = self.spotter.spot(make_view([sheet], 1.0, self.spotter.stride).to(device))
        kept = [word for word in first.words if not any(_holds(box, word.polygon.mean(0)) for box in boxes)]
        moved = [_back(word, boxes, corners) for word in again]
        words = kept + [word for word in moved if word is not None]
        return Look(words, (*first.sizes, sheet.shape[:2]), first.read + len(again))


def look(reader: Reads, view: View) -> list[Look]:
    """Read B images, once or twice as the reader does: a spotter, one with a second look, or an engine."""
    if isinstance(reader, SecondLook):
        return reader.looks(view)
    sizes = [tuple(size) for size in view.sizes.tolist()]
    return [Look(words, (size,), len(words)) for words, size in zip(reader.spot(view), sizes, strict=True)]


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
