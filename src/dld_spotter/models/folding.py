"""Networks that only read: batch normalisation multiplied into the convolutions before it."""

from copy import deepcopy
from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Module = TypeVar("Module", bound=nn.Module)


def folded(module: Module) -> Module:
    """Copy of a module for evaluation, which computes the same with fewer passes over its maps.

    Folded is what stands side by side in one part, first the convolution and then its normalisation, as many channels as come
    out. A part that has them side by side must call them in this order, as the families of ``conf/spotter`` do, which a test
    holds.
    """
    module = deepcopy(module).eval()  # as fusing asks for
    for part in module.modules():
        for (name, convolution), (behind, normalization) in pairwise(list(part.named_children())):
            if _belong_together(convolution, normalization):
                setattr(part, name, fuse_conv_bn_eval(convolution, normalization))
                setattr(part, behind, nn.Identity())
    return module.to(memory_format=torch.channels_last)


def _belong_together(convolution: nn.Module, normalization: nn.Module) -> bool:
    """Whether the second can be multiplied into the first; subclasses may compute something else."""
    return (
        type(convolution) is nn.Conv2d
        and type(normalization) is nn.BatchNorm2d
        and normalization.running_mean is not None
        and normalization.num_features == convolution.out_channels
    )
