"""What both RapidOCR engines need to run PP-OCR at the size that they are given, and to say where its text begins."""

import os
from collections.abc import Sequence
from importlib.util import find_spec

import cv2
import numpy as np

from dld_spotter.budget.cost import pad_to
from dld_spotter.core.errors import ConfigError

UPRIGHT = 1.5
"""Boxes at least so many times as high as wide are turned by PP-OCR before it reads them."""


def absent(modules: Sequence[str], remedy: str) -> str | None:
    """Name the modules that are not installed and the remedy; None where all of them are."""
    missing = [module for module in modules if find_spec(module) is None]
    return f"{', '.join(missing)} is not installed; {remedy}" if missing else None


def checked_score(min_score: float) -> float:
    """A score below which lines are dropped.

    Raises:
        ConfigError: it does not lie in 0..1.
    """
    if not 0 <= min_score <= 1:
        raise ConfigError(f"engine.min_score={min_score} must lie in 0..1; 0.5 is the engine's own default")
    return min_score


def usable_threads(threads: int) -> int:
    """As many threads as onnxruntime heeds: RapidOCR ignores numbers above those of the cores."""
    return min(threads, os.cpu_count() or threads)


def padded(image: np.ndarray, stride: int) -> np.ndarray:
    """Turn an image ``(H, W, 3)`` RGB into BGR, with black below and to the right up to multiples of ``stride``.

    >>> padded(np.zeros((20, 33, 3), np.uint8), 32).shape
    (32, 64, 3)
    """
    height, width = image.shape[:2]
    below, right = pad_to(height, stride) - height, pad_to(width, stride) - width
    return cv2.copyMakeBorder(image[..., ::-1], 0, below, 0, right, cv2.BORDER_CONSTANT)


def along_text(box: np.ndarray) -> np.ndarray:
    """Let a box ``(4, 2)``, clockwise from its top left, begin where its text does: that of an upright box runs downwards.

    >>> along_text(np.array([[0, 0], [10, 0], [10, 40], [0, 40]])).tolist()
    [[10, 0], [10, 40], [0, 40], [0, 0]]
    """
    sides = np.linalg.norm(box - np.roll(box, -1, axis=0), axis=1)
    upright = sides[1::2].max() >= UPRIGHT * sides[0::2].max()
    return np.roll(box, -1, axis=0) if upright else box


def beginning_as(box: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Let the box of a word ``(4, 2)``, clockwise from any corner, begin at the corner at which its line ``(4, 2)`` does.

    >>> line = along_text(np.array([[0, 0], [10, 0], [10, 40], [0, 40]]))
    >>> beginning_as(np.array([[0, 0], [10, 0], [10, 12], [0, 12]]), line).tolist()
    [[10, 0], [10, 12], [0, 12], [0, 0]]
    """
    along = line[1] - line[0]
    sides = np.roll(box, -1, axis=0) - box
    cosines = sides @ along / np.maximum(np.linalg.norm(sides, axis=1), 1e-6)
    return np.roll(box, -int(cosines.argmax()), axis=0)
