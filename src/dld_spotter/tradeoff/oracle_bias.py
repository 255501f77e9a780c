"""Selection bias of the oracle: what it gains by choosing on the very outcomes that it is scored on."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dld_spotter.core.arrays import Floats
from dld_spotter.core.bootstrap import Estimate
from dld_spotter.core.errors import DataError
from dld_spotter.tradeoff.allocation import LEAST_GAP, oracle, random_mix
from dld_spotter.tradeoff.measures import Measures, estimate
from dld_spotter.tradeoff.outcomes import Outcomes, spend

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class OracleBias:
    """The oracle of one budget on two tables of the same images, which differ by noise alone.

    Args:
        budget: mean relative cost that is allowed.
        hmean: of the oracle, chosen and scored on the same table.
        again: of the same choices, scored on the other table.
        bias: the former minus the latter, with its interval over images.
        share: of the way from the random policy to the oracle that is bias; NaN where there is none.
    """

    budget: float
    hmean: float
    again: float
    bias: Estimate
    share: float


def oracle_bias(first: Outcomes, second: Outcomes, budget: float, resamples: Floats) -> OracleBias:
    """Choose on one table and score on the other, both ways round; that one reading is harder cancels.

    Args:
        first: outcomes of the images.
        second: outcomes of the same images, read again with input moved by less than matters.
        budget: mean relative cost that is allowed.
        resamples: ``(R, N)`` of :func:`dld_spotter.core.bootstrap.resample`.

    Raises:
        DataError: the tables are not of the same images and scales.
        ConfigError: the budget cannot be met.
    """
    if (first.names, first.scales) != (second.names, second.scales):
        raise DataError("the oracle's selection bias needs two tables of the same images in the same order at the same scales")
    tables = (first, second)
    best = [oracle(table, budget) for table in tables]
    own = [spend(table, choice) for table, choice in zip(tables, best, strict=True)]
    crossed = [spend(table, choice) for table, choice in zip(tables, reversed(best), strict=True)]

    def bias(*means: Measures) -> Floats:
        first_own, second_own, first_crossed, second_crossed = (mean.hmean for mean in means)
        return (first_own + second_own - first_crossed - second_crossed) / 2

    found = estimate(bias, *own, *crossed, resamples=resamples)
    reached, again, mixed = (
        float(np.mean([measures.mean().hmean for measures in each]))
        for each in (own, crossed, [spend(table, random_mix(table, budget)) for table in tables])
    )
    gap = reached - mixed
    return OracleBias(float(budget), reached, again, found, found.value / gap if gap > LEAST_GAP else float("nan"))


def bias_over(first: Outcomes, second: Outcomes, budgets: Iterable[float], resamples: Floats) -> list[OracleBias]:
    """The selection bias at each budget that both tables can meet."""
    least = max(table.relative_cost.mean(0).min() for table in (first, second))
    return [oracle_bias(first, second, budget, resamples) for budget in budgets if budget >= least]


def bias_table(rows: Iterable[OracleBias]) -> "Table":
    """Lay the selection bias out for a terminal, in points of Hmean."""
    from rich.box import SIMPLE_HEAD  # here, as an exported spotter reads without rich
    from rich.table import Table

    result = Table(title="Selection bias of the oracle", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("budget", "oracle", "on the other table", "bias", "95 %", "of its gain"):
        result.add_column(column, justify="right")
    for row in rows:
        result.add_row(
            f"{row.budget:.3g}",
            f"{100 * row.hmean:.1f}",
            f"{100 * row.again:.1f}",
            f"{100 * row.bias.value:+.1f}",
            f"{100 * row.bias.low:+.1f}..{100 * row.bias.high:+.1f}",
            "-" if np.isnan(row.share) else f"{100 * row.share:.0f} %",
        )
    return result
