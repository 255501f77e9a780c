"""Ways to spend: which image is read at which scale.

An allocation is an ``(N, K)`` array of probabilities, each row summing to 1. The Hmean of an allocation is that of its
expected counts.
"""

import numpy as np

from dld_spotter.core.arrays import Floats, Indices
from dld_spotter.core.errors import ConfigError
from dld_spotter.tradeoff.measures import Measures
from dld_spotter.tradeoff.outcomes import Outcomes, spend

SLACK = 1 + 1e-9
"""Costs that were summed in another order may differ in the last digits."""
LEAST_GAP = 1e-6
"""Between two Hmeans; what is less is rounding, and nothing is told as a share of it."""


def static(outcomes: Outcomes, scale: float) -> Floats:
    """Read every image at one of the table's scales."""
    if scale not in outcomes.scales:
        raise ConfigError(f"scale={scale} was not measured; choose one of {', '.join(map(str, outcomes.scales))}")
    return chosen(outcomes, np.full(len(outcomes.names), outcomes.scales.index(scale)))


def chosen(outcomes: Outcomes, index: Indices) -> Floats:
    """Read image i at scale ``index[i]``; ``index`` is ``(N,)`` int."""
    return np.eye(len(outcomes.scales))[index]


def random_mix(outcomes: Outcomes, budget: float) -> Floats:
    """The random policy: every image's scale is drawn from the best distribution of mean relative cost at most ``budget``.

    It knows nothing of the single image, so a selector must beat it to be worth anything.
    """
    means = outcomes.measures.mean()
    _refuse_unreachable(budget, means.relative_cost.min())
    return np.tile(best_mix(means, np.asarray(budget)), (len(outcomes.names), 1))


def best_mix(means: Measures, cost: Floats) -> Floats:
    """The distribution over scales with the highest Hmean of expected counts at a mean cost of at most ``cost``.

    Maximising a ratio of linear functions under one linear constraint needs at most two scales, so all singles and
    all pairs are tried.

    Args:
        means: ``(..., K)`` mean measures of each scale.
        cost: ``(...)`` mean relative cost to spend.

    Returns:
        ``(..., K)`` probabilities; NaN where even the cheapest scale costs more.
    """
    scales = means.shape[-1]
    costs, cost = means.relative_cost, np.asarray(cost)[..., None]
    low, high = np.triu_indices(scales, 1)
    low, high = np.concatenate([low, high]), np.concatenate([high, low])
    gap = costs[..., high] - costs[..., low]
    spans = (costs[..., low] <= cost * SLACK) & (cost < costs[..., high])
    share = np.divide(cost - costs[..., low], gap, out=np.zeros_like(gap), where=spans).clip(0, 1)[..., None]
    corners = np.eye(scales)
    pairs = (1 - share) * corners[low] + share * corners[high]
    singles = np.broadcast_to(corners, (*costs.shape, scales))
    candidates = np.concatenate([singles, pairs], axis=-2)
    feasible = np.concatenate([costs <= cost * SLACK, spans], axis=-1)
    values = np.where(feasible, Measures(candidates @ means.values).hmean, -np.inf)
    best = np.take_along_axis(candidates, values.argmax(-1)[..., None, None], axis=-2).squeeze(-2)
    return np.where(feasible.any(-1, keepdims=True), best, np.nan)


def oracle(outcomes: Outcomes, budget: float) -> Floats:
    """The best allocation there is at a mean relative cost of at most ``budget``, knowing every outcome.

    Hmean is a ratio, so Dinkelbach's method maximises ``2 matched - h (predicted + true)`` and raises ``h`` to the Hmean
    reached until it stays; each iteration is a knapsack that a Lagrange multiplier on cost splits into one choice per image.
    The oracle is optimistic, since it chooses on the outcomes that it is scored on: its selection bias is measured by
    :func:`dld_spotter.tradeoff.oracle_bias.oracle_bias`.
    """
    costs = outcomes.relative_cost
    _refuse_unreachable(budget, costs.min(1).mean())
    allocation = chosen(outcomes, costs.argmin(1))
    reached = -1.0
    while (value := _hmean_of(outcomes, allocation)) > reached + 1e-12:
        reached = value
        gains = 2 * outcomes.matched - reached * (outcomes.predicted + outcomes.true)
        cheap, costly, share = _knapsack(-gains, costs, budget * SLACK)
        allocation = (1 - share) * chosen(outcomes, cheap) + share * chosen(outcomes, costly)
    return allocation


def _hmean_of(outcomes: Outcomes, allocation: Floats) -> float:
    return float(spend(outcomes, allocation).sum().hmean)


def decide(losses: Floats, costs: Floats, gamma: float) -> Indices:
    """Index ``(N,)`` of the scale with the least ``loss + gamma * cost``, both ``(N, K)``."""
    index: Indices = np.argmin(losses + gamma * costs, axis=1)
    return index


def allocate(losses: Floats, costs: Floats, budget: float) -> Indices:
    """Choose a scale for each image of a known set, so that the summed loss is least at a mean cost of at most ``budget``.

    Args:
        losses: ``(N, K)`` loss that is expected of each scale.
        costs: ``(N, K)`` cost of each scale, in the unit of the budget.
        budget: mean cost per image.

    Returns:
        ``(N,)`` index of the scale; at most one image could still have been read at a more costly one.

    Raises:
        ConfigError: even the cheapest scales cost more.
    """
    _refuse_unreachable(budget, costs.min(1).mean())
    cheap, costly, _ = _knapsack(losses, costs, budget * SLACK)
    rows = np.arange(len(costs))
    # Several images may change their scale at the same multiplier: as many of them as the budget allows do so.
    extra = costs[rows, costly] - costs[rows, cheap]
    room = budget * SLACK * len(costs) - costs[rows, cheap].sum()
    return np.where(extra.cumsum() <= room, costly, cheap)


def _knapsack(losses: Floats, costs: Floats, budget: float) -> tuple[Indices, Indices, float]:
    """Minimise the summed loss at a mean cost of at most ``budget`` by bisecting the Lagrange multiplier of cost.

    Returns:
        choices ``(N,)`` within the budget; those at a hardly lower multiplier, above it; the share of the latter that spends
        the budget.
    """

    def choose(multiplier: float) -> tuple[Indices, float]:
        index = decide(losses, costs, multiplier)
        return index, float(np.take_along_axis(costs, index[:, None], 1).mean())

    costly, spent = choose(0.0)
    if spent <= budget:
        return costly, costly, 0.0
    too_low, high = 0.0, 1.0
    cheap, saved = choose(high)
    while saved > budget:
        high *= 2
        cheap, saved = choose(high)
    for _ in range(60):
        middle = (too_low + high) / 2
        index, cost = choose(middle)
        if cost > budget:
            too_low, costly, spent = middle, index, cost
        else:
            high, cheap, saved = middle, index, cost
    return cheap, costly, float(np.clip((budget - saved) / (spent - saved), 0, 1))


def _refuse_unreachable(budget: float, cheapest: float) -> None:
    if budget * SLACK < cheapest:
        raise ConfigError(f"budget={budget:g} cannot be met; the cheapest choice costs {cheapest:.4g} on average")
