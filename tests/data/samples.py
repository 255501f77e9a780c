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
    """Dark noise with words filled white, exact to a fraction of a pixel."""
    image = np.random.default_rng(height * width).integers(0, 60, (height, width, 3), np.uint8)
    if len(polygons):
        fine = np.zeros((height * 8, width * 8), np.uint8)
        for polygon in polygons:
            cv2.fillPoly(fine, [np.rint(polygon * 8 - 0.5).astype(np.int32)], 255)
        words = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)[..., None]
        image = np.maximum(image, words)
    texts = ["word"] * len(polygons) if texts is None else texts
    return Sample(image, TextInstances.of(polygons, texts, ignore), name)
