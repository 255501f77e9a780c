"""Images that are read in pieces: tiles that overlap beside a small view of the whole; and turned upright. Needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from dld_spotter.core.errors import ConfigError
from dld_spotter.core.words import Word
from dld_spotter.data.photos import LARGEST_PIXELS, MOST_PIXELS, ReferenceSize, scaled_size
from dld_spotter.inference.second_pass.two_pass import SURER, distinct, sharing

LONG = 1280
"""Longest side in pixels of the reference where nothing else is asked for, so that large photos stay affordable."""
ELONGATED = 4.0
"""Images of a longer side of more than so many times the shorter one are read in tiles where ``tiles`` is ``auto``."""
SEEN = 64
"""Pixels of the shorter side of a whole image from which on a small view of it is read beside its tiles."""
NEAR = 0.3
"""Heights from the border of a tile within which a word counts as cut by it."""
ALONE = 0.5
"""Least score of a word of two characters or more that runs another way than the rest of its image."""
AGREED = 0.15
"""How much surer a word must be that runs another way than the rest, to be taken in place of one that does not."""
SPELLED = 0.3
"""How much surer the letters of an upright sign may be that spell it."""
LETTERS, TALL = 3, 2.0
"""Letters of an upright sign at least, and how many times as high as wide it is at least."""
UPRIGHT = 1.1
"""How many times as much must speak for another direction than for the usual one."""
FEW, CLOSE = 2.0, 0.75
"""Sure characters below which directions are in doubt, and the share of the most from which on a second direction is close."""
TILES = ("auto", "true", "false")


@dataclass(frozen=True)
class PieceRule:
    """Which images are read, and in which pieces.

    Args:
        tiles: ``auto`` for images of which one side is more than ``ELONGATED`` times the other, which full resolution would
            reduce: they are read at their own resolution, or where their shorter side fills a tile. ``true`` for all images
            larger than full resolution, at their own. ``false`` for none.
        overlap: pixels that neighbouring tiles share, of views at full resolution.
        orientation: whether text that runs downwards, upwards or upside down is found and read.
        max_pixels: images of more are refused, files before they are decoded.

    Raises:
        ConfigError: there is no such choice, or tiles would not get on.
    """

    tiles: str = "auto"
    overlap: int = 256
    orientation: bool = False
    max_pixels: int = MOST_PIXELS

    def __post_init__(self) -> None:
        object.__setattr__(self, "tiles", str(self.tiles).lower())
        if self.tiles not in TILES:
            raise ConfigError(f"tiles={self.tiles} is unknown; give one of {', '.join(TILES)}")
        if not 0 <= self.overlap <= LONG // 2:
            raise ConfigError(f"overlap={self.overlap} must be from 0 to {LONG // 2} pixels; leave it out for 256")
        if not 1 <= self.max_pixels <= LARGEST_PIXELS:
            raise ConfigError(
                f"max_pixels={self.max_pixels} must be from 1 to {LARGEST_PIXELS}; leave it out for {MOST_PIXELS}"
            )


@dataclass(frozen=True)
class Piece:
    """A part of an image.

    Args:
        box: left, top, right and bottom in pixels of the image.
        size: height and width of its reference.
        tile: whether it is one of several, and not the whole.
        turn: by how many quarters it is turned to the left before it is read.
    """

    box: tuple[int, int, int, int]
    size: tuple[int, int]
    tile: bool = False
    turn: int = 0

    def pixels(self, image: np.ndarray) -> np.ndarray:
        """Its pixels of an image ``(H, W, 3)``, not turned."""
        left, top, right, bottom = self.box
        return image[top:bottom, left:right]

    @property
    def turned_size(self) -> tuple[int, int]:
        """Height and width of its reference as it is read."""
        height, width = self.size
        return (width, height) if self.turn % 2 else (height, width)

    def to_image(self, words: Sequence[Word]) -> list[Word]:
        """Words in pixels of its reference as it is read, in pixels of the image."""
        left, top, right, bottom = self.box
        height, width = self.size
        grow = np.array([(right - left) / width, (bottom - top) / height], np.float32)
        return [
            replace(word, polygon=(upright(word.polygon, self.turn, height, width) * grow + (left, top)).astype(np.float32))
            for word in words
        ]

    def cuts(self, word: Word, size: tuple[int, int]) -> bool:
        """Whether a word, in pixels of an image of this height and width, lies at a border of the piece within the image."""
        (left, top), (right, bottom) = word.polygon.min(0), word.polygon.max(0)
        near = max(2.0, NEAR * min(right - left, bottom - top))
        distances = np.array([left - self.box[0], top - self.box[1], self.box[2] - right, self.box[3] - bottom])
        inner = np.array([self.box[0] > 0, self.box[1] > 0, self.box[2] < size[1], self.box[3] < size[0]])
        return bool((inner & (distances <= near)).any())


def upright(polygon: np.ndarray, turn: int, height: int, width: int) -> np.ndarray:
    """Bring a polygon ``(P, 2)`` back from a view of this height and width that was turned to the left by so many quarters.

    >>> upright(np.array([[0.0, 90.0]]), 1, 50, 100).tolist()
    [[10.0, 0.0]]
    """
    x, y = polygon.T
    back = {0: (x, y), 1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}[turn % 4]
    return np.stack(back, 1)


def cut(height: int, width: int, reference: ReferenceSize, rule: PieceRule) -> list[Piece]:
    """Say in which pieces an image is read: as a whole, or in a small view of the whole and in tiles.

    Args:
        height: of the image, pixels.
        width: likewise.
        reference: rule for full resolution.
        rule: which images are cut.
    """
    size = reference(height, width)
    whole = Piece((0, 0, width, height), size)
    least, long, short = max(size) / max(height, width), reference.long or LONG, min(height, width)
    factor = 1.0 if rule.tiles == "true" else min(1.0, long / short)
    elongated = max(height, width) > ELONGATED * short
    if rule.tiles == "false" or factor <= least or not (elongated or rule.tiles == "true"):
        return [whole]
    rows, columns = (_spans(side, factor, long, min(rule.overlap, long // 2)) for side in (height, width))
    tiles = [
        Piece((left, top, right, bottom), scaled_size(bottom - top, right - left, factor), tile=True)
        for top, bottom in rows
        for left, right in columns
    ]
    return [whole, *tiles] if min(size) >= SEEN else tiles


def _spans(side: int, factor: float, tile: int, overlap: int) -> list[tuple[int, int]]:
    """Where tiles begin and end along a side, evenly spaced."""
    length = max(round(side * factor), 1)
    count = max(ceil((length - overlap) / (tile - overlap)), 1)
    starts = np.linspace(0, max(length - tile, 0), count)
    return [(round(start / factor), min(round((start + tile) / factor), side)) for start in starts.tolist()]


def merged(pieces: Sequence[Piece], found: Sequence[Sequence[Word]], size: tuple[int, int]) -> list[Word]:
    """Bring together what was read in pieces, each word once.

    Of two readings of a word that of a tile is believed rather than that of the whole, and one that no border cuts before one
    that is cut.

    Args:
        pieces: of an image.
        found: words of each, in pixels of the image.
        size: height and width of the image.
    """
    if len(pieces) == 1:
        return list(found[0])
    rated = []
    for piece, words in zip(pieces, found, strict=True):
        for word in words:
            bonus = -1.0 if piece.tile and piece.cuts(word, size) else SURER if piece.tile else 0.0
            rated.append((word.score + bonus, word))
    return distinct(rated)


def torn(pieces: Sequence[Piece], found: Sequence[Sequence[Word]], size: tuple[int, int], long: int) -> list[Piece]:
    """Pieces around words that no other piece shows whole, such as those longer than tiles overlap.

    Args:
        pieces: of an image.
        found: words of each, in pixels of the image.
        size: height and width of the image.
        long: pixels of the longest side of a piece.
    """
    if len(pieces) == 1:
        return []
    parts: list[Word] = []
    wholes: list[Word] = []
    for piece, words in zip(pieces, found, strict=True):
        for word in words:
            (parts if piece.tile and piece.cuts(word, size) else wholes).append(word)
    boxes = []
    for word, seen_whole in zip(parts, sharing(parts, wholes), strict=True):
        if not len(seen_whole):
            low, high = word.polygon.min(0), word.polygon.max(0)
            margin = min(high - low)
            boxes.append(np.concatenate([low - margin, high + margin]))
    factor = max(side / (piece.box[3] - piece.box[1]) for piece in pieces for side in [piece.size[0]] if piece.tile)
    again = []
    for left, top, right, bottom in _joined(boxes):
        box = max(int(left), 0), max(int(top), 0), min(ceil(right), size[1]), min(ceil(bottom), size[0])
        sides = box[3] - box[1], box[2] - box[0]
        again.append(Piece(box, scaled_size(*sides, min(factor, long / max(sides))), tile=True, turn=pieces[0].turn))
    return again


def _joined(boxes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Boxes of which those that meet have become one."""
    waiting, done = list(boxes), []
    while waiting:
        box = waiting.pop()
        for k, other in enumerate(waiting):
            if (np.maximum(box[:2], other[:2]) <= np.minimum(box[2:], other[2:])).all():
                waiting[k] = np.concatenate([np.minimum(box[:2], other[:2]), np.maximum(box[2:], other[2:])])
                break
        else:
            done.append(box)
    return done


def beside(words: Sequence[Word], others: Sequence[Word]) -> list[Word]:
    """Words of an image together with those that run another way, where these are sure enough.

    Letters of an upright sign that were read one by one make room for the sign if they spell most of it, or are not much surer.
    Digits never do: a column of them is one of a table.
    """
    sure = [word for word in others if word.score >= ALONE and len(word.text) > 1]
    if not sure:
        return list(words)
    signs, letters = [], set[int]()
    for word, within in zip(sure, sharing(sure, words), strict=True):
        if len(word.text) >= LETTERS and len(within) > 1 and _is_sign(word, [words[k] for k in within.tolist()]):
            signs.append(word)
            letters.update(within.tolist())
    rated = [(word.score + AGREED, word) for k, word in enumerate(words) if k not in letters]
    rated += [(len(word.text) + word.score, word) for word in signs]  # the longest first, as others read parts of it
    return distinct(rated + [(word.score, word) for word in sure])


def _is_sign(word: Word, parts: Sequence[Word]) -> bool:
    """Whether a word says what parts of it say and is not far less sure, or is as sure as they are, or nearly."""
    counts = [len(part.text) for part in parts]
    surer = float(np.average([part.score for part in parts], weights=counts)) - word.score
    if not word.text.isalpha() or surer > SPELLED:
        return False
    start, end = word.polygon[0], word.polygon[len(word.polygon) // 2 - 1]
    along = sorted(parts, key=lambda part: float((part.polygon.mean(0) - start) @ (end - start)))
    spelled, left = "".join(part.text for part in along).lower(), iter(word.text.lower())
    if 2 * len(spelled) >= len(word.text) and all(letter in left for letter in spelled):  # in their order
        return True
    return sum(counts) <= len(word.text) and surer <= AGREED


def stands_upright(word: Word, turn: int) -> bool:
    """Whether a word is a column of letters, in pixels of an image that is read turned to the left by so many quarters."""
    width, height = np.ptp(word.polygon, axis=0)[:: -1 if turn % 2 else 1]
    return len(word.text) >= LETTERS and bool(height > TALL * width)


def votes(words: Sequence[Word]) -> float:
    """How much speaks for reading a view as it stands: sure characters, of level words of two characters or more.

    Long words that run up or down are read as well, where nothing else stands, and say that the view should be turned.
    """
    level = [word for word in words if abs(np.subtract(*word.polygon[[1, 0]])).argmax() == 0]
    return sum(word.score * len(word.text) for word in level if len(word.text) > 1)


def is_clear(weights: Sequence[float]) -> bool:
    """Whether it needs no closer look for which of the directions most speaks.

    >>> is_clear([0.0, 0.0, 1.5, 0.0]), is_clear([8.0, 0.0, 7.0, 0.0]), is_clear([8.0, 0.0, 2.0, 0.0])
    (False, False, True)
    """
    second, first = sorted(weights)[-2:]
    return first >= FEW and second <= CLOSE * first


def best_turn(weights: Sequence[float]) -> int:
    """The quarter turn to the left for which most speaks; in doubt none.

    >>> best_turn([5.0, 0.0, 5.2, 1.0]), best_turn([5.0, 0.0, 9.0, 1.0])
    (0, 2)
    """
    return int(np.argmax(weights)) if max(weights) > UPRIGHT * weights[0] else 0
