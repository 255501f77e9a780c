"""Feature pyramid (FPN, arXiv 1612.03144): coarse meaning on fine maps."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


def conv_block(
    inputs: int, outputs: int, kernel: int | tuple[int, int] = 3, stride: int | tuple[int, int] = 1
) -> nn.Sequential:
    """Build convolution, batch normalisation and ReLU, padded so that stride 1 keeps the size of odd kernels."""
    kernels = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = tuple((k - 1) // 2 for k in kernels)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernels, stride, padding, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class FeaturePyramid(nn.Module):
    """Merge backbone stages from the coarsest to the finest.

    Args:
        inputs: channels of the stages at strides 4, 8, 16, 32.
        channels: channels of every output.
        levels: how many of the finest levels to return (strides 4, 8, 16 ...).
    """

    def __init__(self, inputs: Sequence[int], channels: int, levels: int = 3) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in inputs)
        self.smooth = nn.ModuleList(conv_block(channels, channels) for _ in range(levels))

    def forward(self, stages: Sequence[Tensor]) -> list[Tensor]:
        """Map the stages to ``levels`` maps ``(B, channels, H/s, W/s)``, finest first."""
        merged = [lateral(stage) for lateral, stage in zip(self.lateral, stages, strict=True)]
        for i in reversed(range(len(merged) - 1)):
            merged[i] = merged[i] + F.interpolate(merged[i + 1], size=merged[i].shape[-2:], mode="nearest")
        return [smooth(level) for smooth, level in zip(self.smooth, merged, strict=False)]
