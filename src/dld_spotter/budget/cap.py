"""What one image may cost at most, whatever the mean. Needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from dld_spotter.budget.operating_points import OperatingPoint
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.words import Cost, SpottingResult
from dld_spotter.data.photos import scaled_size

RESERVED = 10
"""Words for whose reading a first pass leaves something over, where it can."""
UNBOUNDED = 10**9


@dataclass(frozen=True)
class CostCap:
    """A relative cost that an image may not exceed.

    Args:
        max_cost: the cap, relative to one pass over the whole reference that reads the same words.
        whole: height and width of the reference.
        cost: of a view.
        deciding: what the decision for an operating point has cost.
        first: what was read before.
    """

    max_cost: float
    whole: tuple[int, int]
    cost: Cost
    deciding: float = 0.0
    first: SpottingResult | None = None

    def words(self, size: Sequence[int]) -> int:
        """How many words can be read in a view of this height and width; -1 where its pixels are too costly."""
        height, width = size
        # Some may be words that were read before, which the pass that is compared with reads once.
        share = 1 - self.max_cost if self.first is None else 1.0
        return self._words(self._left() - self.cost(height, width, 0), share)

    def further(self) -> int:
        """How many more words can be read in a view that was detected in, none of which was read before."""
        return self._words(self._left(), 1 - self.max_cost)

    def _left(self) -> float:
        """What the decision and the passes before have left of the cap."""
        if self.first is None:
            return self.max_cost * self.cost(*self.whole, 0) - self.deciding
        return self.max_cost * self.first.full(self.whole, self.cost) - self.deciding - self.first.spent(self.cost)

    def _words(self, left: float, share: float) -> int:
        """Words that what is left is enough for; a word that counts in what is compared with, too, takes but a share."""
        if left < 0:
            return -1
        word = share * (self.cost(*self.whole, 1) - self.cost(*self.whole, 0))
        return int(left / word) if word > 0 else UNBOUNDED

    def affords(self, size: Sequence[int], words: float = 0) -> bool:
        """Whether a forward pass over a view, with so many words of it read, can be afforded."""
        return self.words(size) >= words

    def after(self, result: SpottingResult) -> Self:
        """The same cap, part of which is spent."""
        return replace(self, first=result)

    def lower(self, wanted: OperatingPoint, cheaper: Sequence[OperatingPoint] = ()) -> OperatingPoint:
        """The wanted operating point, or the most costly of the cheaper ones that can be afforded.

        Args:
            wanted: how the image is to be read.
            cheaper: what may be taken in its place; none, and the wanted one is all there is.

        Raises:
            ConfigError: nothing can be afforded.
        """
        if self._fits(wanted, RESERVED if cheaper else 0):
            return wanted
        lower = sorted((point for point in cheaper if point.scale < wanted.scale), key=lambda point: point.scale)
        for words in (RESERVED, 0):
            if fitting := [point for point in lower if self._fits(point, words)]:
                return fitting[-1]
        if self._fits(wanted, 0):
            return wanted
        least = min([wanted.scale, *(point.scale for point in lower)])
        share = (self.deciding + self.cost(*scaled_size(*self.whole, least), 0)) / self.cost(*self.whole, 0)
        remedy = "give more" if cheaper else "give more, or a lower scale="
        raise ConfigError(
            f"max_cost={self.max_cost:g} cannot be met: an image of {self.whole[1]} x {self.whole[0]} pixels takes "
            f"{share:.4g} at scale {least:g}; {remedy}"
        )

    def _fits(self, point: OperatingPoint, words: int) -> bool:
        return self.affords(scaled_size(*self.whole, point.scale), words)
