"""What stands before the words: wires, poles, leaves."""

from collections.abc import Sequence

import cv2
import numpy as np

from dld_spotter.core.errors import ConfigError
from dld_spotter.core.geometry import polygon_to_boundaries
from dld_spotter.data.synthetic.background import random_colour

WIRE, POLE, LEAF = (0.04, 0.12), (0.2, 0.6), (0.15, 0.5)
"""Thickness, and for a leaf its half axes, relative to the height of the word that it is laid over."""
KINDS = 3
FRACTION_BITS = 8  # of OpenCV's coordinates


class Occlusion:
    """Lays things over words. A word of which a letter is hidden becomes don't-care.

    Args:
        probability: share of images with something before their words.
        count: least and largest number of things, each laid over a word drawn at random.
        max_hidden: a word counts as long as no larger share of any of its letters, all taken as equally wide, is hidden.
    """

    def __init__(self, probability: float = 0.3, count: Sequence[int] = (1, 4), max_hidden: float = 0.3) -> None:
        if len(count) != 2 or not (0 <= probability <= 1 and 1 <= count[0] <= count[1] and 0 <= max_hidden <= 1):
            raise ConfigError(
                "occlusion needs a probability and max_hidden in 0..1 and a count of two numbers from 1 up in order, found "
                f"{probability}, {max_hidden} and {list(count)}"
            )
        self.probability, self.count, self.max_hidden = probability, tuple(count), max_hidden

    def apply(
        self, rng: np.random.Generator, image: np.ndarray, polygons: Sequence[np.ndarray], texts: Sequence[str]
    ) -> list[bool]:
        """Lay things over ``image`` ``(H, W, 3)`` uint8 with its words, ``(P, 2)`` each, in place.

        Returns:
            for each word whether it can no longer be read.
        """
        if not len(polygons) or rng.random() >= self.probability:
            return [False] * len(polygons)
        covered = np.zeros(image.shape[:2], np.uint8)
        for _ in range(int(rng.integers(self.count[0], self.count[1] + 1))):
            thing = np.zeros_like(covered)
            _draw_thing(rng, thing, polygons[int(rng.integers(len(polygons)))])
            _lay_over(rng, image, thing)
            np.maximum(covered, thing, out=covered)
        words = zip(polygons, texts, strict=True)
        return [hidden_share_of_letters(covered, polygon, len(text)) > self.max_hidden for polygon, text in words]


def hidden_share_of_letters(covered: np.ndarray, polygon: np.ndarray, letters: int) -> float:
    """Share that is hidden of the letter of a word ``(P, 2)`` that is hidden most, see :func:`hidden_share`."""
    if not hidden_share(covered, polygon):
        return 0.0
    upper, lower = polygon_to_boundaries(polygon, max(letters, 1) + 1)
    cells = np.stack([upper[:-1], upper[1:], lower[1:], lower[:-1]], axis=1)
    return max(hidden_share(covered, cell) for cell in cells)


def hidden_share(covered: np.ndarray, polygon: np.ndarray) -> float:
    """Share of a polygon ``(P, 2)`` that ``covered`` ``(H, W)`` uint8, 255 where all is hidden, hides."""
    left, top = np.maximum(np.floor(polygon.min(axis=0)), 0).astype(int).tolist()
    right, bottom = np.ceil(polygon.max(axis=0)).astype(int).tolist()
    window = covered[top:bottom, left:right]
    inside = np.zeros(window.shape, np.uint8)
    cv2.fillPoly(inside, [_fixed(polygon - (left, top))], 1, shift=FRACTION_BITS)
    area = cv2.countNonZero(inside)
    return float(window[inside > 0].sum(dtype=np.int64)) / (255 * area) if area else 0.0


def _draw_thing(rng: np.random.Generator, mask: np.ndarray, polygon: np.ndarray) -> None:
    """Draw a wire, a pole or a leaf through a point of a word into ``mask`` ``(H, W)`` uint8."""
    upper, lower = np.split(polygon, 2)
    height = max(float(np.linalg.norm(upper - lower[::-1], axis=1).mean()), 1.0)
    middle = polygon.mean(axis=0) + rng.uniform(-0.5, 0.5, 2) * np.ptp(polygon, axis=0)
    angle = rng.uniform(0, np.pi)
    along = np.array([np.cos(angle), np.sin(angle)])
    kind = int(rng.integers(KINDS))
    if kind == 0:  # a wire, slightly bent
        steps = np.linspace(-1, 1, 9)[:, None]
        sag = rng.normal(0, 0.6) * height * (1 - steps**2) * along[::-1] * (1, -1)
        points = middle + rng.uniform(3, 12) * height * steps * along + sag
        thickness = max(1, round(rng.uniform(*WIRE) * height))
        cv2.polylines(mask, [_fixed(points)], False, 255, thickness, cv2.LINE_AA, FRACTION_BITS)
    elif kind == 1:
        across = rng.uniform(*POLE) * height / 2 * along[::-1] * (1, -1)
        reach = rng.uniform(0.6, 6) * height * along
        corners = np.array([middle - reach - across, middle + reach - across, middle + reach + across, middle - reach + across])
        cv2.fillPoly(mask, [_fixed(corners)], 255, cv2.LINE_AA, FRACTION_BITS)
    else:
        axes = np.maximum(rng.uniform(*LEAF, 2) * height, 1.0)
        cv2.ellipse(mask, _fixed(middle), _fixed(axes + 0.5), np.degrees(angle), 0, 360, 255, -1, cv2.LINE_AA, FRACTION_BITS)


def _lay_over(rng: np.random.Generator, image: np.ndarray, mask: np.ndarray) -> None:
    """Paint the thing in ``mask`` over ``image``: one colour that fades across it."""
    left, top, width, height = cv2.boundingRect(mask)
    first, second = random_colour(rng), rng.normal(0, 25, 3)
    if not width:
        return
    window = slice(top, top + height), slice(left, left + width)
    fade = np.linspace(-1, 1, width)[:, None] * second
    paint = np.broadcast_to(np.clip(first + fade, 0, 255).astype(np.uint8), (height, width, 3))
    weight = mask[window].astype(np.float32) / 255
    image[window] = cv2.blendLinear(np.ascontiguousarray(paint), np.ascontiguousarray(image[window]), weight, 1 - weight)


def _fixed(points: np.ndarray) -> np.ndarray:
    """Bring coordinates, whose first pixel's centre lies at 0.5, to OpenCV's whole numbers with ``FRACTION_BITS``."""
    return np.rint((points - 0.5) * 2**FRACTION_BITS).astype(np.int32)
