"""The recogniser of PP-OCRv6 small: convolutions, two transformer layers (SVTR, arXiv 2205.00159), CTC."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_spotter.models.decoding import ctc_greedy
from dld_spotter.models.ppocr.blocks import Stage, Trunk
from dld_spotter.models.ppocr.widths import COLUMN, HEIGHT

__all__ = ["COLUMN", "HEIGHT", "PPOCRRecognizer"]

STAGES = (
    Stage(96, (True, False, False)),
    Stage(192, (True, False, True, False, True, False), (2, 1)),
    Stage(384, (True, False), (2, 1)),
)
GRAY = 127.5
"""What crops are padded with on the right where several of them go through at once: 0 once they are normalised."""
HEADS = 8


class TransformerLayer(nn.Module):
    """Attention over the columns and two linear layers, each beside the identity and behind a layer norm.

    Args:
        channels: of the columns.
        heads: of the attention.
    """

    def __init__(self, channels: int, heads: int = HEADS) -> None:
        super().__init__()
        self.heads = heads
        self.first_norm = nn.LayerNorm(channels)
        self.queries_keys_values = nn.Linear(channels, 3 * channels)
        self.mix = nn.Linear(channels, channels)
        self.second_norm = nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, 2 * channels)
        self.project = nn.Linear(2 * channels, channels)

    def forward(self, columns: Tensor) -> Tensor:
        """Refine ``(N, T, C)``."""
        split = self.queries_keys_values(self.first_norm(columns)).unflatten(2, (3, self.heads, -1))
        queries, keys, values = split.permute(2, 0, 3, 1, 4).unbind(0)  # (N, heads, T, C / heads) each
        attended = F.scaled_dot_product_attention(queries, keys, values)
        columns = columns + self.mix(attended.transpose(1, 2).flatten(2))
        return columns + self.project(F.silu(self.expand(self.second_norm(columns))))


class ColumnEncoder(nn.Module):
    """From maps of one row to columns that know their neighbours.

    Args:
        inputs: channels of the maps.
        channels: C of the columns.
        layers: transformer layers.
    """

    def __init__(self, inputs: int, channels: int, layers: int = 2) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(inputs, channels, 1)
        self.reduce = nn.Conv2d(inputs, channels, 1)
        self.neighbours = nn.Conv2d(channels, channels, (1, 7), padding=(0, 3), groups=channels)
        self.layers = nn.ModuleList(TransformerLayer(channels) for _ in range(layers))
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, maps: Tensor) -> Tensor:
        """Map ``(N, inputs, 1, T)`` to ``(N, T, C)``."""
        reduced = F.silu(self.reduce(maps))
        columns = _columns(reduced + F.silu(self.neighbours(reduced)))
        for layer in self.layers:
            columns = layer(columns)
        return self.norm(columns) + _columns(F.silu(self.shortcut(maps)))


def _columns(maps: Tensor) -> Tensor:
    return maps.squeeze(2).transpose(1, 2)


class PPOCRRecognizer(nn.Module):
    """Reads crops of words or lines, 3.0 M weights beside the last layer, 2.2 GFLOP at a width of 320 (a multiply-add as 2).

    Its weights come from :func:`dld_spotter.models.ppocr.weights.recognizer_state`; until then they are random.

    Args:
        classes: size of the charset (``len(charset)``), the three special indices included.
        stages: of the trunk.
        channels: of the columns.
        halve_width: look at every two columns of a crop as one. The maps then keep a column for every 8 of the crop, which
            were otherwise the mean of two: as many CTC steps for about half of the FLOPs.
    """

    def __init__(self, classes: int, stages: Sequence[Stage] = STAGES, channels: int = 120, halve_width: bool = False) -> None:
        super().__init__()
        self.halve_width = halve_width
        self.trunk = Trunk(stages)
        self.encoder = ColumnEncoder(stages[-1].channels, channels)
        self.output = nn.Linear(channels, classes)
        self.outputs = channels
        self.to(memory_format=torch.channels_last)

    def encode(self, crops: Tensor) -> Tensor:
        """Map crops, see :meth:`forward`, to their context ``(N, W / 8, C)``."""
        return self.maps_and_context(crops)[1]

    def maps_and_context(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """The trunk's maps ``(N, C, 3, W / 4)`` too, ``(N, C, 3, W / 8)`` where the width is halved."""
        pixels = crops.float()
        if self.halve_width:
            pixels = (pixels[..., ::2] + pixels[..., 1::2]) / 2
        maps = self.trunk(pixels / GRAY - 1)[-1]
        return maps, self.encoder(F.avg_pool2d(maps, (HEIGHT // 16, 1 if self.halve_width else 2)))

    def forward(self, crops: Tensor) -> Tensor:
        """Read N words.

        Args:
            crops: ``(N, 3, 48, W)`` RGB in 0..255, uint8 or float, W at least 8; what is narrower than the widest is padded
                with :data:`GRAY` on the right.

        Returns:
            CTC logits ``(N, T, V)``, a step for every 8 columns.
        """
        return self.output(self.encode(crops))

    def read(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Read N encoded words: labels ``(N, T)`` and a score in 0..1 ``(N,)``."""
        labels, log_probability = ctc_greedy(self.output(context))
        return labels, log_probability.exp()
