"""From what a region proposal network says to regions."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dld_spotter.models.two_stage.anchors import anchors
from dld_spotter.models.two_stage.boxes import clipped, moved, suppress
from dld_spotter.models.two_stage.heads import AnchorMaps

RATIOS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Heights over widths of anchors, those of the paper: from words in one line to words that stand upright."""
STRIDES = (4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Proposing:
    """Which regions are looked at.

    Args:
        scale: cells along the side of a square anchor.
        ratios: heights over widths of the anchors.
        before: regions of each level that are compared with each other, the likeliest.
        overlap: of regions that overlap more, the likelier stays.
        most: regions per image after that.
    """

    scale: float = 8.0
    ratios: Sequence[float] = RATIOS
    before: int = 1000
    overlap: float = 0.7
    most: int = 1000

    def anchors(self, maps: AnchorMaps) -> list[Tensor]:
        """Anchors ``(h * w * A, 4)`` of each level."""
        return [
            anchors(*level.shape[2:], stride, self.scale, self.ratios, level.device)
            for level, stride in zip(maps.logits, STRIDES, strict=False)
        ]

    @torch.no_grad()
    def regions(self, maps: AnchorMaps, sizes: Sequence[Sequence[float]]) -> list[Tensor]:
        """Likely regions ``(R, 4)`` of each of B images, pixels.

        Args:
            maps: of these images.
            sizes: height and width of each, which regions end at.
        """
        laid = self.anchors(maps)
        logits, offsets = maps.flat()
        found = []
        for row, (height, width) in enumerate(sizes):
            boxes, scores = [], []
            for level, around in enumerate(laid):
                score, kept = logits[level][row].topk(min(self.before, len(around)))
                box = clipped(moved(around[kept], offsets[level][row, kept]), height, width)
                seen = ((box[:, 2:] - box[:, :2]) >= 1).all(1)
                box, score = box[seen], score[seen]
                kept = suppress(box, score, self.overlap)
                boxes.append(box[kept])
                scores.append(score[kept])
            every = torch.cat(boxes)
            found.append(every[torch.cat(scores).topk(min(self.most, len(every))).indices])
        return found
