"""What choosing the scale is worth: a selector's choices beside every baseline at equal cost."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from dld_spotter.core.arrays import Floats
from dld_spotter.core.bootstrap import Estimate, resample
from dld_spotter.tradeoff.allocation import SLACK, oracle
from dld_spotter.tradeoff.measures import Measures, estimate
from dld_spotter.tradeoff.outcomes import Outcomes, spend
from dld_spotter.tradeoff.statistics import gap_closed, versus_mix, versus_static

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Comparison:
    """One cost weight of a dynamic model beside its baselines, all at the same mean cost.

    Args:
        gamma: the cost weight.
        relative_cost: mean cost per image, the selector included.
        hmean: its Hmean.
        vanilla: Hmean of the vanilla teacher's static curve there; NaN below its cheapest scale, as what follows.
        control: that of the same training without distillation; None where there is no control.
        best_static: that of the model's own static curve.
        random: that of the random policy over the model's scales.
        oracle: that of the best scale per image, known afterwards.
        share_of_teacher: Hmean over that of the vanilla teacher at scale 1.0.
        over_vanilla: minus the vanilla teacher's static curve.
        over_control: minus the control's static curve; None where there is no control.
        over_static: minus the same model's static curve.
        over_mix: minus the random policy over the same model's scales.
        gap_closed: share of the way from the random policy to the oracle.
    """

    gamma: float
    relative_cost: float
    hmean: float
    vanilla: float
    control: float | None
    best_static: float
    random: float
    oracle: float
    share_of_teacher: Estimate
    over_vanilla: Estimate
    over_control: Estimate | None
    over_static: Estimate
    over_mix: Estimate
    gap_closed: Estimate


def compare(
    vanilla: Outcomes,
    outcomes: Outcomes,
    dynamic: Mapping[float, Measures],
    resamples: int = 1000,
    control: Outcomes | None = None,
) -> list[Comparison]:
    """Hold a dynamic model against its baselines on the same images.

    Args:
        vanilla: table of the teacher.
        outcomes: table of the dynamic model.
        dynamic: cost weight -> its measures ``(N,)`` of these images.
        resamples: bootstrap resamples.
        control: table of the same training without distillation, where there is one.
    """
    drawn = resample(len(outcomes.names), resamples)
    full = vanilla.measures[:, vanilla.scales.index(1.0)]
    return [_compared(gamma, measures, vanilla, outcomes, control, full, drawn) for gamma, measures in dynamic.items()]


def _compared(
    gamma: float,
    measures: Measures,
    vanilla: Outcomes,
    outcomes: Outcomes,
    control: Outcomes | None,
    full: Measures,
    drawn: Floats,
) -> Comparison:
    """One cost weight; Hmeans of baselines are the model's own less the differences."""
    mean = measures.mean()
    own, cost = float(mean.hmean), float(mean.relative_cost)
    over = {name: versus_static(measures, table, drawn) for name, table in (("vanilla", vanilla), ("static", outcomes))}
    over_control = None if control is None else versus_static(measures, control, drawn)
    over_mix = versus_mix(measures, outcomes, drawn)
    met = cost * SLACK >= outcomes.relative_cost.min(1).mean()
    return Comparison(
        gamma=gamma,
        relative_cost=cost,
        hmean=own,
        vanilla=own - over["vanilla"].value,
        control=None if over_control is None else own - over_control.value,
        best_static=own - over["static"].value,
        random=own - over_mix.value,
        oracle=float(spend(outcomes, oracle(outcomes, cost)).mean().hmean) if met else nan,
        share_of_teacher=estimate(_share, measures, full, resamples=drawn),
        over_vanilla=over["vanilla"],
        over_control=over_control,
        over_static=over["static"],
        over_mix=over_mix,
        gap_closed=gap_closed(measures, outcomes, drawn),
    )


def _share(own: Measures, full: Measures) -> Floats:
    """Hmean as a share of another's."""
    return own.hmean / np.maximum(full.hmean, 1e-9)


def comparison_tables(rows: Sequence[Comparison]) -> "tuple[Table, Table]":
    """Lay comparisons out for a terminal: Hmeans at equal cost, and differences with 95 % intervals over images below.

    ``static`` is the best of the model's fixed scales; ``of teacher`` over what the teacher reads at full resolution.
    """
    controlled = any(row.control is not None for row in rows)
    names = ("vanilla", *(("control",) if controlled else ()), "static", "random", "dynamic", "oracle", "of teacher")
    levels = _table("Hmean (%) of each method at the same cost", ("gamma", "cost", *names))
    above = ("vs vanilla", *(("vs control",) if controlled else ()), "vs random", "gap closed")
    differences = _table("Dynamic student at equal cost", ("gamma", "cost", *above))
    for row in rows:
        head = (f"{row.gamma:g}", f"{row.relative_cost:.3f}")
        static = (row.vanilla, *((row.control,) if controlled else ()), row.best_static, row.random, row.hmean, row.oracle)
        values = ("-" if value is None or np.isnan(value) else f"{100 * value:.1f}" for value in static)
        levels.add_row(*head, *values, f"{row.share_of_teacher.value:.3f}")
        found = (row.over_vanilla, *((row.over_control,) if controlled else ()), row.over_mix)
        closed = "-" if np.isnan(row.gap_closed.value) else f"{100 * row.gap_closed.value:.0f} %"
        differences.add_row(*head, *map(_points, found), closed)
    return levels, differences


def _table(title: str, columns: Iterable[str]) -> "Table":
    from rich.box import SIMPLE_HEAD  # here, as an exported spotter reads without rich
    from rich.table import Table

    result = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in columns:
        result.add_column(column, justify="right")
    return result


def _points(found: Estimate | None) -> str:
    if found is None or np.isnan(found.value):
        return "-"
    return f"{100 * found.value:+.1f}\n{100 * found.low:+.1f}..{100 * found.high:+.1f}"
