"""A recogniser with fewer hidden channels, those that matter most of a wider one."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from words import CHARSET

from dld_spotter.models.ppocr.blocks import Block
from dld_spotter.models.ppocr.reading import PPOCRWordRecognizer
from dld_spotter.models.ppocr.recognizer import STAGES

SAMPLE = 128
"""Word crops by which hidden channels are weighed."""


@torch.no_grad()
def narrowed(recognizer: PPOCRWordRecognizer, expansion: float, crops: Tensor) -> PPOCRWordRecognizer:
    """Keep of each block the hidden channels that bring most: how strong they are, times what is made of them.

    Args:
        recognizer: PP-OCR's, of the usual widths.
        expansion: hidden channels per channel that are kept.
        crops: ``(N, 3, 48, W)`` words by which they are weighed.
    """
    network = recognizer.network
    narrow = PPOCRWordRecognizer(CHARSET, [stage.channels for stage in STAGES], network.outputs, expansion)
    blocks = {name: block for name, block in network.named_modules() if isinstance(block, Block)}
    strengths: dict[str, Tensor] = {}
    hooks = [block.expand.register_forward_hook(_strength(name, strengths)) for name, block in blocks.items()]
    network.eval()(crops)
    for hook in hooks:
        hook.remove()
    state = network.state_dict()
    for name, block in blocks.items():
        worth = strengths[name] * block.project.weight[:, :, 0, 0].norm(dim=0)
        kept = worth.topk(narrow.network.get_submodule(name).expand.out_channels).indices.sort().values
        for part in ("weight", "bias"):
            state[f"{name}.expand.{part}"] = state[f"{name}.expand.{part}"][kept]
        state[f"{name}.project.weight"] = state[f"{name}.project.weight"][:, kept]
    narrow.network.load_state_dict(state)
    return narrow


def _strength(name: str, strengths: dict[str, Tensor]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    """Notes how large a hidden layer's channels are ``(C,)`` behind their GELU."""

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        del module, inputs
        strengths[name] = F.gelu(output).pow(2).mean((0, 2, 3)).sqrt()

    return note
