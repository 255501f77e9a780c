"""The networks of a two-stage detector: region proposals, and what is asked of each region (Mask R-CNN, arXiv 1703.06870)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from dld_spotter.core.batches import Movable

BOX_CELLS, MASK_CELLS = 7, 14
"""Rows and columns of a region's features for its box, and for its mask, which has twice as many."""
UNLIKELY = -2.0
"""Logit of text before anything is learnt: most of a photo is none."""


@dataclass(frozen=True)
class AnchorMaps(Movable):
    """What a region proposal network says of B images, and what the regions' features are taken from.

    Args:
        logits: per level ``(B, A, h, w)``, of the text around each of A anchors in a cell.
        offsets: per level ``(B, 4 * A, h, w)``, from the anchors to the boxes of words.
        pyramid: per level of regions ``(B, C, h, w)``.
    """

    logits: tuple[Tensor, ...]
    offsets: tuple[Tensor, ...]
    pyramid: tuple[Tensor, ...]

    def select(self, index: Tensor) -> "AnchorMaps":
        """Keep the images at ``index`` ``(M,)`` int64."""
        return AnchorMaps(*(tuple(level[index] for level in levels) for levels in (self.logits, self.offsets, self.pyramid)))

    def flat(self) -> tuple[list[Tensor], list[Tensor]]:
        """Logits ``(B, h * w * A)`` and offsets ``(B, h * w * A, 4)`` of each level, cell by cell, as anchors are laid."""
        logits = [level.permute(0, 2, 3, 1).flatten(1).float() for level in self.logits]
        offsets = [level.permute(0, 2, 3, 1).reshape(len(level), -1, 4).float() for level in self.offsets]
        return logits, offsets


class RegionProposalHead(nn.Module):
    """One 3x3 convolution and two of 1x1, the same for every level (Faster R-CNN, arXiv 1506.01497).

    Args:
        channels: of the pyramid.
        anchors: A per cell.
    """

    def __init__(self, channels: int, anchors: int) -> None:
        super().__init__()
        self.hidden = nn.Conv2d(channels, channels, 3, padding=1)
        self.logits = nn.Conv2d(channels, anchors, 1)
        self.offsets = nn.Conv2d(channels, 4 * anchors, 1)
        for layer in (self.hidden, self.logits, self.offsets):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
        nn.init.constant_(self.logits.bias, UNLIKELY)

    def forward(self, pyramid: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Logits ``(B, A, h, w)`` and offsets ``(B, 4 * A, h, w)`` of each level."""
        hidden = [F.relu(self.hidden(level)) for level in pyramid]
        return tuple(map(self.logits, hidden)), tuple(map(self.offsets, hidden))


class BoxHead(nn.Module):
    """Whether a region is a word, and how its box is to be moved.

    Args:
        channels: of the pyramid.
        hidden: of the two hidden layers.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Linear(channels * BOX_CELLS**2, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.logit = nn.Linear(hidden, 1)
        self.offsets = nn.Linear(hidden, 4)
        nn.init.normal_(self.logit.weight, std=0.01)
        nn.init.constant_(self.logit.bias, UNLIKELY)
        nn.init.normal_(self.offsets.weight, std=0.001)
        nn.init.zeros_(self.offsets.bias)

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(R, C, 7, 7)`` to logits ``(R,)`` and offsets ``(R, 4)``, see :data:`OFFSET_SCALE`."""
        hidden = F.relu(self.second(F.relu(self.first(regions.flatten(1)))))
        return self.logit(hidden)[:, 0], self.offsets(hidden)


OFFSET_SCALE = (0.1, 0.1, 0.2, 0.2)
"""What the box head writes as 1: the offsets of proposals are small (Fast R-CNN)."""


class MaskHead(nn.Module):
    """Which part of a region is the word.

    Args:
        inputs: channels of the pyramid.
        channels: of the hidden layers.
        layers: 3x3 convolutions.
    """

    def __init__(self, inputs: int, channels: int, layers: int = 4) -> None:
        super().__init__()
        widths = [inputs] + layers * [channels]
        convolutions = [nn.Conv2d(*pair, 3, padding=1) for pair in pairwise(widths)]
        self.layers = nn.Sequential(*(part for layer in convolutions for part in (layer, nn.ReLU())))
        self.enlarge = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.logit = nn.Conv2d(channels, 1, 1)

    def forward(self, regions: Tensor) -> Tensor:
        """Map ``(R, C, 14, 14)`` to logits ``(R, 28, 28)``."""
        return self.logit(F.relu(self.enlarge(self.layers(regions))))[:, 0]


def enlarged_pyramid(pyramid: Sequence[Tensor], levels: int) -> list[Tensor]:
    """The levels that words are looked for in: beyond those of the pyramid every second cell of the coarsest."""
    found = list(pyramid)
    while len(found) < levels:
        found.append(F.max_pool2d(found[-1], 1, stride=2))
    return found


def scaled(offsets: Tensor) -> Tensor:
    """Offsets ``(R, 4)`` of what the box head writes."""
    return offsets * offsets.new_tensor(OFFSET_SCALE)
