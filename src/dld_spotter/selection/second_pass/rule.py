"""When and where to read again: whatever brings most beyond its cost."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import isfinite, prod
from typing import ClassVar, NamedTuple, Self

import numpy as np

from dld_spotter.budget.cap import CostCap
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.records import Record
from dld_spotter.core.words import Cost
from dld_spotter.data.photos import scaled_size
from dld_spotter.selection.second_pass.gains import Gains
from dld_spotter.selection.second_pass.mosaic import mosaic_size
from dld_spotter.selection.second_pass.regions import Region

MIN_HEIGHT = 12.0
"""Pixels of the first view; how it was chosen: experiments/17_second_pass."""
AT_ONCE = 0.45
"""Scale of a first pass from which on nothing waits: what is found there can mostly be read, and how surely it is read tells
better where a closer reading helps."""
LEAST_THRESHOLD = 1e-9
"""Of two second passes that bring as much, the smaller one is better at any gain threshold."""


@dataclass(frozen=True)
class SecondPassRule(Record):
    """When and where to read again.

    Args:
        threshold: text probability of the first pass from which on a region may hold words; below the detector's own, so
            that it proposes more than it reports.
        gain_threshold: words that a second pass must be expected to bring per cost of the whole image at full resolution,
            without its words; infinite for a single pass.
        context: pixels of the reference that are shown around a region.
        min_height: height in pixels of a first view below ``AT_ONCE`` from which on words are read there at once; lower ones
            are read there only if they are not read again, so that most words are read once. Infinite, and no word of any
            first view is read before it is known what is read again. None for that with which the gains were learned, or
            ``MIN_HEIGHT``.
        gains: what to expect of it.
    """

    remedy: ClassVar[str] = "run fit_operating_points again"

    threshold: float = 0.15
    gain_threshold: float = 2.0
    context: int = 12
    min_height: float | None = None
    gains: Gains = field(default_factory=Gains)

    def __post_init__(self) -> None:
        whole = isinstance(self.context, int) and self.context >= 0
        if not (0 < self.threshold < 1 and self.gain_threshold >= 0 and whole and self.height >= 0):
            raise ConfigError(
                "second_pass needs 0 < threshold < 1, gain_threshold and min_height of at least 0, and a context of whole "
                f"pixels, found {self}"
            )

    @property
    def height(self) -> float:
        """What ``min_height`` comes to."""
        return MIN_HEIGHT if self.min_height is None else self.min_height

    def read_from(self, scale: float) -> float:
        """Height in pixels of a first view at a scale from which on words are read at once."""
        return 0.0 if scale >= AT_ONCE and isfinite(self.height) else self.height

    def taught_by(self, known: Self) -> Self:
        """This rule with what ``known`` was fitted with, where it has nothing of its own: gains, and settings left as usual."""
        if self.gains != Gains():
            return self
        usual = SecondPassRule()
        kept = {name: getattr(known, name) for name in ("threshold", "context") if getattr(self, name) == getattr(usual, name)}
        height = known.height if self.min_height is None else self.min_height
        return replace(self, gains=known.gains, min_height=height, **kept)


class SecondPass(NamedTuple):
    """What is read again.

    Args:
        scale: of the reference.
        regions: that are cut out for a mosaic; None for the whole image.
    """

    scale: float
    regions: list[Region] | None = None


def choose(
    found: Sequence[Region],
    scale: float,
    whole: Sequence[int],
    rule: SecondPassRule,
    gain_threshold: float,
    cost: Cost,
    cap: CostCap | None = None,
) -> SecondPass | None:
    """What to read again after a first pass at ``scale``, and how closely: whatever brings most beyond the gain threshold.

    Args:
        found: where words may be.
        scale: of the first pass.
        whole: height and width of the reference.
        rule: says what to expect.
        gain_threshold: expected words per cost of the whole reference.
        cost: of a view.
        cap: what the image may cost at most.

    Returns:
        what brings most of what can be afforded, or None where nothing is worth its cost.
    """
    if not found:
        return None
    per_cost = max(gain_threshold, LEAST_THRESHOLD) / cost(*whole, 0)
    pixel = per_cost * (cost(*whole, 0) / prod(whole))
    word = per_cost * (cost(*whole, 1) - cost(*whole, 0))
    best, most = None, 0.0
    waiting = sum(region.waiting for region in found)
    for second, gains in rule.gains.of(scale, np.stack([region.evidence for region in found])).items():
        worth = [
            (region, gain)
            for region, gain in zip(found, gains.tolist(), strict=True)
            if gain >= pixel * second**2 * region.area + word * region.more
        ]
        worth = worth if cap is None else _affordable(worth, second, cap, waiting)
        offers = [(SecondPass(second), whole, found, float(gains.sum()))]
        if worth:
            cut = [region for region, _ in worth]
            offers.insert(0, (SecondPass(second, cut), mosaic_size(cut), cut, sum(gain for _, gain in worth)))
        for offer, sides, cut, gain in offers:
            size, more = scaled_size(*sides, second), sum(region.more for region in cut)
            affordable = cap is None or cap.affords(size, waiting + more)  # what waits is read here or there
            if (beyond := gain - per_cost * cost(*size, more)) > most and affordable:
                best, most = offer, beyond
    return best


def _affordable(worth: list[tuple[Region, float]], scale: float, cap: CostCap, waiting: float) -> list[tuple[Region, float]]:
    """Regions of the highest gain per area that can be afforded at a scale; more of them on a mosaic are taken to cost more.

    Enough stays for all that is ``waiting``.
    """
    ranked = sorted(worth, key=lambda offer: -offer[1] / offer[0].area)

    def too_costly(count: int) -> bool:
        cut = [region for region, _ in ranked[:count]]
        return not cap.affords(scaled_size(*mosaic_size(cut), scale), waiting + sum(region.more for region in cut))

    return ranked[: bisect_left(range(1, len(ranked) + 1), True, key=too_costly)]
