"""What the detector and the recogniser of PP-OCRv6 small are built of.

Read from the ONNX files of RapidOCR 3.10 (Apache-2.0, PaddlePaddle), where batch normalisation is part of the convolutions.
Modules are created in the order in which that graph runs: :mod:`dld_spotter.models.ppocr.weights` maps weights by it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

REDUCTION = 4
"""Channels per channel of the hidden layer of squeeze-and-excitation."""
EXPANSION = 2.0
"""Hidden channels of a block per channel, as PP-OCR has them."""


class Stage(NamedTuple):
    """Blocks of one width.

    Args:
        channels: their width.
        excited: for each block, whether it has squeeze-and-excitation.
        stride: rows and columns of the stage before per row and column of this one; the first stage has no use for it.
        expansion: hidden channels of a block per channel.
    """

    channels: int
    excited: Sequence[bool]
    stride: tuple[int, int] = (2, 2)
    expansion: float = EXPANSION


class SqueezeExcitation(nn.Module):
    """Weigh channels by what they hold on average (arXiv 1709.01507), with a hard sigmoid.

    Args:
        channels: of the maps.
        slope: of the hard sigmoid at 0; 1/6 in the trunk, 0.2 in the detector's neck.
    """

    def __init__(self, channels: int, slope: float = 1 / 6) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // REDUCTION, 1)
        self.excite = nn.Conv2d(channels // REDUCTION, channels, 1)
        self.slope = slope

    def forward(self, maps: Tensor) -> Tensor:
        """Weigh ``(B, C, h, w)``."""
        return maps * self.weights(maps)

    def weights(self, maps: Tensor) -> Tensor:
        """Weights ``(B, C, 1, 1)`` in 0..1 of the channels of ``(B, C, h, w)``."""
        hidden = F.relu(self.squeeze(maps.mean((2, 3), keepdim=True)))
        return (self.slope * self.excite(hidden) + 0.5).clamp(0, 1)


class Stem(nn.Module):
    """Bring images to a quarter of their size, through two branches: two 2x2 convolutions, and the largest of 2x2.

    Args:
        channels: C of the hidden layers; 2C come out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, channels, 3, stride=2, padding=1)
        self.narrow = nn.Conv2d(channels, channels // 2, 2)
        self.widen = nn.Conv2d(channels // 2, channels, 2)
        self.join = nn.Conv2d(2 * channels, channels, 3, stride=2, padding=1)
        self.last = nn.Conv2d(channels, 2 * channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(B, 3, H, W)`` to ``(B, 2C, H/4, W/4)``."""
        maps = _relu(self.first(images))
        padded = F.pad(maps, (0, 1, 0, 1))  # nothing is negative after ReLU, so zeros serve the largest of 2x2 as well
        branch = _relu(self.widen(F.pad(_relu(self.narrow(padded)), (0, 1, 0, 1))))
        maps = torch.cat([_largest_of_four(padded), branch], dim=1)
        return _relu(self.last(_relu(self.join(maps))))


def _relu(maps: Tensor) -> Tensor:
    """ReLU of what a convolution has just made, in its place."""
    return F.relu(maps, inplace=True)


def _largest_of_four(maps: Tensor) -> Tensor:
    """What ``max_pool2d(maps, 2, stride=1)`` gives, on CPU in a fraction of its time."""
    rows = torch.maximum(maps[:, :, :-1], maps[:, :, 1:])
    return torch.maximum(rows[..., :-1], rows[..., 1:])


class Block(nn.Module):
    """Depthwise 3x3, squeeze-and-excitation where there is one, and two 1x1 convolutions beside the identity.

    Args:
        channels: of the maps.
        excited: whether it has squeeze-and-excitation.
        expansion: hidden channels per channel.
    """

    def __init__(self, channels: int, excited: bool, expansion: float = EXPANSION) -> None:
        super().__init__()
        hidden = max(1, round(expansion * channels))
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.attention = SqueezeExcitation(channels) if excited else nn.Identity()
        self.expand = nn.Conv2d(channels, hidden, 1)
        self.project = nn.Conv2d(hidden, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Refine ``(B, C, h, w)``."""
        maps = self.attention(self.depthwise(maps))
        return maps + self.project(F.gelu(self.expand(maps)))


class DownSampling(nn.Module):
    """Between two stages: a strided depthwise 3x3 and two 1x1 convolutions, without identity.

    Args:
        inputs: channels of the stage before.
        outputs: channels of the stage that follows.
        stride: rows and columns of the maps per row and column of the result.
    """

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, padding=1, groups=inputs)
        self.expand = nn.Conv2d(inputs, 2 * inputs, 1)
        self.project = nn.Conv2d(2 * inputs, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Map ``(B, inputs, h, w)`` to ``(B, outputs, h / stride, w / stride)``."""
        return self.project(F.gelu(self.expand(self.depthwise(maps))))


class Trunk(nn.Module):
    """Stem and stages.

    Args:
        stages: from the finest to the coarsest; the first is half as wide in the stem's hidden layers.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        super().__init__()
        self.stem = Stem(stages[0].channels // 2)
        self.stages = nn.ModuleList()
        width = stages[0].channels
        for index, (channels, excited, stride, expansion) in enumerate(stages):
            down = [DownSampling(width, channels, stride)] if index else []
            self.stages.append(nn.Sequential(*down, *(Block(channels, one, expansion) for one in excited)))
            width = channels

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map normalised images ``(B, 3, H, W)`` to the maps of each stage, the first ``(B, C, H/4, W/4)``."""
        maps, levels = self.stem(images), []
        for stage in self.stages:
            maps = stage(maps)
            levels.append(maps)
        return levels
