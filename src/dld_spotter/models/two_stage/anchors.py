"""Anchors of a region proposal network, and which word each of them is taught to find (Faster R-CNN, arXiv 1506.01497)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dld_spotter.models.two_stage.boxes import areas, intersections, overlaps

COVERED = 0.5
"""A box of which a don't-care word covers at least this much says nothing about what is no text."""


def anchors(height: int, width: int, stride: int, scale: float, ratios: Sequence[float], device: torch.device) -> Tensor:
    """Lay anchors over a map.

    Args:
        height: rows of the map.
        width: its columns.
        stride: pixels per cell.
        scale: cells along the side of an anchor that is square.
        ratios: heights over widths, one anchor of the same area for each in every cell.
        device: where to.

    Returns:
        ``(height * width * len(ratios), 4)`` pixels, row by row.
    """
    roots = torch.tensor(list(ratios), dtype=torch.float32, device=device).sqrt()
    half = scale * stride / 2 * torch.stack([1 / roots, roots], dim=1)
    y, x = ((torch.arange(cells, device=device) + 0.5) * stride for cells in (height, width))
    centres = torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)], dim=2)[:, :, None]
    return torch.cat([centres - half, centres + half], dim=3).view(-1, 4)


class Assignment(NamedTuple):
    """What boxes are taught.

    Args:
        labels: ``(N,)`` int64: 1 for text, 0 for none, -1 where it does not count.
        words: ``(N,)`` int64, the word of each that is text; anything elsewhere.
    """

    labels: Tensor
    words: Tensor


def assign(
    boxes: Tensor, words: Tensor, care: Tensor, positive: float, negative: float, least: float | None = None
) -> Assignment:
    """Match boxes with true words.

    Args:
        boxes: ``(N, 4)``.
        words: ``(W, 4)`` boxes of all words.
        care: ``(W,)`` bool, False for don't-care words, which nothing is matched with.
        positive: overlap from which on a box is text.
        negative: overlap below which it is none.
        least: overlap from which on the boxes nearest to a word are text whatever ``positive`` says; None for no such rule.
    """
    known = care.nonzero()[:, 0]
    labels = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
    matched = torch.zeros_like(labels)
    if len(known):
        overlap = overlaps(boxes, words[known])
        best, matched = overlap.max(1)
        labels = torch.where(best >= positive, 1, torch.where(best < negative, 0, -1))
        if least is not None and len(boxes):
            nearest = overlap.amax(0)
            rows, columns = ((overlap == nearest) & (nearest >= least)).nonzero(as_tuple=True)
            labels[rows], matched[rows] = 1, columns
        matched = known[matched]
    if not care.all():
        covered = (intersections(boxes, words[~care]) / areas(boxes).clamp(min=1e-9)[:, None]).amax(1) >= COVERED
        labels = torch.where(covered & (labels != 1), -1, labels)
    return Assignment(labels, matched)


def sample(labels: Tensor, count: int, share: float) -> tuple[Tensor, Tensor]:
    """Draw boxes to learn from at random.

    Args:
        labels: ``(N,)`` of :func:`assign`.
        count: how many; fewer where there are not so many.
        share: at most this much of them is text.

    Returns:
        indices of text, and of no text.
    """
    text, none = ((labels == value).nonzero()[:, 0] for value in (1, 0))
    text = _some(text, int(count * share))
    return text, _some(none, count - len(text))


def _some(indices: Tensor, most: int) -> Tensor:
    return indices if len(indices) <= most else indices[torch.randperm(len(indices), device=indices.device)[:most]]
