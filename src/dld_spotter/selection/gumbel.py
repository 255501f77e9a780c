"""The paper's selector."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_spotter.core.batches import ScaleChoice
from dld_spotter.core.errors import ConfigError
from dld_spotter.selection.selector import NOMINAL_SIDE, Selector
from dld_spotter.selection.thumbnail_network import ThumbnailNetwork


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

    learns_by = "drs"

    def __init__(
        self,
        scales: Sequence[float],
        gamma: float,
        factors: Sequence[float],
        channels: Sequence[int] = (16, 32, 64, 96),
        hidden: int = 128,
        gumbel_temperature: float = 5.0,
    ) -> None:
        super().__init__(scales, gamma, factors)
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

    def judge(self, thumbnails: Tensor, sizes: Tensor) -> Tensor:
        """See :meth:`Selector.judge`; a head for every cost weight."""
        return -self.logits(thumbnails, sizes)

    def sample(self, logits: Tensor, temperature: float) -> list[ScaleChoice]:
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
        return self.sample(self.logits(thumbnails, sizes), temperature)
