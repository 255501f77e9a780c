"""Networks of PP-OCR with fewer hidden channels: those that a block's output is best made of (arXiv 1707.06168)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_spotter.models.ppocr.blocks import Block, Trunk

CELLS = 20_000
"""Cells of maps, drawn at random, that a block is fitted to."""
RIDGE = 1e-4
"""Of the mean curvature, so that channels that are alike do not share large weights of opposite sign."""
AT_ONCE = 8
"""The share of what is too many that is dropped at a time is one over this."""


@torch.no_grad()
def narrow_network(wide: nn.Module, narrow: nn.Module, inputs: Tensor) -> None:
    """Give a network the weights of one that differs in the expansion of its trunk's blocks.

    Of each block the hidden channels are kept that its output is best made of, and its last layer is fitted, by least squares,
    to what the wide block gives. Block after block, each sees what the narrow ones before it give.

    Args:
        wide: with a :class:`Trunk` named ``trunk``, in evaluation mode.
        narrow: the same with a smaller expansion; gets the weights.
        inputs: ``(B, 3, H, W)`` normalised images of what it is to see.
    """
    shapes = narrow.state_dict()
    shared = {name: value for name, value in wide.state_dict().items() if shapes[name].shape == value.shape}
    narrow.load_state_dict(shared, strict=False)
    wide_trunk, narrow_trunk = wide.trunk, narrow.trunk
    assert isinstance(wide_trunk, Trunk)
    assert isinstance(narrow_trunk, Trunk)
    wide_maps = narrow_maps = wide_trunk.stem(inputs)
    for wide_stage, narrow_stage in zip(wide_trunk.stages, narrow_trunk.stages, strict=True):
        for one, other in zip(wide_stage.children(), narrow_stage.children(), strict=True):
            wide_maps = one(wide_maps)
            if isinstance(one, Block) and isinstance(other, Block):
                _fit(one, other, narrow_maps, wide_maps)
            narrow_maps = other(narrow_maps)


def _fit(wide: Block, narrow: Block, inputs: Tensor, target: Tensor) -> None:
    """Choose a block's hidden channels and fit its last layer, so that ``inputs`` give ``target``, both ``(B, C, h, w)``."""
    mixed = narrow.attention(narrow.depthwise(inputs))
    hidden = F.gelu(wide.expand(mixed))
    cells = hidden.shape[0] * hidden.shape[2] * hidden.shape[3]
    draw = torch.randperm(cells, generator=torch.Generator().manual_seed(0))[:CELLS]
    rows, wanted = (maps.permute(0, 2, 3, 1).flatten(0, 2)[draw].double() for maps in (hidden, target - mixed))
    rows = torch.cat([rows, torch.ones_like(rows[:, :1])], dim=1)
    gram, moment = rows.T @ rows, rows.T @ wanted
    kept = _backward(gram, moment, narrow.expand.out_channels)
    chosen = torch.tensor([*kept, len(gram) - 1])
    weights = torch.linalg.solve(_damped(gram[chosen][:, chosen]), moment[chosen])
    assert wide.expand.bias is not None
    narrow.expand.weight.copy_(wide.expand.weight[kept])
    narrow.expand.bias.copy_(wide.expand.bias[kept])  # type: ignore[union-attr]
    narrow.project.weight.copy_(weights[:-1].T[..., None, None])
    narrow.project.bias.copy_(weights[-1])  # type: ignore[union-attr]


def _backward(gram: Tensor, moment: Tensor, count: int) -> list[int]:
    """Drop the channels that cost least until ``count`` stay; the last row, ones, stays beside them."""
    left = list(range(len(gram) - 1))
    while len(left) > count:
        index = torch.tensor([*left, len(gram) - 1])
        inverse = torch.linalg.inv(_damped(gram[index][:, index]))
        weights = inverse @ moment[index]
        lost = weights[:-1].pow(2).sum(1) / inverse.diagonal()[:-1]  # what the fit loses without a channel
        dropped = set(lost.argsort()[: max(1, (len(left) - count) // AT_ONCE)].tolist())
        left = [channel for place, channel in enumerate(left) if place not in dropped]
    return left


def _damped(gram: Tensor) -> Tensor:
    return gram + RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
