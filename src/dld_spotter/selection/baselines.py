"""Selectors that know nothing of the image: what a learnt one is held against."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dld_spotter.core.batches import ScaleChoice
from dld_spotter.core.errors import ConfigError
from dld_spotter.selection.selector import Selector


class FixedScale(Selector):
    """Baseline: the same scale for every image.

    Args:
        scales: candidate scales.
        gamma: the run's cost weight; the choice ignores it.
        factors: its multiples.
        scale: the scale to choose.
    """

    def __init__(self, scales: Sequence[float], gamma: float, factors: Sequence[float], scale: float) -> None:
        super().__init__(scales, gamma, factors)
        if float(scale) not in self.scales:
            raise ConfigError(f"selector.scale={scale} is not among scales={list(self.scales)}; choose one of them")
        self.chosen = self.scales.index(float(scale))

    def forward(self, thumbnails: Tensor, sizes: Tensor, costs: Tensor, temperature: float = 1.0) -> list[ScaleChoice]:
        """See :meth:`Selector.forward`."""
        index = torch.full((len(thumbnails),), self.chosen, device=thumbnails.device)
        one_hot = F.one_hot(index, len(self.scales)).float()
        return [ScaleChoice(one_hot, index) for _ in self.gammas]


class RandomScale(Selector):
    """Baseline: every image at a random scale, drawn anew in training, repeatable by seed and image outside it.

    The images of a training batch are spread evenly over the scales: a step with as many images as scales, or more, sees every
    scale, and a GPU sees the same few batch shapes.

    Args:
        scales: candidate scales.
        gamma: the run's cost weight; the choice ignores it.
        factors: its multiples.
        seed: seed of the draws outside training.
    """

    def __init__(self, scales: Sequence[float], gamma: float, factors: Sequence[float], seed: int = 0) -> None:
        super().__init__(scales, gamma, factors)
        self.seed = seed

    def forward(self, thumbnails: Tensor, sizes: Tensor, costs: Tensor, temperature: float = 1.0) -> list[ScaleChoice]:
        """See :meth:`Selector.forward`."""
        if self.training:
            count, scales = len(thumbnails), len(self.scales)
            order = torch.randperm(scales)  # which scales have an image more, where they cannot have equally many
            index = order[torch.randperm(count) % scales].to(thumbnails.device)
        else:
            mass = thumbnails.flatten(1).long().sum(1).tolist()
            draws = [torch.Generator().manual_seed(self.seed + value) for value in mass]
            index = torch.cat([torch.randint(len(self.scales), (1,), generator=g) for g in draws]).to(thumbnails.device)
        one_hot = F.one_hot(index, len(self.scales)).float()
        return [ScaleChoice(one_hot, index) for _ in self.gammas]
