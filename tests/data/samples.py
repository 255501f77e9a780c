"""Small samples made by hand."""

import cv2
import numpy as np

from dld_spotter.structures import Sample, TextInstances


def box(x: float, y: float, width: float, height: float) -> np.ndarray:
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], np.float32)


def turned_box(x: float, y: float, width: float, height: float, degrees: float) -> np.ndarray:
    """A box of this size with its centre at (x, y)."""
    turn = np.deg2rad(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    corners = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
    return (corners @ rotation.T + (x, y)).astype(np.float32)


def sample(height: int = 96, width: int = 128, polygons=(), texts=None, ignore=None, name: str = "sample") -> Sample:
    """Grey noise with words filled white."""
    image = np.random.default_rng(height * width).integers(0, 60, (height, width, 3), np.uint8)
    for polygon in polygons:
        cv2.fillPoly(image, [np.rint((polygon - 0.5) * 16).astype(np.int32)], (255, 255, 255), shift=4)
    texts = ["word"] * len(polygons) if texts is None else texts
    return Sample(image, TextInstances.of(polygons, texts, ignore), name)
