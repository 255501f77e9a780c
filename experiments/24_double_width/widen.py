"""A spotter of twice the widths that reads what the narrow one reads: every unit twice (Net2Net, arXiv 1511.05641).

    python experiments/24_double_width/widen.py CHECKPOINT OUT

writes the student of CHECKPOINT with every width doubled. Each weight on what a unit gives is shared out at random between its
two copies: the sum stays, but the copies learn different things from the first step on. Vocabulary and decoding stay,
operating points do not.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from hydra.utils import instantiate
from torch import Tensor

from dld_spotter.inference.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dld_spotter.models.spotter import Spotter

GATES = 4
"""An LSTM keeps its four gates one behind the other in a tensor."""
JOINED = ("attention.key.weight", "attention.value.weight", "ctc.weight", "attention.output.0.weight")
"""Layers that take two halves: both directions of the context; what is asked and what is attended to."""
MATCHED = ("attention.key.weight", "attention.key.bias", "attention.position")
"""What queries are matched with: twice as many products, divided by the root of twice as many."""
BY_UNIT = ("attention.position", "attention.embed.weight")
"""Tables with a row per place or character: units lie in their columns."""
SHARES = (-0.5, 1.5)
"""Range of the first copy's share: that far apart, the gradients of two copies are all but uncorrelated."""


def doubled(values: Tensor, dim: int, blocks: int = 1) -> Tensor:
    """Every unit twice along ``dim``, block by block."""
    return torch.cat([part for block in values.chunk(blocks, dim) for part in (block, block)], dim)


def shared_out(weight: Tensor, blocks: int, generator: torch.Generator) -> Tensor:
    """What each unit along the second dimension gives, shared out between its two copies."""
    low, high = SHARES
    shares = low + (high - low) * torch.rand(weight.shape, generator=generator)
    parts = zip(weight.chunk(blocks, 1), shares.chunk(blocks, 1), strict=True)
    return torch.cat([half for part, share in parts for half in (part * share, part * (1 - share))], 1)


def widened(name: str, values: Tensor, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """One tensor of a spotter, in the shape that it has in a spotter twice as wide.

    Raises:
        ValueError: that shape is neither as large nor twice as large along each dimension.
    """
    if name.endswith(MATCHED):
        values = values / 2**0.5
    grows = [new == 2 * old for new, old in zip(shape, values.shape, strict=True)]
    if grows and grows[0]:
        values = doubled(values, 0, GATES if ".weight_" in name or ".bias_" in name else 1)
    if len(grows) > 1 and grows[1]:
        units = name.endswith(BY_UNIT)
        values = doubled(values, 1) if units else shared_out(values, 2 if name.endswith(JOINED) else 1, generator)
    if values.shape != shape:
        raise ValueError(f"{name} is {list(values.shape)} and should be {list(shape)}; only doubled widths are known here")
    return values


def doubled_config(config: Mapping) -> dict:
    """Configuration of a text-map spotter of twice the widths.

    Raises:
        ValueError: it has more layers along a word than one, whose halves are not known here.
    """
    if config.get("layers", 1) != 1:
        raise ValueError(f"layers={config['layers']}: only one layer along a word can be doubled")
    settings = config["backbone"]["settings"]
    settings = settings | {
        "embedding_size": 2 * settings["embedding_size"],
        "hidden_sizes": [2 * width for width in settings["hidden_sizes"]],
    }
    widths = {name: 2 * config[name] for name in ("channels", "head_channels", "hidden")}
    backbone = {**config["backbone"], "settings": settings}
    return {**config, **widths, "widths": [2 * width for width in config["widths"]], "backbone": backbone}


def widen(narrow: Checkpoint, seed: int = 1) -> tuple[Spotter, dict]:
    """The student of ``narrow`` twice as wide, and what a checkpoint says of it."""
    config = doubled_config(narrow.config("student"))
    facts = {name: narrow.provenance[name] for name in ("format", "scales", "thumbnail")} | {"model": {"student": config}}
    wide = instantiate(config, _convert_="all")
    generator = torch.Generator().manual_seed(seed)
    shapes = {name: value.shape for name, value in wide.state_dict().items()}
    wide.load_state_dict(
        {name: widened(name, value, shapes[name], generator) for name, value in narrow.weights("student").items()}
    )
    return wide, facts


def main(path: str, out: str) -> None:
    """Read, double, write."""
    wide, facts = widen(load_checkpoint(path))
    save_checkpoint(Path(out), {"student": wide}, facts)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
