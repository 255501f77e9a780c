"""What one image may cost at most, whatever its mean. Needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from dld_spotter.data.photos import scaled_size
from dld_spotter.errors import ConfigError
from dld_spotter.word import Cost, Look


@dataclass(frozen=True)
class Limit:
    """What is left to be spent on an image.

    Args:
        max_cost: what was asked for, relative to the pixels of the reference.
        left: in the unit of ``cost``.
        cost: of a view.
    """

    max_cost: float
    left: float
    cost: Cost

    @classmethod
    def of(cls, max_cost: float, whole: Sequence[int], cost: Cost, choosing: float = 0.0) -> Self:
        """A share of what the pixels of the reference cost, whose height and width are ``whole``, less that of choosing."""
        return cls(max_cost, max_cost * cost(*whole, 0) - choosing, cost)

    def affords(self, size: Sequence[int]) -> bool:
        """Whether a view of this height and width can be looked at, and a word of it read."""
        return self.cost(*size, 1) <= self.left

    def words(self, size: Sequence[int]) -> int:
        """How many words of such a view can be read."""
        word = self.cost(*size, 1) - self.cost(*size, 0)
        return max(0, int((self.left - self.cost(*size, 0)) / word)) if word else 10**9

    def after(self, look: Look) -> Self:
        """What is left after a look."""
        return replace(self, left=self.left - look.spent(self.cost))

    def scale(self, wanted: float, scales: Sequence[float], whole: Sequence[int]) -> float:
        """The highest of ``scales`` up to the wanted one that can be afforded.

        Raises:
            ConfigError: none can.
        """
        fitting = [scale for scale in {*scales, wanted} if scale <= wanted and self.affords(scaled_size(*whole, scale))]
        if not fitting:
            least = min({*scales, wanted})
            share = self.cost(*scaled_size(*whole, least), 1) / self.cost(*whole, 0)
            raise ConfigError(
                f"max_cost={self.max_cost:g} cannot be met: an image of {whole[1]} x {whole[0]} pixels takes {share:.3g} "
                f"at the lowest scale, {least:g}; give more"
            )
        return max(fitting)
