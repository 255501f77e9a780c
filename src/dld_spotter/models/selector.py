"""Resolution selectors: from a thumbnail to one scale per image."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_spotter.errors import ConfigError
from dld_spotter.models.neck import conv_block
from dld_spotter.structures import ScaleChoice


class Selector(nn.Module, ABC):
    """Chooses one of K scales per image, for each of its cost weights.

    Attributes:
        scales: the candidate scales, ascending.
        factors: what the run's cost weight is multiplied by, one decision each.
        gammas: the cost weights it decides for, ascending.
        trainable: whether it learns.
        gumbel_temperature: temperature of its decisions at the start of training.
    """

    gumbel_temperature: float = 1.0

    def __init__(self, scales: Sequence[float], gamma: float, factors: Sequence[float], trainable: bool) -> None:
        super().__init__()
        if not scales or list(scales) != sorted(set(scales)):
            raise ConfigError(f"scales must be ascending and distinct, found {list(scales)}")
        if not factors or list(factors) != sorted(set(factors)) or min(factors) < 0:
            raise ConfigError(f"selector.factors must be ascending, distinct and at least 0, found {list(factors)}")
        if gamma < 0:
            raise ConfigError(f"the cost weight objective.weights.cost must be at least 0, found {gamma}")
        self.scales = tuple(float(scale) for scale in scales)
        self.factors = tuple(float(factor) for factor in factors)
        self.gammas = tuple(round(gamma * factor, 9) for factor in self.factors)
        self.trainable = trainable

    def head(self, gamma: float | None = None) -> int:
        """Which of the decisions belongs to a cost weight, by default the middle one.

        Raises:
            ConfigError: there is none for it.
        """
        if gamma is None:
            return len(self.gammas) // 2
        if round(float(gamma), 9) not in self.gammas:
            known = ", ".join(f"{value:g}" for value in self.gammas)
            raise ConfigError(f"gamma={gamma:g} is none of this selector's cost weights; choose one of {known}")
        return self.gammas.index(round(float(gamma), 9))

    @abstractmethod
    def forward(self, thumbnails: Tensor, sizes: Tensor, temperature: float = 1.0) -> list[ScaleChoice]:
        """Decide for every cost weight.

        Args:
            thumbnails: ``(B, 3, S, S)`` uint8.
            sizes: ``(B, 2)`` height and width of the reference images, which the squeezed thumbnail does not show.
            temperature: Gumbel temperature in training; outside training the decision is deterministic.

        Returns:
            one choice per cost weight.
        """


class FixedScale(Selector):
    """Baseline: the same scale for every image.

    Args:
        scales: candidate scales.
        gamma: the run's cost weight; the choice ignores it.
        factors: its multiples.
        scale: the scale to choose.
    """

    def __init__(self, scales: Sequence[float], gamma: float, factors: Sequence[float], scale: float) -> None:
        super().__init__(scales, gamma, factors, trainable=False)
        if float(scale) not in self.scales:
            raise ConfigError(f"selector.scale={scale} is not among scales={list(self.scales)}; choose one of them")
        self.index = self.scales.index(float(scale))

    def forward(self, thumbnails: Tensor, sizes: Tensor, temperature: float = 1.0) -> list[ScaleChoice]:
        """See :meth:`Selector.forward`."""
        index = torch.full((len(thumbnails),), self.index, device=thumbnails.device)
        one_hot = F.one_hot(index, len(self.scales)).float()
        return [ScaleChoice(one_hot, one_hot, index) for _ in self.gammas]


class RandomScale(Selector):
    """Baseline: every image at a random scale, drawn anew in training, repeatable by seed and image outside it.

    Args:
        scales: candidate scales.
        gamma: the run's cost weight; the choice ignores it.
        factors: its multiples.
        seed: seed of the draws outside training.
    """

    def __init__(self, scales: Sequence[float], gamma: float, factors: Sequence[float], seed: int = 0) -> None:
        super().__init__(scales, gamma, factors, trainable=False)
        self.seed = seed

    def forward(self, thumbnails: Tensor, sizes: Tensor, temperature: float = 1.0) -> list[ScaleChoice]:
        """See :meth:`Selector.forward`."""
        if self.training:
            index = torch.randint(len(self.scales), (len(thumbnails),), device=thumbnails.device)
        else:
            mass = thumbnails.flatten(1).long().sum(1).tolist()
            draws = [torch.Generator().manual_seed(self.seed + value) for value in mass]
            index = torch.cat([torch.randint(len(self.scales), (1,), generator=g) for g in draws]).to(thumbnails.device)
        one_hot = F.one_hot(index, len(self.scales)).float()
        return [ScaleChoice(one_hot, one_hot, index) for _ in self.gammas]


class GumbelSelector(Selector):
    """The paper's selector: logits per scale, straight-through Gumbel-softmax in training (DLD, section 3.2).

    One small network on a thumbnail of fixed size, with one head per cost weight: the student's passes over all scales,
    which are the cost of its training, serve every head.

    Args:
        scales: candidate scales.
        gamma: the run's cost weight.
        factors: its multiples, one head each.
        channels: channels of the four convolutions, each with stride 2.
        hidden: size of the layer before the heads.
        gumbel_temperature: temperature at the start of training; a callback cools it.
    """

    def __init__(
        self,
        scales: Sequence[float],
        gamma: float,
        factors: Sequence[float],
        channels: Sequence[int] = (16, 32, 64, 96),
        hidden: int = 128,
        gumbel_temperature: float = 5.0,
    ) -> None:
        super().__init__(scales, gamma, factors, trainable=True)
        if gumbel_temperature <= 0:
            raise ConfigError(f"selector.gumbel_temperature must be above 0, found {gumbel_temperature}")
        self.gumbel_temperature = gumbel_temperature
        widths = [3, *channels]
        self.body = nn.Sequential(*(conv_block(a, b, stride=2) for a, b in pairwise(widths)))
        self.hidden = nn.Sequential(nn.Linear(2 * widths[-1] + 2, hidden), nn.ReLU(inplace=True))
        self.heads = nn.Linear(hidden, len(self.gammas) * len(self.scales))

    def logits(self, thumbnails: Tensor, sizes: Tensor) -> Tensor:
        """Preferences ``(B, G, K)`` of each head."""
        features = self.body(thumbnails.float() / 127.5 - 1)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3)), torch.log2(sizes.float() / 640)], dim=1)
        return self.heads(self.hidden(pooled)).view(-1, len(self.gammas), len(self.scales))

    def forward(self, thumbnails: Tensor, sizes: Tensor, temperature: float = 1.0) -> list[ScaleChoice]:
        """See :meth:`Selector.forward`."""
        choices = []
        for logits in self.logits(thumbnails, sizes).float().unbind(1):
            if self.training:
                one_hot = F.gumbel_softmax(logits, tau=temperature, hard=True)
            else:
                one_hot = F.one_hot(logits.argmax(1), len(self.scales)).float()
            choices.append(ScaleChoice(logits, one_hot, one_hot.argmax(1)))
        return choices
