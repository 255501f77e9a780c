"""What a text map should show: the targets of differentiable binarisation (Liao et al., AAAI 2020, section 3.4).

The outlines are moved inwards and outwards once per word, in reference pixels, and drawn in every view.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import shapely
import torch

from dld_spotter.core.batches import DetectionTargets, TextInstances, View
from dld_spotter.core.geometry import polygons_to_boundaries, word_heights

SHRINK_RATIO = 0.7
"""The decoder, which grows the words back, has the same default."""
MAP_STRIDE = 2
_FRACTION_BITS = 4  # OpenCV draws with fixed-point coordinates
_MIN_REACH = 1e-3


@dataclass(frozen=True)
class Rings:
    """Closed lines ``points`` ``(M, 2)``, one after the other, each of ``lengths`` points, owned by the word ``owners``."""

    points: np.ndarray
    lengths: np.ndarray
    owners: np.ndarray

    @classmethod
    def of(cls, lines: Sequence[np.ndarray]) -> "Rings":
        """Build from one line per word."""
        points = np.concatenate([np.zeros((0, 2)), *lines])
        return cls(points, np.array([len(line) for line in lines], int), np.arange(len(lines)))

    @classmethod
    def of_shapes(cls, shapes: np.ndarray) -> "Rings":
        """Build from the outer rings of an array of shapely polygons or multi-polygons, one per word."""
        parts, owners = shapely.get_parts(shapes, return_index=True)
        rings = shapely.get_exterior_ring(parts)
        keep = ~shapely.is_empty(rings)
        rings, owners = rings[keep], owners[keep]
        return cls(shapely.get_coordinates(rings), shapely.get_num_coordinates(rings), owners)

    def joined(self, other: "Rings") -> "Rings":
        """Put the rings of ``other`` behind these."""
        pairs = ((self.points, other.points), (self.lengths, other.lengths), (self.owners, other.owners))
        return Rings(*(np.concatenate(pair) for pair in pairs))

    def drawable(self, factor: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Return ``(owner, fixed-point coordinates)`` per ring; OpenCV puts the first pixel's centre at 0, we at 0.5."""
        fixed = np.rint((self.points * factor - 0.5) * (1 << _FRACTION_BITS)).astype(np.int32)
        ends = self.lengths.cumsum()
        return [(int(o), fixed[e - n : e]) for o, n, e in zip(self.owners, self.lengths, ends, strict=True)]


@dataclass(frozen=True)
class TextRegions:
    """The words of one image, ready to be drawn at any resolution; all lengths in reference pixels.

    Args:
        outlines: the words' polygons.
        shrunk: moved inwards by ``reach``; the centre line of a word that vanishes.
        dilated: moved outwards by ``reach``.
        reach: ``(N,)`` distance D = A (1 - r²) / L from area A, perimeter L and shrink ratio r.
        heights: ``(N,)`` distance between the boundaries.
        ignore: ``(N,)`` bool.
        convex: ``(N,)`` bool, True where OpenCV's faster and more exact way to fill can be used.
    """

    outlines: Rings
    shrunk: Rings
    dilated: Rings
    reach: np.ndarray
    heights: np.ndarray
    ignore: np.ndarray
    convex: np.ndarray

    @classmethod
    def of(cls, instances: TextInstances, shrink_ratio: float = SHRINK_RATIO) -> "TextRegions":
        """Prepare the words of an image."""
        boundaries = polygons_to_boundaries(instances.polygons)
        shapes = np.array([shapely.Polygon(polygon) for polygon in instances.polygons], object)
        shapes = np.where(shapely.is_valid(shapes), shapes, shapely.make_valid(shapes)) if len(shapes) else shapes
        area, perimeter = shapely.area(shapes), np.maximum(shapely.length(shapes), _MIN_REACH)
        convex = area >= (1 - 1e-6) * shapely.area(shapely.convex_hull(shapes))
        reach = area * (1 - shrink_ratio**2) / perimeter
        shrunk = Rings.of_shapes(shapely.buffer(shapes, -reach, quad_segs=2))
        vanished = np.setdiff1d(np.arange(len(instances)), shrunk.owners)
        centres = replace(Rings.of(list(boundaries[vanished].mean(1))), owners=vanished)
        dilated = Rings.of_shapes(shapely.buffer(shapes, reach, quad_segs=2))
        outlines, heights = Rings.of(instances.polygons), word_heights(boundaries)
        return cls(outlines, shrunk.joined(centres), dilated, reach, heights, instances.ignore, convex)


def detection_targets(
    view: View,
    regions: Sequence[TextRegions],
    min_height: float = 4.0,
    between: float = 1.0,
    stride: int = MAP_STRIDE,
) -> DetectionTargets:
    """Draw the targets of a view.

    Args:
        view: B images at one scale.
        regions: the words of each image.
        min_height: words lower than this many pixels of the view are don't-care in it.
        between: what a cell within reach of two words counts, if it is not text; others count 1. These cells are few, and
            they alone keep neighbouring words apart (as the borders of touching cells do, U-Net, arXiv 1505.04597).
        stride: pixels of the view per cell.
    """
    batch, _, height, width = view.images.shape
    text, border, border_care = np.zeros((3, batch, height // stride, width // stride), np.float32)
    care = np.ones_like(text)
    for row, (words, factor) in enumerate(zip(regions, view.factors.numpy().astype(np.float64), strict=True)):
        scale = np.sqrt(factor.prod())
        hidden = words.ignore | (words.heights * scale < min_height)
        _draw_text(text[row], care[row], words, hidden, factor / stride)
        if between != 1:
            near = _near_two(text[row].shape, words, hidden, factor / stride)
            care[row] *= np.where(near & (text[row] == 0), np.float32(between), 1)
        if not hidden.all():
            border[row], border_care[row] = _border(text[row].shape, words, hidden, factor / stride)
    return DetectionTargets(*(torch.from_numpy(maps) for maps in (text, care, border, border_care)))


def _draw_text(text: np.ndarray, care: np.ndarray, words: TextRegions, hidden: np.ndarray, factor: np.ndarray) -> None:
    """Fill the shrunk words in ``text`` and the hidden ones in ``care``, both ``(H, W)``."""
    for word, ring in words.shrunk.drawable(factor):
        if not hidden[word]:
            _fill(text, ring, 1, words.convex[word])
    if hidden.any():
        for word, ring in words.outlines.drawable(factor):
            if hidden[word]:
                _fill(care, ring, 0, words.convex[word])


def _near_two(shape: tuple[int, int], words: TextRegions, hidden: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Which cells, ``shape``, lie within reach of at least two words."""
    count = np.zeros(shape, np.uint8)
    limit = np.array(shape[::-1])
    for word, ring in words.dilated.drawable(factor):
        low = (ring.min(0) >> _FRACTION_BITS).clip(0, limit)
        high = ((ring.max(0) >> _FRACTION_BITS) + 2).clip(0, limit)
        if hidden[word] or (high <= low).any():
            continue
        stamp = np.zeros((high - low)[::-1], np.uint8)
        _fill(stamp, (ring - (low << _FRACTION_BITS)).astype(np.int32), 1, words.convex[word])
        count[low[1] : high[1], low[0] : high[0]] += stamp
    return count > 1


def _fill(image: np.ndarray, ring: np.ndarray, value: float, convex: bool) -> None:
    if convex:
        cv2.fillConvexPoly(image, ring, value, shift=_FRACTION_BITS)
    else:
        cv2.fillPoly(image, [ring], value, shift=_FRACTION_BITS)


def _border(
    shape: tuple[int, int], words: TextRegions, hidden: np.ndarray, factor: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the border map and where it is defined, both ``shape``."""
    reach, apart = np.zeros(shape, np.float32), np.ones(shape, np.uint8)
    reaches = np.maximum(words.reach * np.sqrt(factor.prod()), _MIN_REACH)
    for word, ring in words.dilated.drawable(factor):
        if not hidden[word]:
            _fill(reach, ring, float(reaches[word]), words.convex[word])
    for word, ring in words.outlines.drawable(factor):
        if not hidden[word]:
            cv2.polylines(apart, [ring], True, 0, shift=_FRACTION_BITS)
    defined = reach > 0
    distance = cv2.distanceTransform(apart, cv2.DIST_L2, cv2.DIST_MASK_5)
    border = np.maximum(1 - distance / np.where(defined, reach, 1), 0) * defined
    return border, defined.astype(np.float32)
