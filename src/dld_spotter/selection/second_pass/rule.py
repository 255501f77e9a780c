"""When and where to look again: whatever brings most beyond its price."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, NamedTuple, Self

import numpy as np

from dld_spotter.budget.cap import CostCap
from dld_spotter.core.errors import CheckpointError, ConfigError
from dld_spotter.core.words import Cost
from dld_spotter.data.photos import scaled_size
from dld_spotter.selection.second_pass.gains import Gains
from dld_spotter.selection.second_pass.mosaic import mosaic_size
from dld_spotter.selection.second_pass.regions import Region

LEGIBLE = 12.0
"""Pixels of the first view; how it was chosen: experiments/17_second_pass."""
AT_ONCE = 0.45
"""Scale of a first look from which on nothing waits: what is found there can mostly be read, and how surely it is read tells
better where a closer look helps."""
LEAST_PRICE = 1e-9
"""Of two second looks that bring as much, the smaller one is better at any price."""


@dataclass(frozen=True)
class SecondPassRule:
    """When and where to look again.

    Args:
        threshold: text probability of the first look from which on a place may hold words; below the detector's own, so
            that it proposes more than it reports.
        price: words that a second look must be expected to bring per cost of the whole image at full resolution, without its
            words; infinite, and none is worth it.
        context: pixels of the reference that are shown around a place.
        readable: height in pixels of a first view below ``AT_ONCE`` from which on words are read there at once; lower ones are
            read there only if they are not looked at again, so that most words are read once. None for that with which the
            gains were learned, or ``LEGIBLE``.
        gains: what to expect of it.
    """

    threshold: float = 0.15
    price: float = 2.0
    context: int = 12
    readable: float | None = None
    gains: Gains = field(default_factory=Gains)

    def __post_init__(self) -> None:
        whole = isinstance(self.context, int) and self.context >= 0
        if not (0 < self.threshold < 1 and self.price >= 0 and whole and self.height >= 0):
            raise ConfigError(
                "escalation needs 0 < threshold < 1, price and legible of at least 0, and a context of whole pixels, found "
                f"{self}"
            )

    @property
    def height(self) -> float:
        """What ``readable`` comes to."""
        return LEGIBLE if self.readable is None else self.readable

    def read_from(self, scale: float) -> float:
        """Height in pixels of a first view at a scale from which on words are read at once."""
        return 0.0 if scale >= AT_ONCE else self.height

    def taught_by(self, known: Self) -> Self:
        """This rule with the gains that ``known`` has learned, where it has none of its own."""
        if self.gains != Gains():
            return self
        return replace(self, gains=known.gains, readable=known.height if self.readable is None else self.readable)

    def plain(self) -> dict[str, Any]:
        """Plain values, as JSON and checkpoints hold them."""
        rule = {"threshold": self.threshold, "price": self.price, "context": self.context, "legible": self.height}
        return rule | {"gains": self.gains.plain()}

    @classmethod
    def read(cls, values: Any, origin: str) -> Self:
        """Read what :meth:`plain` gave; raises CheckpointError naming ``origin`` if it is something else."""
        try:
            return cls(**values | {"gains": Gains.of_plain(values["gains"])})
        except (KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
            raise CheckpointError(
                f"{origin} holds a damaged or older rule of escalation ({error}); run fit_ladder again"
            ) from error


class Again(NamedTuple):
    """A second look.

    Args:
        scale: of the reference.
        regions: that are cut out for a sheet; None for the whole image.
    """

    scale: float
    regions: list[Region] | None = None


def choose(
    found: Sequence[Region],
    scale: float,
    whole: Sequence[int],
    rule: SecondPassRule,
    price: float,
    cost: Cost,
    limit: CostCap | None = None,
) -> Again | None:
    """What to look at again after a first look at ``scale``, and how closely: whatever brings most beyond its price.

    Args:
        found: where words may be.
        scale: of the first look.
        whole: height and width of the reference.
        rule: says what to expect.
        price: expected words per cost of the whole reference.
        cost: of a view.
        limit: what the image may cost at most.

    Returns:
        what brings most of what can be afforded, or None where nothing is worth its price.
    """
    if not found:
        return None
    price = max(price, LEAST_PRICE) / cost(*whole, 0)
    pixel = price * (cost(*whole, 0) / prod(whole))
    word = price * (cost(*whole, 1) - cost(*whole, 0))
    best, most = None, 0.0
    waiting = sum(region.waiting for region in found)
    for second, gains in rule.gains.of(scale, np.stack([region.evidence for region in found])).items():
        worth = [
            (region, gain)
            for region, gain in zip(found, gains.tolist(), strict=True)
            if gain >= pixel * second**2 * region.area + word * region.more
        ]
        worth = worth if limit is None else _affordable(worth, second, limit, waiting)
        offers = [(Again(second), whole, found, float(gains.sum()))]
        if worth:
            cut = [region for region, _ in worth]
            offers.insert(0, (Again(second, cut), mosaic_size(cut), cut, sum(gain for _, gain in worth)))
        for again, sides, cut, gain in offers:
            size, more = scaled_size(*sides, second), sum(region.more for region in cut)
            affordable = limit is None or limit.affords(size, waiting + more)  # what waits is read here or there
            if (beyond := gain - price * cost(*size, more)) > most and affordable:
                best, most = again, beyond
    return best


def _affordable(worth: list[tuple[Region, float]], scale: float, limit: CostCap, waiting: float) -> list[tuple[Region, float]]:
    """Places of the highest gain per area that can be afforded at a scale; more of them on a sheet are taken to cost more.

    Enough stays for all that is ``waiting``.
    """
    ranked = sorted(worth, key=lambda offer: -offer[1] / offer[0].area)

    def too_dear(count: int) -> bool:
        cut = [region for region, _ in ranked[:count]]
        return not limit.affords(scaled_size(*mosaic_size(cut), scale), waiting + sum(region.more for region in cut))

    return ranked[: bisect_left(range(1, len(ranked) + 1), True, key=too_dear)]
