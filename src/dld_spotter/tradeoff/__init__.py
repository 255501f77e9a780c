"""What resolution buys: every point of the cost-accuracy trade-off from one table of outcomes."""

from dld_spotter.tradeoff.allocation import allocate, best_mix, chosen, decide, oracle, random_mix, static
from dld_spotter.tradeoff.comparison import Comparison, compare, comparison_tables
from dld_spotter.tradeoff.loading import load_points, point_rows
from dld_spotter.tradeoff.measures import MEASURES, Measures, estimate
from dld_spotter.tradeoff.oracle_bias import OracleBias, bias_over, bias_table, oracle_bias
from dld_spotter.tradeoff.outcomes import Outcomes, spend
from dld_spotter.tradeoff.points import Point, TradeOff, cost_grid, mix_points, oracle_points, static_points
from dld_spotter.tradeoff.report import plot, table
from dld_spotter.tradeoff.statistics import (
    area_over_log_cost,
    cost_at_hmean,
    difference,
    gap_closed,
    hmean_at_cost,
    on_curves,
    pareto_front,
    versus_mix,
    versus_static,
)

__all__ = [
    "MEASURES",
    "Comparison",
    "Measures",
    "OracleBias",
    "Outcomes",
    "Point",
    "TradeOff",
    "allocate",
    "area_over_log_cost",
    "best_mix",
    "bias_over",
    "bias_table",
    "chosen",
    "compare",
    "comparison_tables",
    "cost_at_hmean",
    "cost_grid",
    "decide",
    "difference",
    "estimate",
    "gap_closed",
    "hmean_at_cost",
    "load_points",
    "mix_points",
    "on_curves",
    "oracle",
    "oracle_bias",
    "oracle_points",
    "pareto_front",
    "plot",
    "point_rows",
    "random_mix",
    "spend",
    "static",
    "static_points",
    "table",
    "versus_mix",
    "versus_static",
]
