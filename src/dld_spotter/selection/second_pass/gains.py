"""What a second pass is expected to bring: a learned table by the height of words for each pair of scales."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite

import numpy as np

from dld_spotter.core.errors import ConfigError
from dld_spotter.core.records import Record

HEIGHTS = (8.0, 12.0, 18.0, 30.0)
"""Heights that part words into bins, pixels of the first view."""
READ, LACKING, FOUND, UNREAD = range(4)
"""Kinds of evidence: words read, what their scores lack to 1, words found that wait to be read, words other text may hold."""
SHAPE = (4, len(HEIGHTS) + 1)
UNTAUGHT = tuple((gain,) * SHAPE[1] for gain in (0.0, 1.0, 0.5, 1.0))
"""A second pass at full resolution reads rightly what was not read surely, what was not found, and half of what waits, which
would not be read rightly anyway."""
APART, FAR = 1.1, 2.4
"""A second pass is at full resolution, if the first was not within the first factor of that, or at a scale that is at least the
second factor larger: scales between bring nothing that their cost would not buy elsewhere (experiments/17_second_pass)."""

Table = tuple[tuple[float, ...], ...]
Tables = Mapping[float, Mapping[float, Table]]


def height_bin(height: float) -> int:
    """Bin of a word that is so many pixels of the first view high."""
    return int(np.searchsorted(HEIGHTS, height))


def second_scales(first: float, scales: Iterable[float]) -> list[float]:
    """Scales of second passes after a first one."""
    return [scale for scale in scales if scale >= FAR * first or scale == 1 > APART * first]


@dataclass(frozen=True)
class Gains(Record):
    """Words that a second pass brings.

    Args:
        tables: scale of the first pass -> scale of the second -> words that this brings for a unit of evidence of each kind and
            height ``(4, 5)``, none below 0.
    """

    tables: Tables = field(default_factory=lambda: {0.5: {1.0: UNTAUGHT}})

    def __post_init__(self) -> None:
        sound = bool(self.tables) and all(
            second and all(first < scale <= 1 for scale in second) for first, second in self.tables.items()
        )
        tables = [table for second in self.tables.values() for table in second.values()]
        sound = sound and all([len(row) for row in table] == [SHAPE[1]] * SHAPE[0] for table in tables)
        if not (sound and all(isfinite(number) and number >= 0 for table in tables for row in table for number in row)):
            raise ConfigError(
                f"gains need a table of {SHAPE[0]} x {SHAPE[1]} numbers, none below 0, for each first and larger second scale"
            )

    def of(self, scale: float, evidence: np.ndarray) -> dict[float, np.ndarray]:
        """Words ``(P,)`` that a pass at each larger scale is expected to bring to regions with ``evidence`` ``(P, 4, 5)``."""
        known = self.tables[min(self.tables, key=lambda first: abs(first - scale))]
        return {second: np.tensordot(evidence, np.array(known[second]), 2) for second in second_scales(scale, known)}
