"""Look once, and where it is worth it twice."""

from collections.abc import Sequence
from dataclasses import replace
from math import isinf, prod, sqrt

import numpy as np
import shapely

from dld_spotter.budget.cap import Limit
from dld_spotter.core.words import Cost, Look, Word
from dld_spotter.models.detections import Find, Glance, Read
from dld_spotter.selection.second_pass.mosaic import back, pack
from dld_spotter.selection.second_pass.regions import Place, owner, places
from dld_spotter.selection.second_pass.rule import Escalation, choose

SHARED = 0.4
"""Share of its area from which on a word is taken for another reading of a larger one."""
CLOSER = 0.05
"""How much surer a first look must be than a second one of what it reads in the same place; measured with second looks at full
resolution (experiments/17_second_pass)."""


def look_twice(
    glance: Glance,
    reference: np.ndarray,
    rule: Escalation,
    price: float,
    cost: Cost,
    find: Find,
    read: Read,
    limit: Limit | None = None,
) -> Look:
    """Read what is legible, look again at what is worth it, and read what is left; of two readings the likelier word stays.

    Args:
        glance: at a smaller view, or at the reference itself.
        reference: ``(H, W, 3)`` uint8.
        rule: see :class:`Escalation`.
        price: in place of the rule's own; infinite, and nothing is looked at again.
        cost: of a view.
        find: looks at images.
        read: reads what was found.
        limit: what the image may cost at most.
    """
    if isinf(price):
        return _read(glance, glance.all, read, limit and limit.words(glance.size))
    size = reference.shape[:2]
    scale = sqrt(prod(glance.size) / prod(size))  # sides are rounded
    legible, outlines = glance.heights() >= rule.read_from(scale), glance.outlines()
    first = _read(glance, np.flatnonzero(legible), read, limit and limit.words(glance.size))
    waiting, left = np.flatnonzero(~legible), limit and limit.after(first)
    unread = [outlines[k] for k in waiting]
    found = places(glance.probability, glance.size, size, first.words, rule.threshold, rule.context, unread)
    again = choose(found, scale, size, rule, price, cost, left)
    if again is None:
        return _and(first, glance, waiting, read, left)
    inside = np.ones(len(outlines), bool) if again.places is None else _inside(found, again.places, outlines)
    waiting = waiting[~inside[waiting]]
    image, corners = (reference, []) if again.places is None else pack(reference, [place.box for place in again.places])
    closer = find(image, again.scale)
    second = _read(closer, closer.all, read, left and left.words(closer.size) - len(waiting))
    twice = min(int((legible & inside).sum()), *first.reads, *second.reads)
    both = Look(first.words, (*first.sizes, *second.sizes), (*first.reads, *second.reads), twice)
    both = _and(both, glance, waiting, read, limit and limit.after(both))
    words = second.words
    if again.places is not None:
        words = [word for _, word in back(words, again.places, corners, found)]
    return replace(both, words=likeliest(both.words, words))


def _read(glance: Glance, which: np.ndarray, read: Read, most: int | None) -> Look:
    """A look at regions of a glance, so many at most."""
    which = glance.within(which, most)
    return Look(read(glance, which), (glance.size,), (len(which),))


def _and(look: Look, glance: Glance, which: np.ndarray, read: Read, left: Limit | None) -> Look:
    """The same look, for which further regions of its first view are read."""
    more = _read(glance, which, read, left and left.further())
    return replace(look, words=look.words + more.words, reads=(look.reads[0] + more.reads[0], *look.reads[1:]))


def _inside(found: Sequence[Place], chosen: Sequence[Place], outlines: Sequence[np.ndarray]) -> np.ndarray:
    """Which of N outlines are in a chosen place, where several show it in that which shows most of it, ``(N,)``."""
    boxes = np.array([place.box for place in found]).reshape(-1, 4)
    taken = [place in chosen for place in found]
    owners = [owner(boxes, outline) for outline in outlines]
    return np.array([k is not None and taken[k] for k in owners], bool)


def likeliest(first: Sequence[Word], second: Sequence[Word]) -> list[Word]:
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
