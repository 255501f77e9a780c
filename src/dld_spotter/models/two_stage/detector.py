"""The two-stage detector: regions are proposed, and then judged one by one (Mask R-CNN, arXiv 1703.06870)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from dld_spotter.core.batches import WordTargets
from dld_spotter.core.errors import ConfigError
from dld_spotter.models.backbone import STRIDES
from dld_spotter.models.two_stage.boxes import clipped, moved, suppress
from dld_spotter.models.two_stage.heads import (
    BOX_CELLS,
    MASK_CELLS,
    AnchorMaps,
    BoxHead,
    MaskHead,
    RegionProposalHead,
    enlarged_pyramid,
    scaled,
)
from dld_spotter.models.two_stage.loss import Sampling, draw_regions, proposal_loss, region_loss
from dld_spotter.models.two_stage.proposing import STRIDES as LEVELS
from dld_spotter.models.two_stage.proposing import Proposing
from dld_spotter.models.two_stage.roi_align import roi_align

Found = tuple[Tensor, Tensor, Tensor]
"""Boxes ``(R, 4)``, scores ``(R,)`` and image ``(R,)`` of regions that may be words."""


class RegionDetector(nn.Module):
    """Region proposal network, box head and mask head on a feature pyramid.

    Args:
        channels: of the pyramid.
        box_hidden: of the box head's two hidden layers.
        mask_channels: of the mask head's four convolutions.
        proposing: which regions are judged.
        sampling: what of an image is learnt from.
        levels: of the pyramid that words are looked for in, from stride 4 on: 4, or 5 where every second cell of the coarsest
            makes one more.
    """

    def __init__(
        self, channels: int, box_hidden: int, mask_channels: int, proposing: Proposing, sampling: Sampling, levels: int = 5
    ) -> None:
        super().__init__()
        if levels not in (len(STRIDES), len(LEVELS)):
            raise ConfigError(f"spotter.detector.levels must be {len(STRIDES)} or {len(LEVELS)}, found {levels}")
        self.channels, self.levels, self.proposing, self.sampling = channels, levels, proposing, sampling
        self.proposer = RegionProposalHead(channels, len(proposing.ratios))
        self.box_head = BoxHead(channels, box_hidden)
        self.mask_head = MaskHead(channels, mask_channels)

    def propose(self, pyramid: Sequence[Tensor]) -> AnchorMaps:
        """What costs per pixel: maps of levels ``(B, C, H / s, W / s)`` at strides 4 to 32."""
        logits, offsets = self.proposer(enlarged_pyramid(pyramid, self.levels))
        return AnchorMaps(logits, offsets, tuple(pyramid))

    def judge(self, maps: AnchorMaps, boxes: Tensor, image_index: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``(R,)`` of regions ``(R, 4)``, and what leads to the words' boxes ``(R, 4)``, see :class:`BoxHead`."""
        logits, offsets = self.box_head(roi_align(maps.pyramid, STRIDES, boxes, image_index, BOX_CELLS))
        return logits, offsets

    def mask(self, maps: AnchorMaps, boxes: Tensor, image_index: Tensor) -> Tensor:
        """Mask logits ``(R, 28, 28)`` of regions ``(R, 4)``."""
        masks: Tensor = self.mask_head(roi_align(maps.pyramid, STRIDES, boxes, image_index, MASK_CELLS))
        return masks

    def loss(self, maps: AnchorMaps, targets: WordTargets) -> Tensor:
        """Losses of proposals, boxes and masks together: ``(B,)``."""
        height, width = (STRIDES[0] * side for side in maps.logits[0].shape[2:])
        found = self.proposing.regions(maps, [(height, width)] * targets.images)
        regions = draw_regions(found, targets, self.sampling)

        def judge(boxes: Tensor, image_index: Tensor) -> tuple[Tensor, Tensor]:
            return self.judge(maps, boxes, image_index)

        def mask(boxes: Tensor, image_index: Tensor) -> Tensor:
            return self.mask(maps, boxes, image_index)

        return proposal_loss(maps, targets, self.proposing, self.sampling) + region_loss(regions, targets, judge, mask)

    def find(self, maps: AnchorMaps, sizes: Sequence[Sequence[int]], least: float, overlap: float, most: int) -> Found:
        """Regions that may be words, image by image, the likeliest first.

        Args:
            maps: of B images.
            sizes: height and width of each, which boxes end at.
            least: score.
            overlap: of regions that overlap more, the likelier stays.
            most: regions per image.
        """
        proposed = self.proposing.regions(maps, sizes)
        device = maps.logits[0].device
        owners = torch.from_numpy(np.repeat(np.arange(len(sizes)), [len(boxes) for boxes in proposed])).to(device)
        boxes = torch.cat(proposed)
        logits, offsets = self.judge(maps, boxes, owners)
        scores, boxes = logits.float().sigmoid(), moved(boxes, scaled(offsets.float()))
        found = []
        for row, size in enumerate(sizes):
            likely = ((owners == row) & (scores >= least)).nonzero()[:, 0]
            own, score = clipped(boxes[likely], *size), scores[likely]
            kept = suppress(own, score, overlap)[:most]
            found.append((own[kept], score[kept], torch.full_like(kept, row)))
        boxes, scores, owners = (torch.cat([one[k] for one in found]) for k in range(3))
        return boxes, scores, owners

    def run_box_head(self, regions: int, like: Tensor) -> None:
        """Judge so many empty regions, for what that costs to be counted."""
        self.box_head(like.new_zeros(regions, self.channels, BOX_CELLS, BOX_CELLS))

    def run_mask_head(self, regions: int, like: Tensor) -> None:
        """The same with masks."""
        self.mask_head(like.new_zeros(regions, self.channels, MASK_CELLS, MASK_CELLS))
