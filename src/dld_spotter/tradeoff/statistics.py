"""Curves, areas and differences, with paired bootstrap intervals over images."""

from collections.abc import Callable
from math import nan

import numpy as np

from dld_spotter.core.arrays import Floats, Indices
from dld_spotter.core.bootstrap import Estimate
from dld_spotter.tradeoff.allocation import LEAST_GAP, SLACK, best_mix, oracle
from dld_spotter.tradeoff.measures import Measures, estimate
from dld_spotter.tradeoff.outcomes import Outcomes, spend

GRID = 256


def difference(first: Measures, second: Measures, resamples: Floats) -> Estimate:
    """Hmean of one method minus another's, each with its measures ``(N,)`` of the same images."""
    return estimate(lambda a, b: a.hmean - b.hmean, first, second, resamples=resamples)


def versus_static(method: Measures, baseline: Outcomes, resamples: Floats) -> Estimate:
    """Hmean of a method ``(N,)`` minus the baseline's static curve at the same mean cost; NaN where that is lower than any."""

    def over(own: Measures, static: Measures) -> Floats:
        return own.hmean - hmean_at_cost(static.relative_cost, static.hmean, own.relative_cost)

    return estimate(over, method, baseline.measures, resamples=resamples)


def versus_mix(method: Measures, baseline: Outcomes, resamples: Floats) -> Estimate:
    """Hmean of a method ``(N,)`` minus the random policy over the baseline's scales at the same mean cost; NaN as above."""
    return estimate(lambda own, static: own.hmean - _mix_hmean(static, own), method, baseline.measures, resamples=resamples)


def gap_closed(method: Measures, outcomes: Outcomes, resamples: Floats) -> Estimate:
    """Share of the way from the random policy to the oracle that a method ``(N,)`` goes, at the same mean cost.

    The oracle's allocation is found once, on all images, and kept in the resamples. NaN where there is no gap, or where the
    method costs less than any choice of scales.
    """
    cost = float(method.mean().relative_cost)
    if cost * SLACK < outcomes.relative_cost.min(1).mean():
        return Estimate(nan, nan, nan)
    best = spend(outcomes, oracle(outcomes, cost))

    def share(own: Measures, static: Measures, top: Measures) -> Floats:
        mixed = _mix_hmean(static, own)
        gap = top.hmean - mixed
        return np.divide(own.hmean - mixed, gap, out=np.full_like(gap, np.nan), where=gap > LEAST_GAP)

    return estimate(share, method, outcomes.measures, best, resamples=resamples)


def _mix_hmean(static: Measures, own: Measures) -> Floats:
    """Hmean of the random policy over scales ``(R, K)`` at each method's cost ``(R,)``."""
    return static.mixed(best_mix(static, own.relative_cost)).hmean


def hmean_at_cost(costs: Floats, hmeans: Floats, cost: Floats | float) -> Floats:
    """Height of a curve of points at a cost.

    A point serves every higher cost as well, so the curve never falls; between points it is straight over the logarithm
    of the cost, as it is drawn, and it stays level after the last one.

    Args:
        costs: ``(..., K)`` relative costs, in any order.
        hmeans: ``(..., K)``.
        cost: ``(...)``.

    Returns:
        ``(...)``, NaN where the cost is below every point's.
    """
    costs, best = _rising(costs, hmeans)
    cost = np.asarray(cost)
    left = (costs <= cost[..., None] * SLACK).sum(-1) - 1
    right = np.minimum(left + 1, costs.shape[-1] - 1)
    low, high = _pick(costs, left.clip(0)), _pick(costs, right)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(high > low, np.log(cost / low) / np.log(high / low), 0).clip(0, 1)
    value = (1 - share) * _pick(best, left.clip(0)) + share * _pick(best, right)
    return np.where(left >= 0, value, np.nan)


def cost_at_hmean(costs: Floats, hmeans: Floats, target: float) -> Floats:
    """The least cost at which curves of :func:`hmean_at_cost`, ``(..., K)``, reach ``target``; NaN where they never do."""
    costs, best = _rising(costs, hmeans)
    reached = best >= target
    right = reached.argmax(-1)
    left = np.maximum(right - 1, 0)
    rise = _pick(best, right) - _pick(best, left)
    share = np.divide(target - _pick(best, left), rise, out=np.ones_like(rise), where=rise > 0).clip(0, 1)
    cost = _pick(costs, left) * (_pick(costs, right) / _pick(costs, left)) ** share
    return np.where(reached.any(-1), cost, np.nan)


def area_over_log_cost(costs: Floats, hmeans: Floats, low: float, high: float) -> Floats:
    """Mean height of curves ``(..., K)`` over the logarithm of cost from ``low`` to ``high``; NaN where one starts later."""
    heights = [hmean_at_cost(costs, hmeans, np.full(np.shape(costs)[:-1], cost)) for cost in np.geomspace(low, high, GRID)]
    return np.asarray(np.trapezoid(heights, dx=1 / (GRID - 1), axis=0))


def on_curves(
    statistic: Callable[[Floats, Floats], Floats],
    curve: Measures,
    other: Measures | None = None,
    *,
    resamples: Floats,
) -> Estimate:
    """Estimate a statistic of a curve, or by how much it exceeds that of another curve on the same images.

    Args:
        statistic: of costs and Hmeans ``(R, K)``, such as ``partial(area_over_log_cost, low=0.15, high=0.6)``.
        curve: ``(N, K)`` measures of each image at K settings, such as those of a table.
        other: ``(N, L)`` of the other one.
        resamples: ``(R, N)`` of :func:`dld_spotter.core.bootstrap.resample`.
    """

    def value(means: Measures) -> Floats:
        return statistic(means.relative_cost, means.hmean)

    if other is None:
        return estimate(value, curve, resamples=resamples)
    return estimate(lambda own, its: value(own) - value(its), curve, other, resamples=resamples)


def pareto_front(costs: Floats, hmeans: Floats) -> Indices:
    """Indices, by rising cost, of the points that no other point beats in Hmean at no more cost."""
    order = np.lexsort((-np.asarray(hmeans), costs))
    best = np.maximum.accumulate(np.asarray(hmeans)[order])
    return order[np.diff(best, prepend=-np.inf) > 0]


def _rising(costs: Floats, hmeans: Floats) -> tuple[Floats, Floats]:
    """Points by rising cost, each with the best Hmean up to its cost."""
    order = np.argsort(costs, axis=-1)
    return np.take_along_axis(costs, order, -1), np.maximum.accumulate(np.take_along_axis(hmeans, order, -1), axis=-1)


def _pick(values: Floats, index: Indices) -> Floats:
    return np.take_along_axis(values, index[..., None], -1)[..., 0]
