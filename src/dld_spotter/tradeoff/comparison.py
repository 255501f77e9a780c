"""What choosing the scale is worth: a selector's choices beside every baseline at equal cost."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dld_spotter.core.arrays import Floats
from dld_spotter.core.bootstrap import Estimate, resample
from dld_spotter.tradeoff.measures import Measures, estimate
from dld_spotter.tradeoff.outcomes import Outcomes
from dld_spotter.tradeoff.statistics import gap_closed, versus_mix, versus_static

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Comparison:
    """One cost weight of a dynamic model beside its baselines; differences in Hmean at the same mean cost.

    Args:
        gamma: the cost weight.
        relative_cost: mean cost per image, the selector included.
        hmean: its Hmean.
        share_of_teacher: Hmean over that of the vanilla teacher at scale 1.0.
        over_vanilla: minus the vanilla teacher's static curve.
        over_static: minus the same model's static curve.
        over_mix: minus the random policy over the same model's scales.
        gap_closed: share of the way from the random policy to the oracle.
    """

    gamma: float
    relative_cost: float
    hmean: float
    share_of_teacher: Estimate
    over_vanilla: Estimate
    over_static: Estimate
    over_mix: Estimate
    gap_closed: Estimate


def compare(
    vanilla: Outcomes, outcomes: Outcomes, dynamic: Mapping[float, Measures], resamples: int = 1000
) -> list[Comparison]:
    """Hold a dynamic model against its baselines on the same images.

    Args:
        vanilla: table of the teacher.
        outcomes: table of the dynamic model.
        dynamic: cost weight -> its measures ``(N,)`` of these images.
        resamples: bootstrap resamples.
    """
    drawn = resample(len(outcomes.names), resamples)
    full = vanilla.measures[:, vanilla.scales.index(1.0)]
    rows = []
    for gamma, measures in dynamic.items():
        mean = measures.mean()
        rows.append(
            Comparison(
                gamma=gamma,
                relative_cost=float(mean.relative_cost),
                hmean=float(mean.hmean),
                share_of_teacher=estimate(_share, measures, full, resamples=drawn),
                over_vanilla=versus_static(measures, vanilla, drawn),
                over_static=versus_static(measures, outcomes, drawn),
                over_mix=versus_mix(measures, outcomes, drawn),
                gap_closed=gap_closed(measures, outcomes, drawn),
            )
        )
    return rows


def _share(own: Measures, full: Measures) -> Floats:
    """Hmean as a share of another's."""
    return own.hmean / np.maximum(full.hmean, 1e-9)


def comparison_table(rows: Iterable[Comparison]) -> "Table":
    """Lay comparisons out for a terminal; differences in points of Hmean, with 95 % intervals over images below."""
    from rich.box import SIMPLE_HEAD  # here, as an exported spotter reads without rich
    from rich.table import Table

    result = Table(title="Dynamic student at equal cost", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("gamma", "cost", "Hmean", "of teacher", "vs vanilla", "vs random", "gap closed"):
        result.add_column(column, justify="right")
    for row in rows:
        result.add_row(
            f"{row.gamma:g}",
            f"{row.relative_cost:.3f}",
            f"{100 * row.hmean:.1f}",
            f"{row.share_of_teacher.value:.3f}",
            *(_points(estimate) for estimate in (row.over_vanilla, row.over_mix)),
            "-" if np.isnan(row.gap_closed.value) else f"{100 * row.gap_closed.value:.0f} %",
        )
    return result


def _points(found: Estimate) -> str:
    if np.isnan(found.value):
        return "-"
    return f"{100 * found.value:+.1f}\n{100 * found.low:+.1f}..{100 * found.high:+.1f}"
