"""Surfaces that text is written on: a plane in perspective or an arc, mapped to image pixels."""

import math
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

ARC_POINTS = 7  # per long side of a curved word
Box = tuple[float, float, float, float]


class Surface(Protocol):
    """Maps surface coordinates (unscaled pixels, origin at the middle of the text, y down) to image pixels."""

    def outline(self, box: Box) -> np.ndarray:
        """Map a rectangle ``(left, top, right, bottom)`` to a polygon ``(P, 2)`` float32, clockwise from its top left."""

    def warp(
        self, mask: np.ndarray, scale: float, offset: tuple[float, float], window: tuple[int, int, int, int]
    ) -> np.ndarray:
        """Resample a mask lying at ``offset`` on the surface, ``scale`` surface units a pixel.

        Args:
            mask: ``(h, w)`` uint8; a plane also takes several channels, ``(h, w, C)``.
            scale: surface units per mask pixel.
            offset: surface coordinates of the mask's top left.
            window: image pixels ``(x, y, width, height)`` to fill.

        Returns:
            ``(height, width)`` uint8.
        """

    def moved(self, x: float, y: float) -> "Surface":
        """Return the surface shifted by ``(x, y)`` image pixels."""


def enclose(image: np.ndarray, outline: np.ndarray) -> tuple[int, int, int, int]:
    """Enclose a polygon ``(P, 2)`` by whole pixels of an image ``(H, W, 3)``: ``(x, y, width, height)``."""
    across, down = outline.T.tolist()  # a few numbers: numpy would take three times as long
    left, top = max(math.floor(min(across)), 0), max(math.floor(min(down)), 0)
    right, bottom = math.ceil(max(across)), math.ceil(max(down))
    return left, top, min(right, image.shape[1]) - left, min(bottom, image.shape[0]) - top


def _translation(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Plane:
    """A plane; ``matrix`` is the ``(3, 3)`` homography to image pixels."""

    matrix: np.ndarray

    @classmethod
    def posed(cls, angle: float, shear: float = 0.0, stretch: float = 1.0, tilt: tuple[float, float] = (0.0, 0.0)) -> "Plane":
        """Build a plane around the origin.

        Args:
            angle: radians, clockwise in the picture.
            shear: sideways shift per unit of height.
            stretch: horizontal scale.
            tilt: relative foreshortening per surface unit, along x and along y.
        """
        cos, sin = math.cos(angle), math.sin(angle)
        rows = [stretch * cos, shear * cos - sin, 0.0], [stretch * sin, shear * sin + cos, 0.0], [*tilt, 1.0]
        return cls(np.array(rows))

    def outline(self, box: Box) -> np.ndarray:
        """Map a rectangle to its four corners."""
        left, top, right, bottom = box
        return self.project(np.array([[left, top], [right, top], [right, bottom], [left, bottom]]))

    def project(self, points: np.ndarray) -> np.ndarray:
        """Map points ``(P, 2)`` of the surface to image pixels, float32."""
        mapped = points @ self.matrix[:, :2].T + self.matrix[:, 2]
        return (mapped[:, :2] / mapped[:, 2:]).astype(np.float32)

    def stretched(self, x: float, y: float) -> "Plane":
        """Return the plane with surface units ``x`` and ``y`` times as long."""
        return Plane(self.matrix @ np.diag([x, y, 1.0]))

    def warp(
        self, mask: np.ndarray, scale: float, offset: tuple[float, float], window: tuple[int, int, int, int]
    ) -> np.ndarray:
        """Resample a mask; see :class:`Surface`."""
        placed = np.array([[scale, 0.0, offset[0] + 0.5 * scale], [0.0, scale, offset[1] + 0.5 * scale], [0.0, 0.0, 1.0]])
        matrix = _translation(-window[0] - 0.5, -window[1] - 0.5) @ self.matrix @ placed
        if not matrix[2, :2].any():
            return cv2.warpAffine(mask, matrix[:2] / matrix[2, 2], window[2:], flags=cv2.INTER_LINEAR)
        return cv2.warpPerspective(mask, matrix, window[2:], flags=cv2.INTER_LINEAR)

    def moved(self, x: float, y: float) -> "Plane":
        """Shift the plane."""
        return Plane(_translation(x, y) @ self.matrix)


@dataclass(frozen=True)
class Arc:
    """Text along a circle.

    Args:
        radius: of the circle through the middle of the text, pixels; negative bends the ends up instead of down.
        angle: radians, clockwise in the picture.
        middle: image pixels of the middle of the text.
    """

    radius: float
    angle: float
    middle: tuple[float, float] = (0.0, 0.0)

    def outline(self, box: Box) -> np.ndarray:
        """Map a rectangle to ``2 * ARC_POINTS`` points, the upper side and then the lower side back."""
        left, top, right, bottom = box
        along = np.linspace(left, right, ARC_POINTS)
        bend = np.concatenate([along, along[::-1]]) / self.radius
        distance = self.radius - np.repeat([top, bottom], ARC_POINTS)
        x, y = distance * np.sin(bend), self.radius - distance * np.cos(bend)
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        points = np.stack([x * cos - y * sin, x * sin + y * cos], axis=1) + self.middle
        return points.astype(np.float32)

    def warp(
        self, mask: np.ndarray, scale: float, offset: tuple[float, float], window: tuple[int, int, int, int]
    ) -> np.ndarray:
        """Resample a mask; see :class:`Surface`."""
        left, top, width, height = window
        dx = np.arange(width, dtype=np.float32) + np.float32(left + 0.5 - self.middle[0])
        dy = np.arange(height, dtype=np.float32)[:, None] + np.float32(top + 0.5 - self.middle[1])
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        sign, radius = np.float32(np.sign(self.radius)), np.float32(self.radius)
        x, y = dx * cos + dy * sin, radius - (dy * cos - dx * sin)
        along = radius * np.arctan2(sign * x, sign * y)
        across = radius - sign * np.hypot(x, y)
        map_x = (along - np.float32(offset[0])) / np.float32(scale) - np.float32(0.5)
        map_y = (across - np.float32(offset[1])) / np.float32(scale) - np.float32(0.5)
        return cv2.remap(mask, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)

    def moved(self, x: float, y: float) -> "Arc":
        """Shift the arc."""
        return Arc(self.radius, self.angle, (self.middle[0] + x, self.middle[1] + y))
