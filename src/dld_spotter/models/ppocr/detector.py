"""The detector of PP-OCRv6 small: a map of shrunk text at full size (DB, arXiv 1911.08947, without its threshold map)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_spotter.models.ppocr.blocks import SqueezeExcitation, Stage, Trunk

STAGES = (
    Stage(48, (True, False)),
    Stage(96, (True, False)),
    Stage(192, (True, False, True, False)),
    Stage(384, (True, False)),
)
SHRINK_RATIO = 0.4
"""How much of a word's size its target keeps, see :class:`dld_spotter.data.targets.TextRegions`; PP-OCR was trained so."""
PIXEL_MEAN = (0.406, 0.456, 0.485)
PIXEL_STD = (0.225, 0.224, 0.229)
"""Of red, green and blue: PP-OCR takes blue first, and the figures of ImageNet's red with it."""
NECK_SLOPE = 0.2


class ExcitedConv(nn.Module):
    """A 1x1 convolution without bias, then what squeeze-and-excitation makes of it beside the identity."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.attention = SqueezeExcitation(outputs, NECK_SLOPE)

    def forward(self, maps: Tensor) -> Tensor:
        """Map ``(B, inputs, h, w)`` to ``(B, outputs, h, w)``."""
        maps = self.conv(maps)
        return maps * (1 + self.attention.weights(maps))


class Neck(nn.Module):
    """Merge the stages from the coarsest to the finest and join all of them at the finest.

    Args:
        inputs: channels of the stages, finest first.
        channels: channels of the result, a quarter of them of each stage.
    """

    def __init__(self, inputs: Sequence[int], channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(ExcitedConv(width, channels) for width in reversed(inputs))
        self.smooth = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 7, padding=3, groups=channels), ExcitedConv(channels, channels // len(inputs))
            )
            for _ in inputs
        )

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """Map the stages, finest first, to ``(B, channels, H/4, W/4)``."""
        levels: list[Tensor] = []
        for lateral, stage in zip(self.lateral, reversed(stages), strict=True):
            maps = lateral(stage)
            levels.append(maps + _enlarged(levels[-1], 2) if levels else maps)
        smoothed = [smooth(level) for smooth, level in zip(self.smooth, levels, strict=True)]
        return torch.cat([_enlarged(maps, 2**i) for i, maps in zip(reversed(range(len(levels))), smoothed, strict=True)], dim=1)


def _enlarged(maps: Tensor, factor: int) -> Tensor:
    return maps if factor == 1 else F.interpolate(maps, scale_factor=float(factor), mode="nearest")


class Head(nn.Module):
    """A 3x3 convolution and two transposed ones, each of which doubles the size.

    Args:
        inputs: channels of the neck.
        channels: channels of the hidden layers.
    """

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.hidden = nn.Conv2d(inputs, channels, 3, padding=1)
        self.enlarge = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.output = nn.ConvTranspose2d(channels, 1, 2, stride=2)

    def forward(self, maps: Tensor) -> Tensor:
        """Map ``(B, inputs, H/4, W/4)`` to logits ``(B, H, W)``.

        The four cells that a transposed convolution makes of one depend on it alone: both stay groups of channels at a quarter
        of the size and are laid out at the end, which gives the same without large maps of many channels.
        """
        maps = F.relu(self.hidden(maps), inplace=True)
        weight, bias = _cells(self.enlarge)
        maps = F.relu(F.conv2d(maps, weight, bias), inplace=True)
        weight, bias = _cells(self.output)
        maps = F.conv2d(maps, weight.repeat(4, 1, 1, 1), bias.repeat(4), groups=4)
        # channels are (row, column) of the first, then of the second convolution; pixel_shuffle wants all rows first
        maps = maps.unflatten(1, (2, 2, 2, 2)).transpose(2, 3).flatten(1, 4)
        return F.pixel_shuffle(maps, 4)[:, 0]


def _cells(transposed: nn.ConvTranspose2d) -> tuple[Tensor, Tensor]:
    """A transposed 2x2 convolution of stride 2 as one of 1x1 whose channels are (row, column, output)."""
    weight = transposed.weight.permute(2, 3, 1, 0).flatten(0, 2)[..., None, None]
    assert transposed.bias is not None
    return weight, transposed.bias.repeat(4)


class PPOCRDetector(nn.Module):
    """Text map of a photo, 2.45 M weights, 19.1 GFLOP at 704x1280 (a multiply-add as 2).

    Its weights come from :func:`dld_spotter.models.ppocr.weights.detector_state`; until then they are random.

    Args:
        stages: of the trunk.
        channels: of the neck.
    """

    stride = 32
    """Heights and widths of its inputs are multiples of this."""

    def __init__(self, stages: Sequence[Stage] = STAGES, channels: int = 96) -> None:
        super().__init__()
        self.trunk = Trunk(stages)
        self.neck = Neck([stage.channels for stage in stages], channels)
        self.head = Head(channels, channels // len(stages))
        for name, values in (
            ("mean", PIXEL_MEAN),
            ("std", PIXEL_STD),
        ):  # multiplied here: on the meta device it takes seconds
            self.register_buffer(name, torch.tensor([255 * value for value in values]).view(1, 3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Find text.

        Args:
            images: ``(B, 3, H, W)`` RGB in 0..255, uint8 or float, H and W multiples of 32.

        Returns:
            features ``(B, 96, H/4, W/4)`` and the logits ``(B, H, W)`` of shrunk text, before the sigmoid.
        """
        features = self.neck(self.trunk((images.float() - self.mean) / self.std))
        return features, self.head(features)
