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

    Folded is what stands side by side in one part, first the convolution and then its normalisation: so stand the blocks of
    this package and those of ``transformers``. A part that calls them in another order must not name them so.
    """
    module = deepcopy(module).eval()  # as fusing asks for
    for part in module.modules():
        for (name, convolution), (behind, normalization) in pairwise(list(part.named_children())):
            if isinstance(convolution, nn.Conv2d) and isinstance(normalization, nn.BatchNorm2d):
                setattr(part, name, fuse_conv_bn_eval(convolution, normalization))
                setattr(part, behind, nn.Identity())
    return module.to(memory_format=torch.channels_last)
