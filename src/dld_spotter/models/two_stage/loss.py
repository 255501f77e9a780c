"""Losses of a two-stage detector, per image (Mask R-CNN, arXiv 1703.06870, section 3)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dld_spotter.core.batches import WordTargets
from dld_spotter.models.two_stage.anchors import assign, sample
from dld_spotter.models.two_stage.boxes import offsets
from dld_spotter.models.two_stage.heads import MASK_CELLS, OFFSET_SCALE, AnchorMaps
from dld_spotter.models.two_stage.masks import mask_targets
from dld_spotter.models.two_stage.proposing import Proposing

SMOOTH = 1 / 9
"""Error up to which the loss of a proposal's offsets is quadratic."""


@dataclass(frozen=True)
class Sampling:
    """What of an image is learnt from.

    Args:
        anchors: of the region proposal network, at most half of them text.
        regions: of the box head, at most a quarter of them text; these are what the mask head learns from.
    """

    anchors: int = 256
    regions: int = 512


@dataclass(frozen=True)
class Regions:
    """Regions that the heads are taught with.

    Args:
        boxes: ``(R, 4)`` pixels.
        image_index: ``(R,)`` int64.
        words: ``(R,)`` int64, the word of the targets that each is; -1 for none.
    """

    boxes: Tensor
    image_index: Tensor
    words: Tensor


def proposal_loss(maps: AnchorMaps, targets: WordTargets, proposing: Proposing, sampling: Sampling) -> Tensor:
    """Cross-entropy of the anchors, and smooth L1 of the offsets of those that are text: ``(B,)``."""
    around = torch.cat(proposing.anchors(maps))
    logits, moves = (torch.cat(levels, dim=1) for levels in maps.flat())
    boxes, losses = targets.boxes(), []
    for row in range(len(logits)):
        own = targets.image_index == row
        labels, words = assign(around, boxes[own], targets.care[own], 0.7, 0.3, least=0.3)
        text, none = sample(labels, sampling.anchors, 0.5)
        drawn, count = torch.cat([text, none]), max(len(text) + len(none), 1)
        entropy = F.binary_cross_entropy_with_logits(logits[row, drawn], labels[drawn].float(), reduction="sum")
        wanted = offsets(around[text], boxes[own][words[text]])
        distance = F.smooth_l1_loss(moves[row, text], wanted, reduction="sum", beta=SMOOTH)
        losses.append((entropy + distance) / count)
    return torch.stack(losses)


@torch.no_grad()
def draw_regions(found: Sequence[Tensor], targets: WordTargets, sampling: Sampling) -> Regions:
    """Regions to learn from, of what was proposed ``(R, 4)`` in each image, and of the true words themselves."""
    boxes, index, words = [], [], []
    every = targets.boxes()
    for row, proposed in enumerate(found):
        own = (targets.image_index == row).nonzero()[:, 0]
        care = targets.care[own]
        candidates = torch.cat([every[own[care]], proposed])
        labels, matched = assign(candidates, every[own], care, 0.5, 0.5)
        text, none = sample(labels, sampling.regions, 0.25)
        boxes.append(candidates[torch.cat([text, none])])
        index.append(torch.full((len(text) + len(none),), row, device=every.device))
        words.append(torch.cat([own[matched[text]], torch.full_like(none, -1)]))
    return Regions(torch.cat(boxes), torch.cat(index), torch.cat(words))


BoxNetwork = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Boxes ``(R, 4)`` and their images ``(R,)`` to logits ``(R,)`` and offsets ``(R, 4)``."""
MaskNetwork = Callable[[Tensor, Tensor], Tensor]
"""The same to mask logits ``(R, S, S)``."""


def region_loss(regions: Regions, targets: WordTargets, box_network: BoxNetwork, mask_network: MaskNetwork) -> Tensor:
    """Cross-entropy of regions; of those that are words smooth L1 of the offsets, and cross-entropy of the masks: ``(B,)``."""
    logits, moves = box_network(regions.boxes, regions.image_index)
    known = regions.words >= 0
    entropy = F.binary_cross_entropy_with_logits(logits.float(), known.float(), reduction="none")
    words, boxes = regions.words[known], regions.boxes[known]
    wanted = offsets(boxes, targets.boxes()[words]) / boxes.new_tensor(OFFSET_SCALE)
    distance = F.smooth_l1_loss(moves[known].float(), wanted, reduction="none").sum(1)
    masks = mask_network(boxes, regions.image_index[known]).float()
    shown = mask_targets(targets.boundaries[words], boxes, 2 * MASK_CELLS)
    mistakes = F.binary_cross_entropy_with_logits(masks, shown, reduction="none").mean((1, 2))
    images, owners = targets.images, regions.image_index[known]
    count = torch.bincount(regions.image_index, minlength=images).clamp(min=1)
    held = torch.bincount(owners, minlength=images).clamp(min=1)

    def total(values: Tensor, index: Tensor) -> Tensor:
        return values.new_zeros(images).index_add(0, index, values)

    return (total(entropy, regions.image_index) + total(distance, owners)) / count + total(mistakes, owners) / held
