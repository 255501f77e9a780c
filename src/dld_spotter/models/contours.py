"""From a text map to words, on the processor and without torch."""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import shapely

MAP_STRIDE = 2
"""Pixels of the view per cell of the text map."""


def promising(sides: np.ndarray, scores: np.ndarray, least: float, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Of N found words those whose score ``(N,)`` may end at ``least`` or above: reading multiplies it by at most 1.

    Where they are more than ``most``, those of the highest scores stay.
    """
    kept = np.flatnonzero(scores >= least)
    if most is not None and len(kept) > most:
        kept = np.sort(kept[np.argsort(-scores[kept], kind="stable")[:most]])
    return sides[kept], scores[kept]


@dataclass(frozen=True)
class TextMapDecoder:
    """Turn a text map into words: contours, un-clipping, sides.

    A text map does not tell which way a word is read. The direction is guessed: within 45 degrees of level, from left to
    right; of what is ``turned_above`` times as long across, along its long axis, as far from left to right as that goes. Short
    words that are turned further than 45 degrees are found, but their strips run across them.

    Args:
        threshold: probability above which a cell belongs to a word.
        min_score: least mean probability inside a contour.
        shrink: ratio r by which training shrank the words; the offset is ``A * (1 - r**2) / L`` (DB, section 3.5).
        min_height: words flatter than this many pixels of the view are dropped.
        max_words: at most this many words per image, the largest first.
        points: points K per side.
        curved_below: a region that fills less of its rectangle than this is followed as a curve.
        turned_above: a region more than so many times as tall as it is wide is a word turned by more than 45 degrees; digits
            and capitals that stand alone are up to 3 times as tall.
    """

    threshold: float = 0.3
    min_score: float = 0.5
    shrink: float = 0.7
    min_height: float = 3.0
    max_words: int = 200
    points: int = 8
    curved_below: float = 0.7
    turned_above: float = 3.5

    def __call__(self, probability: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the words of one image.

        Args:
            probability: ``(H/2, W/2)`` float32 text map.
            height: rows of the view that are image, not padding, pixels.
            width: columns of the same.

        Returns:
            sides ``(N, 2, K, 2)`` float32 pixels of the view, and the mean probability ``(N,)``.
        """
        mask = np.zeros(probability.shape, np.uint8)
        rows, columns = -(-height // MAP_STRIDE), -(-width // MAP_STRIDE)
        mask[:rows, :columns] = probability[:rows, :columns] > self.threshold
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        contours = sorted(contours, key=cv2.contourArea, reverse=True)[: 2 * self.max_words]
        scores = np.array([_mean_inside(probability, contour) for contour in contours], np.float32)
        kept = np.flatnonzero(scores >= self.min_score)[: self.max_words]
        # Contours run through cell centres, and targets are drawn half a cell too large: the two cancel out.
        regions = np.empty(len(kept), object)
        regions[:] = [_solid(contours[i][:, 0].astype(np.float64) + 0.5) for i in kept]
        grown = shapely.buffer(regions, self.offsets(regions), quad_segs=4)
        sides = [self._sides(shapely.get_coordinates(shapely.get_exterior_ring(region)) * MAP_STRIDE) for region in grown]
        found = [(side, scores[i]) for side, i in zip(sides, kept, strict=True) if side is not None]
        if not found:
            return np.zeros((0, 2, self.points, 2), np.float32), np.zeros(0, np.float32)
        limit = np.array([width, height], np.float32)
        return np.stack([side for side, _ in found]).clip(0, limit).astype(np.float32), np.array(
            [s for _, s in found], np.float32
        )

    def offsets(self, regions: np.ndarray) -> np.ndarray:
        """Distance by which each shrunk region is grown back, exact for rectangles.

        With c = 1 - r**2, the word grown by d has area A + L d + 4 d**2 and perimeter L + 8 d, and was shrunk by
        c * area / perimeter = d: a quadratic in d.
        """
        c = 1 - self.shrink**2
        area, perimeter = shapely.area(regions), shapely.length(regions)
        a, b = 8 - 4 * c, perimeter * (1 - c)
        return (-b + np.sqrt(b**2 + 4 * a * c * area)) / (2 * a)

    def _sides(self, outline: np.ndarray) -> np.ndarray | None:
        """Upper and lower side ``(2, K, 2)`` of an outline ``(P, 2)``, or None where it is too flat or only a line."""
        if not len(outline):
            return None
        center, size, angle = cv2.minAreaRect(outline.astype(np.float32))
        if min(size) < self.min_height:
            return None
        # The rectangle's axis nearest to the horizontal is the reading direction; versions of OpenCV differ in the
        # quarter turn that they report.
        quarters = round(angle / 90)
        length, thickness = size if quarters % 2 == 0 else size[::-1]
        if thickness > self.turned_above * length:
            quarters += 1 if angle > 90 * quarters else -1  # of the two ways along the long axis the one to the right
            length, thickness = thickness, length
        radians = np.deg2rad(angle - 90 * quarters)
        axes = np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])
        along = np.linspace(-length / 2, length / 2, self.points)
        upper, lower = np.full(self.points, -thickness / 2), np.full(self.points, thickness / 2)
        local = (outline - center) @ axes.T
        if length > thickness and _area(local) < self.curved_below * length * thickness:
            upper, lower = _envelope(local, along)
        sides = np.stack([np.stack([along, upper], 1), np.stack([along, lower], 1)])
        return sides @ axes + np.array(center)


def _solid(points: np.ndarray) -> shapely.Geometry:
    """Region of a contour; where it is one cell thin it is a point or a line."""
    if len(points) == 1:
        return shapely.Point(points[0])
    if len(points) == 2:
        return shapely.LineString(points)
    return shapely.make_valid(shapely.Polygon(points))


def _mean_inside(probability: np.ndarray, contour: np.ndarray) -> float:
    x, y, width, height = cv2.boundingRect(contour)
    inside = np.zeros((height, width), np.uint8)
    cv2.fillPoly(inside, [contour - (x, y)], 1)
    return float(cv2.mean(probability[y : y + height, x : x + width], inside)[0])


def _area(points: np.ndarray) -> float:
    x, y = points.T
    return 0.5 * abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))


def _envelope(outline: np.ndarray, along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest y of an outline ``(P, 2)`` near each position ``along`` ``(K,)``."""
    closed = np.concatenate([outline, outline[:1]])
    dense = np.concatenate([np.linspace(a, b, 24, endpoint=False) for a, b in pairwise(closed)])
    half = (along[1] - along[0]) / 2
    upper, lower = np.empty(len(along)), np.empty(len(along))
    for k, position in enumerate(along):
        near = dense[np.abs(dense[:, 0] - position) <= half, 1]
        near = near if len(near) else dense[[np.abs(dense[:, 0] - position).argmin()], 1]
        upper[k], lower[k] = near.min(), near.max()
    return upper, lower
