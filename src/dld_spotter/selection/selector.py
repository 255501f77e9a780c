"""Resolution selectors: policies that learn, or that training needs, from a thumbnail to one scale per image."""

from abc import abstractmethod
from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dld_spotter.budget.cost import GIGA
from dld_spotter.budget.operating_points import OperatingPoint
from dld_spotter.core.batches import ScaleChoice
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.words import Cost
from dld_spotter.data.photos import scaled_size
from dld_spotter.data.views import make_thumbnails
from dld_spotter.selection.policy import Policy

NOMINAL_SIDE = 512
"""Side in pixels of an image whose size says nothing; others are taken relative to it."""


class Selector(nn.Module, Policy):
    """Chooses one of K scales per image, for each of its cost weights.

    Attributes:
        scales: the candidate scales, ascending.
        factors: what the run's cost weight is multiplied by, one decision each.
        gammas: the cost weights it decides for, ascending.
        learns_by: name of the objective that it learns by, see
            :attr:`~dld_spotter.selection.objective.SelectionObjective.name`; None where it does not learn.
        gumbel_temperature: temperature of its decisions at the start of training.
        thumbnail: side in pixels of the image that it sees; whoever builds a selector for use sets it.
    """

    continuous = False
    learns_by: str | None = None
    gumbel_temperature: float = 1.0
    thumbnail: int = 128

    def __init__(self, scales: Sequence[float], gamma: float, factors: Sequence[float]) -> None:
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

    @property
    def trainable(self) -> bool:
        """Whether it learns."""
        return self.learns_by is not None

    @property
    def gflops(self) -> float:
        """See :attr:`Policy.gflops`; counted once for a thumbnail."""
        if not any(True for _ in self.parameters()):
            return 0.0
        if not hasattr(self, "_gflops"):
            self._gflops = _count(self, self.thumbnail)
        return self._gflops

    @torch.inference_mode()
    def decide(self, image: np.ndarray, cost: Cost, gamma: float | None = None) -> OperatingPoint:
        """See :meth:`Policy.decide`."""
        device = next(self.parameters(), torch.zeros(0)).device
        thumbnails = make_thumbnails([image], self.thumbnail).to(device)
        height, width = image.shape[:2]
        full = cost(height, width, 0)
        costs = torch.tensor([[cost(*scaled_size(height, width, scale), 0) / full for scale in self.scales]], device=device)
        sizes = torch.tensor([[height, width]], device=device)
        return OperatingPoint(self.scales[int(self.choose(thumbnails, sizes, costs, gamma)[0])])

    def choose(self, thumbnails: Tensor, sizes: Tensor, costs: Tensor, gamma: float | None = None) -> Tensor:
        """Decide for one cost weight, by default the middle one; arguments as of :meth:`forward`.

        Returns:
            ``(B,)`` int64 index of the scale.
        """
        return self(thumbnails, sizes, costs)[self.index(gamma)].index

    def judge(self, thumbnails: Tensor, sizes: Tensor) -> Tensor:
        """Losses ``(B, H, K)`` by which scales are compared: one head for every cost weight, or one to which the cost is added.

        Raises:
            ConfigError: this selector does not judge by what a thumbnail shows.
        """
        kind = type(self).__name__
        raise ConfigError(f"export knows no graph of {kind}; give a checkpoint with a learnt selector, or without any")

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


def _count(selector: Selector, thumbnail: int) -> float:
    """GFLOP of one decision on a thumbnail of ``thumbnail`` x ``thumbnail`` pixels."""
    copy: nn.Module = deepcopy(selector).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        image = torch.zeros(1, 3, thumbnail, thumbnail, dtype=torch.uint8, device="meta")
        copy(image, torch.ones(1, 2, device="meta"), torch.ones(1, len(copy.scales), device="meta"))
    return counter.get_total_flops() / GIGA
