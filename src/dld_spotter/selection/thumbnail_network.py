"""The network that sees thumbnails."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from dld_spotter.models.neck import conv_block


class ThumbnailNetwork(nn.Module):
    """From thumbnails to numbers per image: four convolutions of stride 2, mean and maximum over the image, two layers.

    Args:
        outputs: numbers per image.
        channels: channels of the convolutions.
        hidden: size of the layer before the last.
    """

    def __init__(self, outputs: int, channels: Sequence[int], hidden: int) -> None:
        super().__init__()
        widths = [3, *channels]
        self.body = nn.Sequential(*(conv_block(a, b, stride=2) for a, b in pairwise(widths)))
        self.hidden = nn.Sequential(nn.Linear(2 * widths[-1], hidden), nn.ReLU(inplace=True))
        self.out = nn.Linear(hidden, outputs)
        self.to(memory_format=torch.channels_last)  # as the thumbnails come: faster

    def forward(self, thumbnails: Tensor) -> Tensor:
        """Map ``(B, 3, S, S)`` uint8 to ``(B, outputs)``."""
        features = self.body(thumbnails.float().div_(127.5).sub_(1))  # in place: a small network's time is in small operations
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        return self.out(self.hidden(pooled)).float()
