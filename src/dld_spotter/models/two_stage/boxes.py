"""Upright boxes ``(N, 4)``, left, top, right and bottom in pixels: overlaps, offsets between them, non-maximum suppression."""

import math

import torch
from torch import Tensor

MOST_GROWTH = math.log(1000 / 16)
"""Largest logarithm of a side over another that an offset may mean (Fast R-CNN)."""


def areas(boxes: Tensor) -> Tensor:
    """Areas ``(...,)``."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def intersections(one: Tensor, other: Tensor) -> Tensor:
    """Areas ``(N, M)`` that boxes ``(N, 4)`` share with boxes ``(M, 4)``."""
    width = torch.minimum(one[:, None, 2], other[:, 2]) - torch.maximum(one[:, None, 0], other[:, 0])
    height = torch.minimum(one[:, None, 3], other[:, 3]) - torch.maximum(one[:, None, 1], other[:, 1])
    return width.clamp(min=0) * height.clamp(min=0)


def overlaps(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union ``(N, M)``; 0 where neither has an area."""
    shared = intersections(one, other)
    return shared / (areas(one)[:, None] + areas(other) - shared).clamp(min=1e-9)


def offsets(boxes: Tensor, wanted: Tensor) -> Tensor:
    """What leads from boxes to those that are wanted, both ``(N, 4)`` (R-CNN, arXiv 1311.2524, appendix C).

    Returns:
        ``(N, 4)``: the way of the centre, of the box's width and height, and the logarithms of the ratios of sides.
    """
    sides, goal = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-3), (wanted[:, 2:] - wanted[:, :2]).clamp(min=1e-3)
    centres, goals = (boxes[:, :2] + boxes[:, 2:]) / 2, (wanted[:, :2] + wanted[:, 2:]) / 2
    return torch.cat([(goals - centres) / sides, (goal / sides).log()], dim=1)


def moved(boxes: Tensor, by: Tensor) -> Tensor:
    """Boxes ``(N, 4)`` after :func:`offsets` ``(N, 4)``."""
    sides, centres = boxes[:, 2:] - boxes[:, :2], (boxes[:, :2] + boxes[:, 2:]) / 2
    centres = centres + by[:, :2] * sides
    half = sides * by[:, 2:].clamp(max=MOST_GROWTH).exp() / 2
    return torch.cat([centres - half, centres + half], dim=1)


def clipped(boxes: Tensor, height: float, width: float) -> Tensor:
    """What of boxes ``(N, 4)`` lies in an image."""
    return torch.minimum(boxes.clamp(min=0), boxes.new_tensor([width, height, width, height]))


def suppress(boxes: Tensor, scores: Tensor, most: float) -> Tensor:
    """Greedy non-maximum suppression, without a loop over the boxes.

    A box goes if one of a higher score, that stays, overlaps it by more than ``most``. Whether the first k boxes stay follows
    from the first k - 1, so that repeating the rule for all of them at once ends, and in what the greedy way gives.

    Args:
        boxes: ``(N, 4)``.
        scores: ``(N,)``; of equal ones the first comes first.
        most: intersection over union.

    Returns:
        indices ``(M,)`` of those that stay, by falling score.
    """
    order = scores.argsort(descending=True, stable=True)
    ordered = boxes[order]
    covers = (overlaps(ordered, ordered) > most).triu(1)
    stays = torch.ones(len(order), dtype=torch.bool, device=boxes.device)
    while True:
        again = ~(covers & stays[:, None]).any(0)
        if torch.equal(again, stays):
            return order[stays]
        stays = again
