"""Text-map detector with differentiable binarisation (DB, arXiv 1911.08947)."""

import torch.nn.functional as F
from torch import Tensor, nn

from dld_spotter.core.batches import DetectionMaps
from dld_spotter.models.neck import conv_block
from dld_spotter.models.proposals import MAP_STRIDE, TextMapDecoder

__all__ = ["MAP_STRIDE", "TextMapDecoder", "TextMapHead"]


class TextMapHead(nn.Module):
    """Predict the shrunk-text map and its threshold at half of the view's resolution.

    Args:
        inputs: channels of the pyramid's finest level (stride 4).
        channels: channels of the hidden layer.
    """

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.hidden = conv_block(inputs, channels)
        self.output = nn.Conv2d(channels, 2 * MAP_STRIDE**2, 1)
        nn.init.constant_(self.output.bias[: MAP_STRIDE**2], -2.0)  # most of a photo is not text

    def forward(self, finest: Tensor) -> DetectionMaps:
        """Map ``(B, C, H/4, W/4)`` to logits ``(B, H/2, W/2)`` of text and threshold."""
        maps = F.pixel_shuffle(self.output(self.hidden(finest)), MAP_STRIDE)
        return DetectionMaps(text=maps[:, 0], threshold=maps[:, 1])
