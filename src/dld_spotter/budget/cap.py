"""What one image may cost at most, whatever the mean. Needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from dld_spotter.budget.operating_points import OperatingPoint, OperatingPoints
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.words import Cost, SpottingResult
from dld_spotter.data.photos import scaled_size

RESERVED = 10
"""Words for whose reading a first look leaves something over, where it can."""
UNBOUNDED = 10**9


@dataclass(frozen=True)
class CostCap:
    """A relative cost that an image may not exceed.

    Args:
        max_cost: the limit, relative to one look at the whole reference that reads the same words.
        whole: height and width of the reference.
        cost: of a view.
        choosing: what choosing the scale has cost.
        first: what was looked at before.
    """

    max_cost: float
    whole: tuple[int, int]
    cost: Cost
    choosing: float = 0.0
    first: SpottingResult | None = None

    def words(self, size: Sequence[int]) -> int:
        """How many words can be read in a view of this height and width; -1 where its pixels are too dear."""
        if self.first is not None:  # some may be words that were read before, which the look that is compared with reads once
            return self._words(self._left() - self.cost(*size, 0), 1.0)
        return self._words(self.max_cost * self.cost(*self.whole, 0) - self.choosing - self.cost(*size, 0), 1 - self.max_cost)

    def further(self) -> int:
        """How many more words can be read in a view that was looked at, none of which was read before."""
        return self._words(self._left(), 1 - self.max_cost)

    def _left(self) -> float:
        return self.max_cost * self.first.full(self.whole, self.cost) - self.choosing - self.first.spent(self.cost)

    def _words(self, left: float, share: float) -> int:
        """Words that what is left is enough for; a word that counts in what is compared with, too, takes but a share."""
        if left < 0:
            return -1
        word = share * (self.cost(*self.whole, 1) - self.cost(*self.whole, 0))
        return int(left / word) if word > 0 else UNBOUNDED

    def affords(self, size: Sequence[int], words: float = 0) -> bool:
        """Whether a view can be looked at and so many words of it be read."""
        return self.words(size) >= words

    def after(self, look: SpottingResult) -> Self:
        """The same limit, part of which is spent."""
        return replace(self, first=look)

    def lower(self, wanted: OperatingPoint, scales: Sequence[float], ladder: OperatingPoints | None = None) -> OperatingPoint:
        """The wanted step, or what comes nearest to it of what can be afforded.

        Args:
            wanted: how the image is to be read.
            scales: of other first looks; none, and the wanted one is all there is.
            ladder: whose steps know which price belongs to a lower scale.

        Raises:
            ConfigError: nothing can be afforded.
        """
        if self.affords(scaled_size(*self.whole, wanted.scale), RESERVED if scales else 0):
            return wanted
        lower = sorted(scale for scale in scales if scale < wanted.scale)
        for words in (RESERVED, 0):
            fitting = [scale for scale in lower if self.affords(scaled_size(*self.whole, scale), words)]
            if fitting:
                return ladder.below(fitting[-1]) if ladder else replace(wanted, scale=fitting[-1])
        if self.affords(scaled_size(*self.whole, wanted.scale)):
            return wanted
        least = min([wanted.scale, *lower])
        share = (self.choosing + self.cost(*scaled_size(*self.whole, least), 0)) / self.cost(*self.whole, 0)
        remedy = "give more" if scales else "give more, or a lower scale="
        raise ConfigError(
            f"max_cost={self.max_cost:g} cannot be met: an image of {self.whole[1]} x {self.whole[0]} pixels takes "
            f"{share:.4g} at scale {least:g}; {remedy}"
        )
