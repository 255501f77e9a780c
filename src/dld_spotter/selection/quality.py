"""A selector that predicts what reading at every scale would bring, so that one network serves every cost weight."""

from collections.abc import Sequence
from math import log2

import torch
import torch.nn.functional as F
from torch import Tensor

from dld_spotter.core.batches import ScaleChoice
from dld_spotter.core.errors import ConfigError
from dld_spotter.models.modes import evaluating
from dld_spotter.selection.selector import NOMINAL_SIDE, Selector
from dld_spotter.selection.thumbnail_network import ThumbnailNetwork


class QualitySelector(Selector):
    """Predicts what reading at every scale would bring, so that one network serves every cost weight.

    In two steps, each of which learns from what tells it most. A network counts the words of each height that a thumbnail
    shows; its targets, the true heights, are free of noise and cost no reading. A table says how many words of a height are
    read rightly, and how many false ones appear beside them, at each scale; its few numbers follow the student from the
    outcomes of the images it trains on (:class:`~dld_spotter.selection.outcome_regression.OutcomeRegression`), and can be
    fitted to another reader alone. The choice is ``argmin_k loss_k + gamma * cost_k`` with

        loss_k = (false_positive_cost * false_k - right_k) / words,

    in words of an average image. ``experiments/26_selector_network`` compares it with predicting
    outcomes, or training losses, directly.

    Args:
        scales: candidate scales.
        gamma: the run's cost weight; any other can be asked for later.
        factors: its multiples, at which training reads and reports are made.
        channels: see :class:`ThumbnailNetwork`.
        hidden: same.
        heights: lowest and highest height of a word in pixels of the reference, the ends of the bins.
        bins: bins of height, even in the logarithm; the first and the last are open.
        false_positive_cost: what a false word costs beside a right one that is missing. The Hmean H pays H / (2 - H), so
            that 0.5 fits where some two thirds are read.
        explore: share of training images that are read at a scale drawn at random, whatever is predicted.
    """

    continuous = True
    predicts_losses = True
    learns_by = "outcomes"
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
        false_positive_cost: float = 0.5,
        explore: float = 0.3,
    ) -> None:
        super().__init__(scales, gamma, factors)
        for name, value in (("false_positive_cost", false_positive_cost), ("explore", explore)):
            if not 0 <= value <= 1:
                raise ConfigError(f"selector.{name} must be from 0 to 1, found {value}")
        if bins < 3 or not 0 < heights[0] < heights[1]:
            raise ConfigError(f"selector needs at least 3 bins and ascending heights above 0, found {bins} and {heights}")
        self.false_positive_cost = false_positive_cost
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
        return (self.false_positive_cost * false - right) / self.words

    def judge(self, thumbnails: Tensor, sizes: Tensor) -> Tensor:
        """See :meth:`Selector.judge`; one head."""
        return self.losses(thumbnails, sizes)[:, None]

    def choose(self, thumbnails: Tensor, sizes: Tensor, costs: Tensor, gamma: float | None = None) -> Tensor:
        """See :meth:`Selector.choose`; any cost weight."""
        return (self.losses(thumbnails, sizes) + self.weight(gamma) * costs).argmin(1)

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
