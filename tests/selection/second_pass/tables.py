"""Rules that expect known gains, and a cost that is easily worked out."""

from dld_spotter.selection.second_pass.gains import Gains
from dld_spotter.selection.second_pass.rule import SecondPassRule


def area(height: int, width: int, words: float) -> float:
    """Cost of a view: its pixels; words are free."""
    return float(height * width)


def gained(words: float, between: float = 0.0, scale: float = 0.25) -> SecondPassRule:
    """A rule that expects so many words of every unread one at full resolution, and so many of a pass at 0.7."""
    tables = {second: ((0.0,) * 5, (0.0,) * 5, (found,) * 5, (found,) * 5) for second, found in ((0.7, between), (1.0, words))}
    return SecondPassRule(gains=Gains({scale: tables}))
