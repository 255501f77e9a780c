"""A recogniser with fewer hidden channels: those of a wider one that its output is best made of."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from words import CHARSET

from dld_spotter.models.ppocr.blocks import Block
from dld_spotter.models.ppocr.reading import PPOCRWordRecognizer
from dld_spotter.models.ppocr.recognizer import GRAY, STAGES

SAMPLE = 384
"""Word crops by which hidden channels are chosen."""
CELLS = 20_000
"""Cells of their maps, drawn at random, that a block is fitted to."""
RIDGE = 1e-4
"""Of the mean curvature, so that channels that are alike do not share large weights of opposite sign."""


@torch.no_grad()
def narrowed(recognizer: PPOCRWordRecognizer, expansion: float, crops: Tensor) -> PPOCRWordRecognizer:
    """Keep of each block the hidden channels that bring most, and fit what is made of them to what the wide block gave.

    Block after block, each sees what the narrow ones before it give (channel pruning, arXiv 1707.06168).

    Args:
        recognizer: PP-OCR's, of the usual widths.
        expansion: hidden channels per channel that are kept.
        crops: ``(N, 3, 48, W)`` words.
    """
    network = recognizer.network.eval()
    narrow = PPOCRWordRecognizer(CHARSET, [stage.channels for stage in STAGES], network.outputs, expansion)
    shapes = narrow.network.state_dict()
    shared = {name: value for name, value in network.state_dict().items() if shapes[name].shape == value.shape}
    narrow.network.load_state_dict(shared, strict=False)
    wide_maps = narrow_maps = network.trunk.stem(crops.float() / GRAY - 1)
    for wide_stage, narrow_stage in zip(network.trunk.stages, narrow.network.trunk.stages, strict=True):
        for wide, one in zip(wide_stage, narrow_stage, strict=True):
            wide_maps = wide(wide_maps)
            if isinstance(one, Block):
                _fit(wide, one, narrow_maps, wide_maps)
            narrow_maps = one(narrow_maps)
    return narrow


def _fit(wide: nn.Module, narrow: Block, inputs: Tensor, target: Tensor) -> None:
    """Choose a block's hidden channels and fit its last layer, so that ``inputs`` give ``target``, both ``(N, C, h, w)``."""
    mixed = narrow.attention(narrow.depthwise(inputs))
    hidden = F.gelu(wide.expand(mixed))
    draw = torch.randperm(inputs.shape[0] * inputs.shape[2] * inputs.shape[3], generator=torch.Generator().manual_seed(0))[
        :CELLS
    ]
    rows, wanted = (maps.permute(0, 2, 3, 1).flatten(0, 2)[draw].double() for maps in (hidden, target - mixed))
    rows = torch.cat([rows, torch.ones_like(rows[:, :1])], dim=1)
    gram, moment = rows.T @ rows, rows.T @ wanted
    kept = _backward(gram, moment, narrow.expand.out_channels)
    chosen = torch.tensor([*kept, len(gram) - 1])
    weights = _solve(gram[chosen][:, chosen], moment[chosen])
    narrow.expand.weight.copy_(wide.expand.weight[kept])
    narrow.expand.bias.copy_(wide.expand.bias[kept])
    narrow.project.weight.copy_(weights[:-1].T[..., None, None])
    narrow.project.bias.copy_(weights[-1])


def _backward(gram: Tensor, moment: Tensor, count: int) -> list[int]:
    """Drop the channels that cost least, an eighth of what is too many at a time; the last row, ones, stays."""
    left = list(range(len(gram) - 1))
    while len(left) > count:
        index = torch.tensor([*left, len(gram) - 1])
        part = gram[index][:, index]
        inverse = torch.linalg.inv(part + RIDGE * part.diagonal().mean() * torch.eye(len(part), dtype=part.dtype))
        weights = inverse @ moment[index]
        lost = weights[:-1].pow(2).sum(1) / inverse.diagonal()[:-1]  # what the fit loses without a channel
        dropped = set(lost.argsort()[: max(1, (len(left) - count) // 8)].tolist())
        left = [channel for place, channel in enumerate(left) if place not in dropped]
    return left


def _solve(gram: Tensor, moment: Tensor) -> Tensor:
    return torch.linalg.solve(gram + RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype), moment)
