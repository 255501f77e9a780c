"""Resizing without torch, which gives the very pixels that torch gives."""

import cv2
import numpy as np

BLOCK = 8
"""Rows that are computed by one matrix product."""


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize ``(H, W, 3)`` uint8, bilinear and anti-aliased, as :func:`dld_spotter.data.views.resize` does.

    First across and then down, each rounded to whole values, as in torch: a network notices the difference.
    """
    if image.shape[1] != width:
        image = cv2.transpose(_resize_rows(cv2.transpose(image), width))
    return _resize_rows(image, height) if image.shape[0] != height else image


def _resize_rows(image: np.ndarray, size: int) -> np.ndarray:
    """Resize the first axis of ``(L, M, 3)`` uint8 to ``size``; each output row is a weighted mean of neighbouring rows."""
    first, weights = _weights(len(image), size)
    rows = image.reshape(len(image), -1)
    result = np.empty((size, rows.shape[1]), np.uint8)
    taps = np.arange(weights.shape[1])
    for start in range(0, size, BLOCK):
        block = slice(start, min(start + BLOCK, size))
        offsets = first[block, None] + taps
        low, high = offsets.min(), min(offsets.max() + 1, len(image))
        matrix = np.zeros((len(offsets), offsets.max() + 1 - low), np.float32)
        np.put_along_axis(matrix, offsets - low, weights[block], axis=1)
        mean = matrix[:, : high - low] @ rows[low:high].astype(np.float32)
        result[block] = mean + 0.5  # what follows the point is cut off
    return result.reshape(size, *image.shape[1:])


def _weights(length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """First input row ``(size,)`` of each output row, and the weights ``(size, taps)`` of the rows from there on.

    A triangle as wide as an output row (at least as an input row). Torch rounds the weights of a pass to 16-bit integers
    with as many binary places as the largest of them allows.
    """
    scale = length / size
    reach = max(scale, 1.0)
    centers = scale * (np.arange(size) + 0.5)
    first = np.maximum((centers - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centers + reach + 0.5).astype(np.int64), length)
    rows = first[:, None] + np.arange((last - first).max())
    weights = np.maximum(1 - np.abs((rows + 0.5 - centers[:, None]) / reach), 0) * (rows < last[:, None])
    weights /= weights.sum(1, keepdims=True)
    places = 0
    while places < 22 and int(0.5 + weights.max() * 2 ** (places + 1)) < 2**15:
        places += 1
    return first, (np.floor(weights * 2**places + 0.5) / 2**places).astype(np.float32)
