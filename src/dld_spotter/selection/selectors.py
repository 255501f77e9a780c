"""Resolution selectors: from a thumbnail to one scale per image."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from math import inf, log2

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dld_spotter.core.batches import ScaleChoice
from dld_spotter.core.errors import ConfigError
from dld_spotter.models.modes import evaluating
from dld_spotter.models.neck import conv_block

NOMINAL_SIDE = 512
"""Side in pixels of an image whose size says nothing; others are taken relative to it."""


class Selector(nn.Module, ABC):
    """Chooses one of K scales per image, for each of its cost weights.

    Attributes:
        scales: the candidate scales, ascending.
        factors: what the run's cost weight is multiplied by, one decision each.
        gammas: the cost weights it decides for, ascending.
        trainable: whether it learns.
        gumbel_temperature: temperature of its decisions at the start of training.
        rule: what its network judges scales by: ``losses`` to which any cost is added, ``heads`` of logits for cost weights
            of their own, or ``none``.
    """

    gumbel_temperature: float = 1.0
    rule: str = "none"

    def __init__(self, scales: Sequence[float], gamma: float, factors: Sequence[float], trainable: bool) -> None:
        super().__init__()
        if not scales or list(scales) != sorted(set(scales)):
            raise ConfigError(f"scales must be ascending and distinct, found {list(scales)}")
        if not factors or list(factors) != sorted(set(factors)) or min(factors) < 0:
            raise ConfigError(f"selector.factors must be ascending, distinct and at least 0, found {list(factors)}")
        if not isinstance(gamma, int | float) or gamma < 0:
            raise ConfigError(f"the cost weight objective.weights.cost must be a number of at least 0, found {gamma}")
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

    def check(self, gamma: float) -> None:
        """Raise ConfigError if the selector cannot decide for this cost weight."""
        self.head(gamma)

    def price(self, gamma: float | None = None) -> float:
        """Price of a second look at this cost weight; infinite for selectors that know one look alone."""
        return inf

    def choose(self, thumbnails: Tensor, sizes: Tensor, costs: Tensor, gamma: float | None = None) -> Tensor:
        """Decide for one cost weight, by default the middle one; arguments as of :meth:`forward`.

        Returns:
            ``(B,)`` int64 index of the scale.
        """
        return self(thumbnails, sizes, costs)[self.head(gamma)].index

    @abstractmethod
    def forward(self, thumbnails: Tensor, sizes: Tensor, costs: Tensor, temperature: float = 1.0) -> list[ScaleChoice]:
        """Decide for every cost weight.

        Args:
            thumbnails: ``(B, 3, S, S)`` uint8.
            sizes: ``(B, 2)`` height and width of the reference images, which the squeezed thumbnail does not show.
            costs: ``(B, K)`` what is known beforehand of each scale's relative cost, see :meth:`CostModel.relative`.
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

    def forward(self, thumbnails: Tensor, sizes: Tensor, costs: Tensor, temperature: float = 1.0) -> list[ScaleChoice]:
        """See :meth:`Selector.forward`."""
        index = torch.full((len(thumbnails),), self.index, device=thumbnails.device)
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
        super().__init__(scales, gamma, factors, trainable=False)
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


class ThumbnailNetwork(nn.Module):
    """From thumbnails to numbers per image: four convolutions of stride 2, mean and maximum over the image, two layers.

    Args:
        outputs: numbers per image.
        channels: channels of the convolutions.
        hidden: size of the layer before the last.
    """

    def __init__(self, outputs: int, channels: Sequence[int], hidden: int) -> None:
        super().__init__()
        widths = [3, *channels]
        self.body = nn.Sequential(*(conv_block(a, b, stride=2) for a, b in pairwise(widths)))
        self.hidden = nn.Sequential(nn.Linear(2 * widths[-1], hidden), nn.ReLU(inplace=True))
        self.out = nn.Linear(hidden, outputs)
        self.to(memory_format=torch.channels_last)  # as the thumbnails come: faster

    def forward(self, thumbnails: Tensor) -> Tensor:
        """Map ``(B, 3, S, S)`` uint8 to ``(B, outputs)``."""
        features = self.body(thumbnails.float().div_(127.5).sub_(1))  # in place: a small network's time is in small operations
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        return self.out(self.hidden(pooled)).float()


def folded(selector: Selector) -> Selector:
    """Copy of a selector that only reads, its batch normalisation multiplied into the convolutions."""
    selector = deepcopy(selector).eval()  # as fusing asks for
    if isinstance(network := getattr(selector, "network", None), ThumbnailNetwork):
        blocks = (
            nn.Sequential(fuse_conv_bn_eval(block[0], block[1]), block[2]) if len(block) == 3 else block  # folded before
            for block in network.body
        )
        network.body = nn.Sequential(*blocks).to(memory_format=torch.channels_last)
    return selector.eval()


class GumbelSelector(Selector):
    """The paper's selector: logits per scale, straight-through Gumbel-softmax in training (DLD, section 3.2).

    One small network on a thumbnail of fixed size, with one head per cost weight: the student's passes over all scales,
    which are the cost of its training, serve every head.

    Args:
        scales: candidate scales.
        gamma: the run's cost weight.
        factors: its multiples, one head each.
        channels: see :class:`ThumbnailNetwork`.
        hidden: same.
        gumbel_temperature: temperature at the start of training; a callback cools it.
    """

    rule = "heads"

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
        choices = len(self.gammas) * len(self.scales)
        self.network = ThumbnailNetwork(choices, channels, hidden)
        self.of_size = nn.Linear(2, choices, bias=False)

    def logits(self, thumbnails: Tensor, sizes: Tensor) -> Tensor:
        """Preferences ``(B, G, K)`` of each head."""
        preferences = self.network(thumbnails) + self.of_size(torch.log2(sizes.float() / NOMINAL_SIDE))
        return preferences.view(-1, len(self.gammas), len(self.scales))

    def decide(self, logits: Tensor, temperature: float) -> list[ScaleChoice]:
        """One choice per head of ``(B, G, K)`` logits; a fresh draw at every call in training."""
        choices = []
        for preferences in logits.unbind(1):
            if self.training:
                one_hot = F.gumbel_softmax(preferences, tau=temperature, hard=True)
            else:
                one_hot = F.one_hot(preferences.argmax(1), len(self.scales)).float()
            choices.append(ScaleChoice(one_hot, one_hot.argmax(1)))
        return choices

    def forward(self, thumbnails: Tensor, sizes: Tensor, costs: Tensor, temperature: float = 1.0) -> list[ScaleChoice]:
        """See :meth:`Selector.forward`."""
        return self.decide(self.logits(thumbnails, sizes), temperature)


class QualitySelector(Selector):
    """Predicts what reading at every scale would bring, so that one network serves every cost weight.

    In two steps, each of which learns from what tells it most. A network counts the words of each height that a thumbnail
    shows; its targets, the true heights, are free of noise and cost no reading. A table says how many words of a height are
    read rightly, and how many false ones appear beside them, at each scale; its few numbers follow the student from the
    outcomes of the images it trains on (:class:`~dld_spotter.selection.objectives.OutcomeRegression`), and can be
    fitted to another reader alone. The choice is ``argmin_k loss_k + gamma * cost_k`` with

        loss_k = (false_price * false_k - right_k) / words,

    in words of an average image. ``experiments/26_selector_network`` compares it with predicting outcomes, or training
    losses, directly.

    Args:
        scales: candidate scales.
        gamma: the run's cost weight; any other can be asked for later.
        factors: its multiples, at which training reads and reports are made.
        channels: see :class:`ThumbnailNetwork`.
        hidden: same.
        heights: lowest and highest height of a word in pixels of the reference, the ends of the bins.
        bins: bins of height, even in the logarithm; the first and the last are open.
        false_price: what a false word costs beside a right one that is missing. The Hmean H pays H / (2 - H), so that 0.5
            fits where some two thirds are read.
        explore: share of training images that are read at a scale drawn at random, whatever is predicted.
    """

    rule = "losses"
    table: Tensor
    """``(2, bins + 1, K)`` words read rightly and falsely per word of a height, and in the last row per image."""
    words: Tensor
    """Mean number of words in an image, as training has seen it."""
    readings: Tensor
    """Number of images that the table rests on."""

    def __init__(
        self,
        scales: Sequence[float],
        gamma: float,
        factors: Sequence[float],
        channels: Sequence[int] = (16, 32, 64, 96),
        hidden: int = 128,
        heights: tuple[float, float] = (4.0, 200.0),
        bins: int = 14,
        false_price: float = 0.5,
        explore: float = 0.3,
    ) -> None:
        super().__init__(scales, gamma, factors, trainable=True)
        for name, value in (("false_price", false_price), ("explore", explore)):
            if not 0 <= value <= 1:
                raise ConfigError(f"selector.{name} must be from 0 to 1, found {value}")
        if bins < 3 or not 0 < heights[0] < heights[1]:
            raise ConfigError(f"selector needs at least 3 bins and ascending heights above 0, found {bins} and {heights}")
        self.false_price = false_price
        self.explore = explore
        self.network = ThumbnailNetwork(bins, channels, hidden)
        edges = torch.logspace(log2(heights[0]), log2(heights[1]), bins - 1, base=2)
        self.register_buffer("edges", edges)
        self.step = log2(heights[1] / heights[0]) / (bins - 2)
        """Width of a bin in octaves."""
        # Until something is known, half of the words are read at any scale and every tenth brings a false one.
        prior = torch.tensor([0.5, 0.1]).view(2, 1, 1).repeat(1, bins + 1, len(self.scales))
        self.register_buffer("table", prior * torch.tensor([1.0] * bins + [0.1]).view(1, -1, 1))
        self.register_buffer("words", torch.ones(()))
        self.register_buffer("readings", torch.zeros((), dtype=torch.int64))

    def check(self, gamma: float) -> None:
        """See :meth:`Selector.check`; it decides for any cost weight."""
        if gamma < 0:
            raise ConfigError(f"gamma={gamma:g} must be at least 0")

    def histogram(self, thumbnails: Tensor, sizes: Tensor) -> Tensor:
        """Expected words ``(B, bins)`` of each height in pixels of the reference images of ``sizes`` ``(B, 2)``."""
        seen = self.network(thumbnails).exp()
        # The thumbnail shows heights relative to the image; one of other size moves them by a fraction of bins.
        bins = torch.arange(seen.shape[1], device=seen.device)
        shift = torch.log2(sizes.float().prod(1) / NOMINAL_SIDE**2) / (2 * self.step)
        place = (bins + shift[:, None]).clamp(0, seen.shape[1] - 1)
        shares = F.relu(1 - (place[:, :, None] - bins).abs())  # between two bins, each gets its share
        return (seen[:, :, None] * shares).sum(1)

    def outcomes(self, histogram: Tensor) -> Tensor:
        """Words ``(B, 2, K)`` read rightly and falsely at every scale, from words ``(B, bins)`` of each height."""
        # A product and a sum rather than a matrix product: autocast would blur what sets scales apart.
        return (histogram[:, None, :, None] * self.table[:, :-1]).sum(2) + self.table[:, -1]

    def losses(self, thumbnails: Tensor, sizes: Tensor) -> Tensor:
        """Loss ``(B, K)`` that is expected of each scale."""
        right, false = self.outcomes(self.histogram(thumbnails, sizes)).unbind(1)
        return (self.false_price * false - right) / self.words

    def choose(self, thumbnails: Tensor, sizes: Tensor, costs: Tensor, gamma: float | None = None) -> Tensor:
        """See :meth:`Selector.choose`; any cost weight."""
        weight = self.gammas[self.head()] if gamma is None else gamma
        return (self.losses(thumbnails, sizes) + weight * costs).argmin(1)

    def forward(self, thumbnails: Tensor, sizes: Tensor, costs: Tensor, temperature: float = 1.0) -> list[ScaleChoice]:
        """See :meth:`Selector.forward`; in training a share of the choices is random, and none carries a gradient."""
        with torch.no_grad(), evaluating(self.network):  # the few images of a step have no statistics of their own
            losses = self.losses(thumbnails, sizes)
        choices = []
        for gamma in self.gammas:
            index = (losses + gamma * costs).argmin(1)
            if self.training:
                explored = torch.rand(len(index), device=index.device) < self.explore
                index = torch.where(explored, torch.randint_like(index, len(self.scales)), index)
            choices.append(ScaleChoice(F.one_hot(index, len(self.scales)).float(), index))
        return choices
