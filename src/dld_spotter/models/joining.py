"""Regions of one line that weak text joins: pieces of a word, or words that a recogniser tells apart. Needs no torch."""

from collections.abc import Callable, Sequence

import numpy as np
import shapely

from dld_spotter.core.geometry import boundaries_to_polygon, word_heights

IN_LINE = 1.25
"""How much higher than the highest of its regions a line may be; two lines of text, or a turned one, are higher."""
NEAR = 1.0
"""Of a line's height that its regions may lie apart."""

Rectangle = Callable[[np.ndarray], np.ndarray | None]
"""From points ``(P, 2)`` to the two sides ``(2, K, 2)`` of the rectangle around them; None where it is too flat."""


def join_in_line(
    boundaries: Sequence[np.ndarray], components: Sequence[int], rectangle: Rectangle
) -> list[tuple[list[int], np.ndarray]]:
    """Join regions, the nearest first, as long as what they make up is a line.

    Args:
        boundaries: N regions ``(2, K, 2)``.
        components: which piece of weak text each lies in; those of different ones are not joined.
        rectangle: what is drawn around the regions of a line.

    Returns:
        the regions of each line of several, and its sides ``(2, K, 2)``.
    """
    components, sides = np.asarray(components, int), np.array(boundaries)
    labels, counts = np.unique(components, return_counts=True)
    several = np.flatnonzero(np.isin(components, labels[counts > 1]))
    if not len(several):
        return []
    polygons = {k: boundaries_to_polygon(sides[k]) for k in several.tolist()}
    heights = word_heights(sides)
    lengths = np.linalg.norm(np.diff(sides, axis=2), axis=-1).sum(-1).mean(1)
    lines = {k: [k] for k in polygons}
    drawn: dict[int, np.ndarray] = {}
    for one, other in _pairs(polygons, components, heights):
        first, second = (next(root for root, line in lines.items() if k in line) for k in (one, other))
        if first == second:
            continue
        members = lines[first] + lines[second]
        around = rectangle(np.concatenate([polygons[k] for k in members]))
        if around is None:
            continue
        height, length = float(word_heights(around[None])[0]), float(np.linalg.norm(around[0, -1] - around[0, 0]))
        if height <= IN_LINE * heights[members].max() and length - lengths[members].sum() <= NEAR * height:
            lines[first], drawn[first] = members, around
            del lines[second]
            drawn.pop(second, None)
    return [(sorted(lines[root]), around) for root, around in drawn.items()]


def _pairs(polygons: dict[int, np.ndarray], components: np.ndarray, heights: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of one component that lie near each other, the nearest first."""
    keys = np.array(list(polygons))
    shapes = shapely.convex_hull(np.array([shapely.MultiPoint(polygons[k]) for k in keys.tolist()], object))
    first, second = shapely.STRtree(shapes).query(shapes, "dwithin", NEAR * heights[keys])
    alike = (keys[first] < keys[second]) & (components[keys[first]] == components[keys[second]])
    first, second = first[alike], second[alike]
    centres = shapely.get_coordinates(shapely.centroid(shapes))
    apart = shapely.distance(shapes[first], shapes[second])
    order = np.lexsort((np.linalg.norm(centres[first] - centres[second], axis=1), apart))
    return list(zip(keys[first[order]].tolist(), keys[second[order]].tolist(), strict=True))
