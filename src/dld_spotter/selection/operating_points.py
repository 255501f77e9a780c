"""The steps of a ladder in the place of a selector."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dld_spotter.budget.operating_points import OperatingPoint, OperatingPoints
from dld_spotter.core.batches import ScaleChoice
from dld_spotter.core.errors import ConfigError
from dld_spotter.selection.second_pass.rule import SecondPassRule
from dld_spotter.selection.selectors import Selector

GAMMA = 0.2
"""Cost weight where none is asked for, as in training (``objective.weights.cost``)."""


def rule_of(selector: Selector | None, given: SecondPassRule | None) -> SecondPassRule:
    """The rule of second looks: the given one with the gains that a ladder has learned, or that of the ladder itself."""
    own = selector.escalation if isinstance(selector, OperatingPointPolicy) else SecondPassRule()
    return given.taught_by(own) if given else own


class OperatingPointPolicy(Selector):
    """Takes the same step for every image; which of its places are looked at again is seen in the first look.

    Args:
        ladder: the steps.
        escalation: where the second look goes.
        gamma: cost weight where none is asked for.
        factors: its multiples.
    """

    def __init__(
        self,
        ladder: OperatingPoints,
        escalation: SecondPassRule,
        gamma: float = GAMMA,
        factors: Sequence[float] = (0.05, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0),
    ) -> None:
        super().__init__(sorted(set(ladder.scales)), gamma, factors, trainable=False)
        self.ladder, self.escalation = ladder, escalation

    def check(self, gamma: float) -> None:
        """See :meth:`Selector.check`; it decides for any cost weight."""
        if not gamma >= 0:
            raise ConfigError(f"gamma={gamma:g} must be at least 0")

    def weight(self, gamma: float | None) -> float:
        """The cost weight, by default the middle one."""
        return self.gammas[self.head()] if gamma is None else gamma

    def step(self, gamma: float | None = None) -> OperatingPoint:
        """How images are read, whatever they show."""
        return self.ladder.at(self.weight(gamma))

    def price(self, gamma: float | None = None) -> float:
        """See :meth:`Selector.price`."""
        return self.step(gamma).price

    def choose(self, thumbnails: Tensor, sizes: Tensor, costs: Tensor, gamma: float | None = None) -> Tensor:
        """See :meth:`Selector.choose`; any cost weight."""
        index = self.scales.index(self.step(gamma).scale)
        return torch.full((len(sizes),), index, device=sizes.device)

    def forward(self, thumbnails: Tensor, sizes: Tensor, costs: Tensor, temperature: float = 1.0) -> list[ScaleChoice]:
        """See :meth:`Selector.forward`."""
        choices = [self.choose(thumbnails, sizes, costs, gamma) for gamma in self.gammas]
        return [ScaleChoice(F.one_hot(index, len(self.scales)).float(), index) for index in choices]
