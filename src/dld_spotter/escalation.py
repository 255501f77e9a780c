"""Escalation: find words in a small view, then look again at full resolution where words may have been missed or misread.

Text covers a few per cent of most photos. The places in doubt are cut out of the reference, packed into one sheet and read
in a second pass, whose cost follows their area alone. Needs no torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import isinf
from typing import Any, Self

import cv2
import numpy as np
import shapely

from dld_spotter.data.photos import scaled_size
from dld_spotter.errors import CheckpointError, ConfigError
from dld_spotter.gains import LACKING, READ, SHAPE, UNREAD, Gains, height_bin
from dld_spotter.limit import Limit
from dld_spotter.models.contours import MAP_STRIDE
from dld_spotter.word import Look, Word

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels."""
SHARED = 0.4
"""Share of its area from which on a word is taken for another reading of a larger one."""
SHRUNK = 0.6
"""Height of unread text in the map, over that of its words."""
ASPECT = 4.0
"""Length over height of unread text that is taken for one word."""
LEAST_PRICE = 1e-9
"""Of two second looks that bring as much, the smaller one is better at any price."""


@dataclass(frozen=True)
class Escalation:
    """When and where to look again.

    Args:
        threshold: text probability of the first look from which on a place may hold words; below the detector's own, so
            that it proposes more than it reports.
        price: words that a second look must be expected to bring per area of the whole image; infinite, and none is worth it.
        context: pixels of the reference that are shown around a place.
        gains: what to expect of it.
    """

    threshold: float = 0.15
    price: float = 2.0
    context: int = 12
    gains: Gains = field(default_factory=Gains)

    def __post_init__(self) -> None:
        if not (0 < self.threshold < 1 and self.price >= 0 and self.context >= 0):
            raise ConfigError(f"escalation needs 0 < threshold < 1, price and context of at least 0, found {self}")

    def taught_by(self, known: Self) -> Self:
        """This rule with the gains that ``known`` has learned, where it has none of its own."""
        return replace(self, gains=known.gains) if self.gains == Gains() else self

    def plain(self) -> dict[str, Any]:
        """Plain values, as JSON and checkpoints hold them."""
        rule = {"threshold": self.threshold, "price": self.price, "context": self.context}
        return rule | {"gains": self.gains.plain()}

    @classmethod
    def read(cls, values: Any, origin: str) -> Self:
        """Read what :meth:`plain` gave; raises CheckpointError naming ``origin`` if it is something else."""
        try:
            return cls(**values | {"gains": Gains.of_plain(values["gains"])})
        except (KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
            raise CheckpointError(f"{origin} holds a damaged rule of escalation ({error}); run fit_ladder again") from error


@dataclass(frozen=True, eq=False)
class Place:
    """Where words may have been missed or misread.

    Args:
        box: in pixels of the reference.
        evidence: ``(3, 5)`` what the first look saw there, by kind and height, see :mod:`dld_spotter.gains`.
    """

    box: Box
    evidence: np.ndarray

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
    read: Callable[[np.ndarray, float, int | None], Look],
    limit: Limit | None = None,
) -> Look:
    """Look again at what is worth it; where both looks read something, the likelier word stays.

    Args:
        first: what was read in a smaller view.
        probability: ``(h, w)`` text map of that view, padding included.
        reference: ``(H, W, 3)`` uint8.
        rule: see :class:`Escalation`.
        price: in place of the rule's own.
        read: finds and reads the words of an image at a scale of it, so many at most.
        limit: what the image may cost at most, the first look included.
    """
    if isinf(price):
        return first
    size, whole = first.sizes[0], reference.shape[:2]
    left = limit and limit.after(first)
    again = choose(places(probability, size, whole, first.words, rule), size[0] / whole[0], whole, rule, price, left)
    if again is None:
        return first
    if isinstance(again, float):
        second = read(reference, again, left and left.words(scaled_size(*whole, again)))
        words = second.words
    else:
        sheet, corners = pack(reference, [place.box for place in again])
        second = read(sheet, 1.0, left and left.words(sheet.shape[:2]))
        words = [word for word in (back(word, again, corners) for word in second.words) if word is not None]
    return Look(likeliest(first.words + words), (*first.sizes, *second.sizes), (*first.reads, *second.reads))


def choose(
    found: Sequence[Place], scale: float, whole: Sequence[int], rule: Escalation, price: float, limit: Limit | None = None
) -> list[Place] | float | None:
    """What to look at again after a first look at ``scale``: whatever brings most beyond its price, and can be afforded.

    Returns:
        places for a sheet at full resolution; or a scale for the whole image; or None where nothing is worth its price.
    """
    if not found:
        return None
    price, area = max(price, LEAST_PRICE), whole[0] * whole[1]
    gains = rule.gains.of(scale, np.stack([place.evidence for place in found]))
    worth = [(place, gain) for place, gain in zip(found, gains.tolist(), strict=True) if gain * area >= price * place.area]
    if limit is not None:
        worth = _affordable(worth, limit)
    offers: list[tuple[float, list[Place] | float | None]] = [(0.0, None)]
    if worth:
        size, _ = lay_out([place.box for place, _ in worth])
        offers.append((sum(gain for _, gain in worth) - price * size[0] * size[1] / area, [place for place, _ in worth]))
    offers += [
        (share * gains.sum() - price * second**2, second)
        for second, share in rule.gains.whole(scale).items()
        if limit is None or limit.affords(scaled_size(*whole, second))
    ]
    return max(offers, key=lambda offer: offer[0])[1]


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
    near = cv2.dilate(mask, np.ones((2 * reach[1] + 1, 2 * reach[0] + 1), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
    found = []
    for left, top, right, bottom in _merge([(x, y, x + w, y + h) for x, y, w, h in stats[1:count, :4].tolist()]):
        start = np.floor(np.array([left, top]) * grow)
        end = np.minimum(np.ceil(np.array([right, bottom]) * grow), whole[::-1])
        found.append(Place(tuple(np.concatenate([start, end]).astype(int).tolist()), np.zeros(SHAPE)))
    pixel = grow.mean() / MAP_STRIDE  # of the view, in pixels of the reference
    seen = [(word.polygon.mean(0), (READ, LACKING), _height(word) / pixel, (1.0, 1 - word.score)) for word in words]
    for middle, kinds, height, amounts in [*seen, *_unread(probability, mask, words, grow)]:
        place = next((place for place in found if _holds(place.box, middle)), None)
        if place is not None:  # a word may have grown out of a region that is too narrow to hold its middle
            place.evidence[list(kinds), height_bin(height)] += amounts
    return found


def _affordable(worth: list[tuple[Place, float]], limit: Limit) -> list[tuple[Place, float]]:
    """The places of the highest gain per area whose sheet can be afforded."""
    kept = sorted(worth, key=lambda offer: -offer[1] / offer[0].area)
    while kept and not limit.affords(lay_out([place.box for place, _ in kept])[0]):
        kept.pop()
    return kept


def _height(word: Word) -> float:
    points = len(word.polygon) // 2
    return float(np.linalg.norm(word.polygon[:points] - word.polygon[::-1][:points], axis=1).mean())


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
