"""What a thumbnail tells of the text in an image, in some thirty numbers that take a millisecond. Needs no torch."""

from math import log2

import cv2
import numpy as np

from dld_spotter.core.arrays import Floats

VERSION = 1
"""Changes with every change of the numbers: a policy learnt from others is refused."""
SIDE = 256
"""Long side of the thumbnail, pixels."""
LEVELS = 4
"""Times that the thumbnail is seen, each at half of the size before."""
ROWS = 24
"""Rows, and columns, of the full resolution that are looked at."""
LAGS = (1, 2, 4, 8, 16)
"""Pixels between those that are compared along them."""
EDGE = 24
"""Difference of grey levels from which on a pixel lies on an edge."""
GRID = 4
"""Rows and columns of cells over which edges are counted."""


def describe(image: np.ndarray) -> Floats:
    """Numbers ``(F,)`` that tell how much text of which size an image shows.

    Args:
        image: ``(H, W, 3)`` uint8 RGB at the reference resolution.
    """
    height, width = image.shape[:2]
    thumbnail = _thumbnail(image)
    grey = cv2.cvtColor(thumbnail, cv2.COLOR_RGB2GRAY)
    red, green, blue = cv2.split(thumbnail)
    colourful = cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))
    shape = [log2(max(height, width)), log2(height / width)]
    light = [grey.mean() / 255, grey.std() / 255, colourful.mean() / 255, (grey > 200).mean(), (grey < 60).mean()]
    return np.array([*shape, *light, *_edges(grey), *_spread(grey), *_differences(image)], float)


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """The image with ``SIDE`` pixels on the long side; of large ones every few pixels alone are averaged, which is quick."""
    height, width = image.shape[:2]
    factor = SIDE / max(height, width)
    small, twice = ((max(2, round(width * share)), max(2, round(height * share))) for share in (factor, 2 * factor))
    coarse = cv2.resize(image, twice, interpolation=cv2.INTER_NEAREST) if 2 * factor < 1 else image
    return cv2.resize(coarse, small, interpolation=cv2.INTER_AREA)


def _edges(grey: np.ndarray) -> list[float]:
    """How strong edges are across and along, and how many there are, at every level."""
    numbers = []
    for _ in range(LEVELS):
        across, along = cv2.absdiff(grey[:, 1:], grey[:, :-1]), cv2.absdiff(grey[1:], grey[:-1])
        numbers += [np.log1p(across.mean()), np.log1p(along.mean()), (across > EDGE).mean(), (along > EDGE).mean()]
        size = tuple(max(2, side // 2) for side in grey.shape[::-1])
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return numbers


def _spread(grey: np.ndarray) -> list[float]:
    """How unevenly edges lie over the image, and how full its fullest part is."""
    strong = (cv2.absdiff(grey[:, 1:], grey[:, :-1]) > EDGE).astype(np.float32)
    cells = cv2.resize(strong, (GRID, GRID), interpolation=cv2.INTER_AREA)
    return [float(cells.std()), float(cells.max()), float((cells > 0.05).mean())]


def _differences(image: np.ndarray) -> list[float]:
    """How much pixels of the full resolution differ that are some pixels apart: fine text differs over short distances."""
    green = image[..., 1]
    height, width = green.shape
    rows = green[:: max(1, height // ROWS)].astype(np.int16)
    columns = green[:, :: max(1, width // ROWS)].T.astype(np.int16)
    numbers = []
    for lines in (rows, columns):
        for lag in LAGS:
            apart = np.abs(lines[:, lag:] - lines[:, :-lag])
            numbers.append(np.log1p(apart.mean()) if apart.size else 0.0)
    return numbers
