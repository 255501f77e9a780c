"""A photo on its way to its words: the pieces that are read of it, which way its text runs, its reading. Needs no torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from dld_spotter.budget.operating_points import OperatingPoint
from dld_spotter.core.words import SpottingResult, Word
from dld_spotter.data.photos import scaled_size
from dld_spotter.inference.backend import Backend
from dld_spotter.inference.layout import find_blocks
from dld_spotter.inference.pieces import Piece, beside, best_turn, is_clear, merged, stands_upright, votes
from dld_spotter.inference.reading import Reading

VOTING = (0.4, 0.8)
"""Scales at which it is looked in which direction an image is to be read: the second where the first leaves it in doubt."""
VOTERS = 24
"""Words that are read for that in each direction, at most."""
SIGNS = 0.2
"""Scale at which upright signs are looked for: at higher ones their letters are found one by one
(experiments/benchmarks/upright_signs.py)."""


@dataclass(frozen=True, eq=False)
class Photo:
    """An image, or a piece of one, on its way to its words.

    Args:
        image: ``(H, W, 3)`` uint8 RGB, the original, whole.
        piece: what of it is read.
        reference: ``(h, w, 3)`` that at the reference resolution, which is what scale 1.0 stands for, or larger where more was
            asked for.
        enlarged: by how much it is larger.
        point: how it is read.
        deciding: what that decision has cost, and finding out which way its text runs.
        others: words that run another way, in pixels of the image.
    """

    image: np.ndarray
    piece: Piece
    reference: np.ndarray
    enlarged: float = 1.0
    point: OperatingPoint = field(default_factory=lambda: OperatingPoint(1.0))
    deciding: float = 0.0
    others: tuple[Word, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what is read."""
        return self.reference.shape[0], self.reference.shape[1]

    @property
    def full(self) -> tuple[int, int]:
        """The same at scale 1.0."""
        return self.size if self.enlarged == 1 else scaled_size(*self.size, 1 / self.enlarged)

    @property
    def scale(self) -> float:
        """Of the first view, over what is read."""
        return min(self.point.scale, 1.0)


def take(image: np.ndarray, piece: Piece, backend: Backend, enlarged: float = 1.0) -> Photo:
    """A piece of an image ``(H, W, 3)``, ready to be read."""
    reference = backend.resize(piece.pixels(image), *piece.size)
    return Photo(image, piece, _rotated(reference, piece.turn), enlarged)


def enlarged(photo: Photo, backend: Backend) -> Photo:
    """The same photo, larger where its operating point lies above 1: made from the image's own pixels where it has them."""
    if photo.point.scale <= 1:
        return photo
    piece = replace(photo.piece, size=scaled_size(*photo.piece.size, photo.point.scale))
    return replace(photo, piece=piece, reference=take(photo.image, piece, backend).reference, enlarged=photo.point.scale)


def turned(photos: Sequence[Photo], backend: Backend, scaled: Callable[[Word], Word]) -> list[Photo]:
    """Turn the pieces of an image as most of its text runs, which small views tell, and look for upright signs.

    Args:
        photos: pieces of one image.
        backend: reads.
        scaled: gives a word the score that it is reported with.

    Returns:
        the pieces as they are to be read, with what was read that runs another way, and what looking has cost.
    """
    spent = np.zeros(len(photos))
    for scale in VOTING:
        found: list[list[Word]] = [[] for _ in range(4)]
        weights = [0.0] * 4
        for turn, words in enumerate(found):
            for number, photo in enumerate(photos):
                some, cost = _look(photo, turn, scale, backend)
                spent[number] += cost
                some = [scaled(word) for word in some]
                weights[turn] += votes(some)
                words += replace(photo.piece, turn=turn).to_image(some)
        if is_clear(weights):
            break
    turn = best_turn(weights)
    others = [word for k, words in enumerate(found) for word in words if k != turn]
    for number, photo in enumerate(photos):
        for view in (turn, (turn + 1) % 4):  # a sign is a tall word in the one, a row of letters that lie in the other
            words, cost = _look(photo, view, SIGNS, backend)
            spent[number] += cost
            seen = replace(photo.piece, turn=view).to_image(list(map(scaled, words)))
            others += [word for word in seen if stands_upright(word, turn)]
    return [
        replace(
            photo,
            piece=replace(photo.piece, turn=turn),
            reference=_rotated(photo.reference, turn),
            deciding=photo.deciding + float(cost),
            others=tuple(others),
        )
        for photo, cost in zip(photos, spent, strict=True)
    ]


def _look(photo: Photo, turn: int, scale: float, backend: Backend) -> tuple[list[Word], float]:
    """Words of a small view turned to the left by so many quarters, in pixels of that, and what reading them has cost."""
    (seen,) = backend.detect([_rotated(photo.reference, turn)], scale)
    which = seen.within(seen.all, VOTERS)
    (words,) = backend.recognize([seen], [which])
    return words, backend.cost(*seen.size, len(which))


def looking_cost(size: tuple[int, int], backend: Backend) -> float:
    """What :func:`turned` costs at most of a piece of this height and width."""

    def both_ways(scale: float) -> float:
        return sum(backend.cost(*scaled_size(*sides, scale), VOTERS) for sides in (size, size[::-1]))

    return 2 * sum(map(both_ways, VOTING)) + both_ways(SIGNS)


def _rotated(pixels: np.ndarray, turn: int) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(pixels, turn)) if turn else pixels


def joined(
    photos: Sequence[Photo], results: Sequence[SpottingResult], seconds: float, backend: Backend, scaled: Callable[[Word], Word]
) -> Reading:
    """Bring words of an image's pieces back to it, each once and in reading order, and count what they cost.

    Args:
        photos: its pieces.
        results: what was read in each.
        seconds: that it took.
        backend: read them.
        scaled: gives a word the score that it is reported with.
    """
    height, width = photos[0].image.shape[:2]
    pieces, areas = [photo.piece for photo in photos], [prod(photo.size) for photo in photos]
    found = [piece.to_image(result.words) for piece, result in zip(pieces, results, strict=True)]
    found = [[scaled(word) for word in words] for words in found]
    words = beside(merged(pieces, found, (height, width)), photos[0].others)
    scales = {photo.point.scale for photo in photos}
    ordered = tuple(word for block in find_blocks(words) for line in block.lines for word in line.words)
    spent = sum(photo.deciding + result.spent(backend.cost) for photo, result in zip(photos, results, strict=True))
    full = sum(result.full(photo.full, backend.cost) for photo, result in zip(photos, results, strict=True))
    return Reading(
        words=ordered,
        scale=scales.pop() if len(scales) == 1 else float(np.average([photo.point.scale for photo in photos], weights=areas)),
        gflops=spent if backend.counts_flops else float("nan"),
        seconds=seconds,
        relative_cost=spent / full,
        width=width,
        height=height,
        second_pass_share=sum(prod(view) for result in results for view in result.sizes[1:]) / sum(areas),
        dropped=sum(result.dropped for result in results),
        pieces=len(photos),
        turned=90 * pieces[0].turn,
        reduced=min((piece.box[2] - piece.box[0]) / piece.size[1] for piece in pieces),
    )
