"""Features of upright boxes at one size (RoIAlign, Mask R-CNN, arXiv 1703.06870, section 3), by `grid_sample`."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dld_spotter.models.roi import lookup
from dld_spotter.models.two_stage.boxes import areas

FINEST = 112.0
"""Side in pixels of a square box from which on it is taken from the second level (FPN, arXiv 1612.03144, equation 1)."""


def level_of(boxes: Tensor, levels: int) -> Tensor:
    """The pyramid level ``(N,)`` int64 that each box ``(N, 4)`` is taken from: one coarser with each doubling of its side."""
    return (areas(boxes).sqrt() / FINEST).clamp(min=1e-6).log2().floor().add(1).clamp(0, levels - 1).long()


def cell_centres(boxes: Tensor, rows: int, columns: int) -> Tensor:
    """Centres ``(N, rows, columns, 2)`` (x, y) in pixels of the cells of a grid laid over each box ``(N, 4)``."""
    x, y = ((torch.arange(cells, device=boxes.device, dtype=boxes.dtype) + 0.5) / cells for cells in (columns, rows))
    across = boxes[:, None, 0:1] + x[:, None] * (boxes[:, None, 2:3] - boxes[:, None, 0:1])
    down = boxes[:, None, 1:2] + y[:, None] * (boxes[:, None, 3:4] - boxes[:, None, 1:2])
    return torch.stack([across[:, None, :, 0].expand(-1, rows, -1), down[:, :, None, 0].expand(-1, -1, columns)], dim=3)


def roi_align(levels: Sequence[Tensor], strides: Sequence[int], boxes: Tensor, image_index: Tensor, side: int) -> Tensor:
    """Mean of 2 x 2 bilinear lookups in each of ``side`` x ``side`` cells of every box.

    Args:
        levels: ``(B, C, H / s, W / s)``, finest first.
        strides: their strides s.
        boxes: ``(N, 4)`` pixels.
        image_index: ``(N,)`` int64.
        side: rows and columns of the result.

    Returns:
        ``(N, C, side, side)``.
    """
    level = level_of(boxes, len(levels))
    points = cell_centres(boxes, 2 * side, 2 * side)
    parts, places = [], []
    for i, (level_map, stride) in enumerate(zip(levels, strides, strict=True)):
        chosen = (level == i).nonzero()[:, 0]
        places.append(chosen)
        if len(chosen):
            parts.append(F.avg_pool2d(lookup(level_map, points[chosen] / stride, image_index[chosen]), 2))
        else:  # no box, but a place in the graph: data-parallel training wants a gradient of every parameter
            parts.append(level_map[:0, :, :1, :1].expand(-1, -1, side, side))
    return torch.cat(parts)[torch.cat(places).argsort()]
