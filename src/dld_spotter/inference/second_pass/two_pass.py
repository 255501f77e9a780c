"""Look once, and where it is worth it twice."""

from collections.abc import Sequence
from dataclasses import replace
from math import isinf, prod, sqrt

import numpy as np
import shapely

from dld_spotter.budget.cap import CostCap
from dld_spotter.core.words import Cost, SpottingResult, Word
from dld_spotter.models.detections import Detections, Find, Read
from dld_spotter.selection.second_pass.mosaic import from_mosaic, make_mosaic
from dld_spotter.selection.second_pass.regions import Region, find_regions, owner
from dld_spotter.selection.second_pass.rule import SecondPassRule, choose

SHARED = 0.4
"""Share of its area from which on a word is taken for another reading of a larger one."""
CLOSER = 0.05
"""How much surer a first look must be than a second one of what it reads in the same place; measured with second looks at full
resolution (experiments/17_second_pass)."""


def read_in_two_passes(
    detections: Detections,
    reference: np.ndarray,
    rule: SecondPassRule,
    price: float,
    cost: Cost,
    find: Find,
    read: Read,
    limit: CostCap | None = None,
) -> SpottingResult:
    """Read what is legible, look again at what is worth it, and read what is left; of two readings the likelier word stays.

    Args:
        detections: at a smaller view, or at the reference itself.
        reference: ``(H, W, 3)`` uint8.
        rule: see :class:`SecondPassRule`.
        price: in place of the rule's own; infinite, and nothing is looked at again.
        cost: of a view.
        find: looks at images.
        read: reads what was found.
        limit: what the image may cost at most.
    """
    if isinf(price):
        return _read(detections, detections.all, read, limit and limit.words(detections.size))
    size = reference.shape[:2]
    scale = sqrt(prod(detections.size) / prod(size))  # sides are rounded
    readable, outlines = detections.heights() >= rule.read_from(scale), detections.outlines()
    first = _read(detections, np.flatnonzero(readable), read, limit and limit.words(detections.size))
    waiting, left = np.flatnonzero(~readable), limit and limit.after(first)
    unread = [outlines[k] for k in waiting]
    found = find_regions(detections.probability, detections.size, size, first.words, rule.threshold, rule.context, unread)
    again = choose(found, scale, size, rule, price, cost, left)
    if again is None:
        return _and(first, detections, waiting, read, left)
    inside = np.ones(len(outlines), bool) if again.regions is None else _inside(found, again.regions, outlines)
    waiting = waiting[~inside[waiting]]
    image, corners = (
        (reference, []) if again.regions is None else make_mosaic(reference, [region.box for region in again.regions])
    )
    closer = find(image, again.scale)
    second = _read(closer, closer.all, read, left and left.words(closer.size) - len(waiting))
    twice = min(int((readable & inside).sum()), *first.reads, *second.reads)
    both = SpottingResult(first.words, (*first.sizes, *second.sizes), (*first.reads, *second.reads), twice)
    both = _and(both, detections, waiting, read, limit and limit.after(both))
    words = second.words
    if again.regions is not None:
        words = [word for _, word in from_mosaic(words, again.regions, corners, found)]
    return replace(both, words=merge_passes(both.words, words))


def _read(detections: Detections, which: np.ndarray, read: Read, most: int | None) -> SpottingResult:
    """A look at regions of a glance, so many at most."""
    which = detections.within(which, most)
    return SpottingResult(read(detections, which), (detections.size,), (len(which),))


def _and(look: SpottingResult, detections: Detections, which: np.ndarray, read: Read, left: CostCap | None) -> SpottingResult:
    """The same look, for which further regions of its first view are read."""
    more = _read(detections, which, read, left and left.further())
    return replace(look, words=look.words + more.words, reads=(look.reads[0] + more.reads[0], *look.reads[1:]))


def _inside(found: Sequence[Region], chosen: Sequence[Region], outlines: Sequence[np.ndarray]) -> np.ndarray:
    """Which of N outlines are in a chosen place, where several show it in that which shows most of it, ``(N,)``."""
    boxes = np.array([region.box for region in found]).reshape(-1, 4)
    taken = [region in chosen for region in found]
    owners = [owner(boxes, outline) for outline in outlines]
    return np.array([k is not None and taken[k] for k in owners], bool)


def merge_passes(first: Sequence[Word], second: Sequence[Word]) -> list[Word]:
    """Of the words of two looks that share more than ``SHARED`` of the smaller one's area, keep the one of the highest score.

    Neither look sees everything: large words are found in the small view, small ones in the closer one. Where both see
    something, the second one, which sees more of its pixels, is believed by ``CLOSER`` more.
    """
    rated = [(word.score, word) for word in first] + [(word.score + CLOSER, word) for word in second]
    order = [word for _, word in sorted(rated, key=lambda pair: -pair[0])]
    shapes = shapely.make_valid(np.array([shapely.Polygon(word.polygon) for word in order], object))
    areas, kept = shapely.area(shapes), []
    for k, shape in enumerate(shapes):
        shared = shapely.area(shapely.intersection(shapes[kept], shape))
        if not (shared > SHARED * np.minimum(areas[kept], areas[k])).any():
            kept.append(k)
    return [order[k] for k in kept]
