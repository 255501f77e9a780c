"""Read once, and where it is worth it twice."""

from collections.abc import Sequence
from dataclasses import replace
from math import isinf, prod, sqrt

import numpy as np
import shapely

from dld_spotter.budget.cap import CostCap
from dld_spotter.core.words import SpottingResult, Word
from dld_spotter.inference.backend import Backend
from dld_spotter.models.detections import Detections
from dld_spotter.selection.second_pass.mosaic import from_mosaic, make_mosaic
from dld_spotter.selection.second_pass.regions import Region, find_regions, owner
from dld_spotter.selection.second_pass.rule import SecondPassRule, choose

SHARED = 0.4
"""Share of its area from which on a word is taken for another reading of a larger one."""
SURER = 0.05
"""How much surer a first pass must be than a second one of what both read in a region; measured with second passes at full
resolution (experiments/17_second_pass)."""


def read_once(
    detections: Sequence[Detections], backend: Backend, caps: Sequence[CostCap | None] | None = None
) -> list[SpottingResult]:
    """Recognise all that was detected in images of one view, of each what can be afforded."""
    caps = [None] * len(detections) if caps is None else caps
    which = [one.within(one.all, _affordable(cap, one)) for one, cap in zip(detections, caps, strict=True)]
    words = backend.recognize(detections, which)
    return [
        SpottingResult(found, (one.size,), (len(kept),), dropped=one.proposals.dropped)
        for found, one, kept in zip(words, detections, which, strict=True)
    ]


def read_twice(
    detections: Detections,
    image: np.ndarray,
    rule: SecondPassRule,
    gain_threshold: float,
    backend: Backend,
    cap: CostCap | None = None,
) -> SpottingResult:
    """Recognise what is high enough, read again what is worth it, recognise what is left; of two readings the likelier stays.

    Args:
        detections: in a smaller view of the image, or in the image itself.
        image: ``(H, W, 3)`` uint8, the reference.
        rule: see :class:`SecondPassRule`.
        gain_threshold: in place of the rule's own; infinite, and nothing is read again.
        backend: detects and recognises.
        cap: what the image may cost at most.
    """
    if isinf(gain_threshold):
        return read_once([detections], backend, [cap])[0]
    size = image.shape[:2]
    scale = sqrt(prod(detections.size) / prod(size))  # sides are rounded
    readable, outlines = detections.heights() >= rule.read_from(scale), detections.outlines()
    first = _recognize(detections, np.flatnonzero(readable), backend, _affordable(cap, detections))
    waiting, left = np.flatnonzero(~readable), None if cap is None else cap.after(first)
    unread = [outlines[k] for k in waiting]
    found = find_regions(detections.probability, detections.size, size, first.words, rule.threshold, rule.context, unread)
    again = choose(found, scale, size, rule, gain_threshold, backend.cost, left)
    if again is None:
        return _and_more(first, detections, waiting, backend, left)
    inside = np.ones(len(outlines), bool) if again.regions is None else _inside(found, again.regions, outlines)
    waiting = waiting[~inside[waiting]]
    mosaic, corners = (image, []) if again.regions is None else make_mosaic(image, [region.box for region in again.regions])
    closer = backend.detect([mosaic], again.scale)[0]
    most = _affordable(left, closer)
    second = _recognize(closer, closer.all, backend, None if most is None else most - len(waiting))
    twice = min(int((readable & inside).sum()), *first.reads, *second.reads)
    dropped = first.dropped + second.dropped
    both = SpottingResult(first.words, (*first.sizes, *second.sizes), (*first.reads, *second.reads), twice, dropped)
    both = _and_more(both, detections, waiting, backend, None if cap is None else cap.after(both))
    words = second.words
    if again.regions is not None:
        words = [word for _, word in from_mosaic(words, again.regions, corners, found)]
    return replace(both, words=merge_passes(both.words, words))


def _affordable(cap: CostCap | None, detections: Detections) -> int | None:
    """How many words of a view can be read; None without a cap."""
    return None if cap is None else cap.words(detections.size)


def _recognize(detections: Detections, which: np.ndarray, backend: Backend, most: int | None) -> SpottingResult:
    """Recognise some of what was detected, so many at most."""
    which = detections.within(which, most)
    words = backend.recognize([detections], [which])[0]
    return SpottingResult(words, (detections.size,), (len(which),), dropped=detections.proposals.dropped)


def _and_more(
    result: SpottingResult, detections: Detections, which: np.ndarray, backend: Backend, left: CostCap | None
) -> SpottingResult:
    """The same result, for which more of the first view is recognised."""
    more = _recognize(detections, which, backend, None if left is None else left.further())
    return replace(result, words=result.words + more.words, reads=(result.reads[0] + more.reads[0], *result.reads[1:]))


def _inside(found: Sequence[Region], chosen: Sequence[Region], outlines: Sequence[np.ndarray]) -> np.ndarray:
    """Which of N outlines are in a chosen region, where several show it in that which shows most of it, ``(N,)``."""
    boxes = np.array([region.box for region in found]).reshape(-1, 4)
    taken = [region in chosen for region in found]
    owners = [owner(boxes, outline) for outline in outlines]
    return np.array([k is not None and taken[k] for k in owners], bool)


def merge_passes(first: Sequence[Word], second: Sequence[Word]) -> list[Word]:
    """Of the words of two passes that share more than ``SHARED`` of the smaller one's area, keep the one of the highest score.

    Neither pass sees everything: large words are found in the small view, small ones in the closer one. Where both see
    something, ``SURER`` is added to the score of the second one, which sees more of its pixels.
    """
    return distinct([(word.score, word) for word in first] + [(word.score + SURER, word) for word in second])


def distinct(rated: Sequence[tuple[float, Word]]) -> list[Word]:
    """Of words that share more than ``SHARED`` of the smaller one's area, keep the one that is rated highest; best first."""
    order = [word for _, word in sorted(rated, key=lambda pair: -pair[0])]
    taken, kept = np.zeros(len(order), bool), []
    for k, others in enumerate(sharing(order, order)):
        taken[k] = not taken[others].any()
        kept += [order[k]] if taken[k] else []
    return kept


def sharing(words: Sequence[Word], others: Sequence[Word]) -> list[np.ndarray]:
    """Of each word, which of others share more than ``SHARED`` of the smaller one's area: arrays of their indices."""
    shapes, against = (
        shapely.make_valid(np.array([shapely.Polygon(word.polygon) for word in some], object)) for some in (words, others)
    )
    pairs = shapely.STRtree(against).query(shapes)
    first, second = shapes[pairs[0]], against[pairs[1]]
    least = np.minimum(shapely.area(first), shapely.area(second))
    pairs = pairs[:, shapely.area(shapely.intersection(first, second)) > SHARED * least]
    return [pairs[1, pairs[0] == k] for k in range(len(words))]
