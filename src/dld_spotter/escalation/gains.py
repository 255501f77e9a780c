"""What looking again is expected to bring: a table by the height of words, learned by looking at every place again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any, Self

import numpy as np

from dld_spotter.errors import ConfigError

HEIGHTS = (8.0, 12.0, 18.0, 30.0)
"""Heights that part words into bins, pixels of the first look."""
READ, LACKING, UNREAD = range(3)
"""Kinds of evidence: words that were read, what their scores lack to 1, words that text without a reading may hold."""
SHAPE = (3, len(HEIGHTS) + 1)
UNTAUGHT = ((0.0,) * SHAPE[1], (1.0,) * SHAPE[1], (1.0,) * SHAPE[1])
"""A look at full resolution reads rightly all that was not read, and what was not read surely."""
APART = 1.1
"""Scales nearer to each other than this factor see the same."""

Table = tuple[tuple[float, ...], ...]


def height_bin(height: float) -> int:
    """Bin of a word that is so many pixels of the first look high."""
    return int(np.searchsorted(HEIGHTS, height))


@dataclass(frozen=True)
class Gains:
    """Words that a second look brings.

    Args:
        tables: scale of the first look -> words that full resolution brings for a unit of evidence of each kind and height
            ``(3, 5)``, none below 0.
        shares: scale of the first look -> scale of a second one at the whole image -> what that brings of what full
            resolution does.
    """

    tables: Mapping[float, Table] = field(default_factory=lambda: {0.5: UNTAUGHT})
    shares: Mapping[float, Mapping[float, float]] = field(default_factory=lambda: {0.5: {1.0: 1.0}})

    def __post_init__(self) -> None:
        sound = bool(self.tables) and self.tables.keys() == self.shares.keys()
        sound = sound and all([len(row) for row in table] == [SHAPE[1]] * SHAPE[0] for table in self.tables.values())
        sound = sound and all(scale < second <= 1 for scale, row in self.shares.items() for second in row)
        numbers = [number for table in self.tables.values() for row in table for number in row]
        numbers += [share for row in self.shares.values() for share in row.values()]
        if not (sound and all(isfinite(number) and number >= 0 for number in numbers)):
            raise ConfigError(f"gains need a table {SHAPE} and shares, none below 0, for each scale; found {self}")

    def of(self, scale: float, evidence: np.ndarray) -> np.ndarray:
        """Words ``(P,)`` that full resolution is expected to bring to places with ``evidence`` ``(P, 3, 5)``."""
        return np.tensordot(evidence, np.array(self.tables[self._nearest(scale)]), 2)

    def whole(self, scale: float) -> dict[float, float]:
        """Scales well above ``scale`` for another look at the whole image, and the share of the gain that each brings."""
        return {second: share for second, share in self.shares[self._nearest(scale)].items() if second > APART * scale}

    def _nearest(self, scale: float) -> float:
        return min(self.tables, key=lambda known: abs(known - scale))

    def plain(self) -> dict[str, Any]:
        """Plain values, as JSON and checkpoints hold them."""
        values = asdict(self)
        return {
            "tables": {str(scale): [list(row) for row in table] for scale, table in values["tables"].items()},
            "shares": {str(scale): {str(k): v for k, v in row.items()} for scale, row in values["shares"].items()},
        }

    @classmethod
    def of_plain(cls, values: Mapping[str, Any]) -> Self:
        """What :meth:`plain` gave; raises TypeError, ValueError, AttributeError or ConfigError if it is something else."""
        tables = {float(scale): tuple(tuple(map(float, row)) for row in table) for scale, table in values["tables"].items()}
        shares = {float(scale): {float(k): float(v) for k, v in row.items()} for scale, row in values["shares"].items()}
        return cls(tables, shares)
