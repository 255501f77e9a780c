"""A selector that expects a loss of each scale, and so decides for any cost weight, as one of a user's own may."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dld_spotter.core.batches import ScaleChoice
from dld_spotter.selection.selector import Selector
from tests.small import SCALES, THUMBNAIL


class Expecting(Selector):
    """The brighter a thumbnail, the more is read, and a scale as many times more as its root says."""

    continuous = True
    thumbnail = THUMBNAIL

    def __init__(self, gamma: float = 0.2, factors: tuple[float, ...] = (0.5, 1.0)) -> None:
        super().__init__(SCALES, gamma, factors)
        self.register_buffer("read", torch.tensor(SCALES).sqrt())

    def losses(self, thumbnails: Tensor) -> Tensor:
        """Loss ``(B, K)`` of each scale."""
        return -thumbnails.float().mean((1, 2, 3))[:, None] / 255 * self.read

    def judge(self, thumbnails: Tensor, sizes: Tensor) -> Tensor:
        """See :meth:`Selector.judge`; one head."""
        return self.losses(thumbnails)[:, None]

    def choose(self, thumbnails: Tensor, sizes: Tensor, costs: Tensor, gamma: float | None = None) -> Tensor:
        """See :meth:`Selector.choose`; any cost weight."""
        return (self.losses(thumbnails) + self.weight(gamma) * costs).argmin(1)

    def forward(self, thumbnails: Tensor, sizes: Tensor, costs: Tensor, temperature: float = 1.0) -> list[ScaleChoice]:
        """See :meth:`Selector.forward`."""
        indices = [self.choose(thumbnails, sizes, costs, gamma) for gamma in self.gammas]
        return [ScaleChoice(F.one_hot(index, len(self.scales)).float(), index) for index in indices]
