"""Masks of words within their boxes: from true polygons, and back to polygons."""

import cv2
import numpy as np
import torch
from torch import Tensor

from dld_spotter.models.two_stage.roi_align import cell_centres

FINE = 4
"""Cells of a mask are divided by this, per side, before its outline is followed."""
SIMPLER = 0.01
"""An outline may move by this share of its length where that saves corners."""


def inside(points: Tensor, polygons: Tensor) -> Tensor:
    """Which points ``(N, P, 2)`` lie in polygons ``(N, E, 2)``, by the number of edges to their right: ``(N, P)`` bool."""
    x, y = points[:, :, None, 0], points[:, :, None, 1]
    start, end = polygons[:, None], polygons.roll(-1, 1)[:, None]
    crosses = (start[..., 1] > y) != (end[..., 1] > y)
    rise = end[..., 1] - start[..., 1]
    share = (y - start[..., 1]) / torch.where(rise == 0, 1, rise)
    right = x < start[..., 0] + share * (end[..., 0] - start[..., 0])
    return (crosses & right).sum(-1) % 2 == 1


def outlines(boundaries: Tensor) -> Tensor:
    """Polygons ``(N, 2 * K, 2)`` of words ``(N, 2, K, 2)``."""
    return torch.cat([boundaries[:, 0], boundaries[:, 1].flip(1)], dim=1)


def mask_targets(boundaries: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Masks ``(N, side, side)`` float of words ``(N, 2, K, 2)``, as grids over boxes ``(N, 4)`` show them."""
    points = cell_centres(boxes, side, side).flatten(1, 2)
    return inside(points, outlines(boundaries)).view(len(boxes), side, side).to(boxes.dtype)


def paste(mask: np.ndarray, box: np.ndarray, canvas: np.ndarray, stride: int = 1) -> None:
    """Show a mask in a map of the whole view, bilinearly; where the map shows more already, it stays.

    Args:
        mask: ``(S, S)`` values within the box.
        box: ``(4,)`` pixels of the view.
        canvas: ``(H / stride, W / stride)``, changed in place: cells whose centre lies in the box.
        stride: pixels per cell of the canvas.
    """
    limit = canvas.shape[::-1]
    first = np.ceil(box[:2] / stride - 0.5).astype(int).clip(0, limit)
    last = np.ceil(box[2:] / stride - 0.5).astype(int).clip(0, limit)
    if (last <= first).any():
        return
    across, down = (
        _weights(((np.arange(low, high) + 0.5) * stride - start) / (end - start), len(mask))
        for low, high, start, end in zip(first, last, box[:2], box[2:], strict=True)
    )
    shown = canvas[first[1] : last[1], first[0] : last[0]]
    np.maximum(shown, down @ mask @ across.T, out=shown)


def outline(mask: np.ndarray, box: np.ndarray, threshold: float) -> np.ndarray:
    """Polygon ``(P, 2)`` around the largest part of a mask that is above a threshold.

    Args:
        mask: ``(S, S)`` probabilities within the box.
        box: ``(4,)`` pixels of the view.
        threshold: probability.

    Returns:
        pixels of the view; no point where nothing is above the threshold.
    """
    cells = FINE * len(mask)
    weights = _weights((np.arange(cells) + 0.5) / cells, len(mask))
    above = (weights @ mask @ weights.T > threshold).astype(np.uint8)
    contours, _ = cv2.findContours(above, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return np.zeros((0, 2), np.float32)
    largest = max(contours, key=cv2.contourArea)[:, 0].astype(np.float64)
    points = (box[:2] + (largest + 0.5) / cells * (box[2:] - box[:2])).astype(np.float32)
    return cv2.approxPolyDP(points, SIMPLER * cv2.arcLength(points, True), True)[:, 0]


def _weights(positions: np.ndarray, cells: int) -> np.ndarray:
    """Bilinear weights ``(P, cells)`` of cells at positions ``(P,)`` from 0 to 1 along them; the outermost cells go on."""
    place = (positions * cells - 0.5).clip(0, cells - 1)
    left = np.minimum(place.astype(int), max(cells - 2, 0))
    weights = np.zeros((len(positions), cells), np.float32)
    rows = np.arange(len(positions))
    weights[rows, left] = 1 - (place - left)
    weights[rows, np.minimum(left + 1, cells - 1)] += place - left
    return weights
