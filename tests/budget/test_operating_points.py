"""The steps between the cheapest and the best reading."""

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dld_spotter.budget.controller import BudgetController
from dld_spotter.budget.operating_points import OperatingPoint, OperatingPoints
from dld_spotter.core.errors import CheckpointError, DataError

STEPS = [OperatingPoint(0.3), OperatingPoint(0.3, 8.0), OperatingPoint(0.5), OperatingPoint(0.6, 4.0), OperatingPoint(1.0)]
LOSSES = np.array([-0.3, -0.5, -0.45, -0.6, -0.61])
COSTS = np.array([0.1, 0.2, 0.28, 0.45, 1.0])


def ladder() -> OperatingPoints:
    return OperatingPoints.on_hull(STEPS, LOSSES, COSTS, 7)


def test_a_step_that_a_mix_of_two_others_beats_is_left_out():
    found = ladder()
    assert found.scales == (0.3, 0.3, 0.6, 1.0)  # the look at 0.5 costs more than the second one at 0.3, and brings less
    assert found.prices == (inf, 8.0, 4.0, inf)
    assert found.costs == (0.1, 0.2, 0.45, 1.0)
    assert found.images == 7


def test_a_dearer_step_never_looks_first_at_a_lower_scale():
    steps = [OperatingPoint(0.4, 8.0), OperatingPoint(0.5, 4.0), OperatingPoint(0.4, 1.0), OperatingPoint(1.0)]
    found = OperatingPoints.on_hull(steps, np.array([-0.5, -0.7, -0.71, -0.72]), np.array([0.3, 0.4, 0.5, 1.0]), 7)
    assert (found.scales, found.prices) == ((0.4, 0.5, 1.0), (8.0, 4.0, inf))


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(0, 40)), min_size=1, max_size=12))
def test_steps_are_those_of_a_plain_search(ways):
    steps = [*(OperatingPoint(0.1 * scale, float(k)) for k, (scale, _, _) in enumerate(ways)), OperatingPoint(1.0)]
    losses, costs = np.array([*(-loss / 10 for _, _, loss in ways), -5.0]), np.array([*(cost / 10 for _, cost, _ in ways), 9.0])
    found = OperatingPoints.on_hull(steps, losses, costs, 7)
    assert list(found.scales) == sorted(found.scales)
    turns = -np.diff(found.losses) / np.diff(found.costs)
    assert (np.diff(turns) <= 1e-9).all()
    if len({scale for scale, _, _ in ways}) == 1:  # nothing is ruled out: whatever is best at a cost weight is there
        for gamma in np.geomspace(1e-3, 1e3, 60):
            best = (losses + gamma * costs).min()
            assert (np.array(found.losses) + gamma * np.array(found.costs)).min() == pytest.approx(best)


@given(st.floats(1e-3, 10))
def test_a_cost_weight_takes_the_step_of_least_loss_and_cost(gamma: float):
    value = LOSSES + gamma * COSTS
    assert ladder().at(gamma) in [STEPS[k] for k in np.flatnonzero(value <= value.min() + 1e-12)]


def test_between_two_steps_of_one_scale_the_price_moves_smoothly():
    steps = OperatingPoints((0.3, 0.3, 0.3, 0.5), (64.0, 16.0, 4.0, 4.0), (0.0, -0.4, -0.6, -0.61), (0.1, 0.2, 0.3, 0.4), 9)
    # It turns from one step to the next at cost weights of 4, 2 and 0.1; the second one is in its middle at sqrt(8).
    assert steps.at(np.sqrt(8)) == OperatingPoint(0.3, pytest.approx(16.0))
    below, above = steps.at(4 * (1 - 1e-9)), steps.at(4 * (1 + 1e-9))
    assert below.price == pytest.approx(above.price, rel=1e-6)
    assert 16 < below.price < 64
    prices = [steps.at(gamma).price for gamma in np.geomspace(0.11, 20, 40)]
    assert prices == sorted(prices)
    assert steps.at(100.0) == OperatingPoint(0.3, 64.0)
    assert steps.at(0.05) == OperatingPoint(0.5, 4.0)
    assert steps.at(0.0) == OperatingPoint(0.5, 4.0)
    even = OperatingPoints(
        (0.3,) * 4, (8.0, 4.0, 2.0, 1.0), (0.0, -1.0, -2.0, -3.0), (1.0, 2.0, 3.0, 4.0)
    )  # no step has a range
    assert {even.at(gamma).scale for gamma in (0.0, 0.5, 1.0, 2.0)} == {0.3}


def test_a_budget_between_two_steps_is_held_by_both():
    steps = ladder()
    spent = dict(zip(zip(steps.scales, steps.prices, strict=True), steps.costs, strict=True))
    for budget in (0.12, 0.15, 0.3, 0.5, 0.9):
        controller = BudgetController(steps.calibration, budget)
        for _ in range(200):
            step = steps.at(controller.gamma())
            controller.record(spent[step.scale, step.price])
        assert controller.mean == pytest.approx(budget, rel=0.03)


def test_full_resolution_is_the_last_step_even_where_it_brought_nothing():
    losses = LOSSES.copy()
    losses[-1] = -0.55
    steps = OperatingPoints.on_hull(STEPS, losses, COSTS, 7)
    assert (steps.scales[-1], steps.prices[-1], steps.costs[-1]) == (1.0, inf, 1.0)
    assert steps.at(0.01) == OperatingPoint(0.6, 4.0)  # which is as good, for less
    controller = BudgetController(steps.calibration, 1.0)
    spent = dict(zip(zip(steps.scales, steps.prices, strict=True), steps.costs, strict=True))
    for _ in range(100):
        step = steps.at(controller.gamma())
        controller.record(spent[step.scale, step.price])
    assert controller.mean == pytest.approx(1.0, rel=0.03)
    assert OperatingPoints.on_hull([OperatingPoint(1.0)], np.array([-0.5]), np.ones(1), 1).scales == (1.0,)


def test_plain_values_come_back_and_damage_is_named():
    values = ladder().plain()
    assert OperatingPoints.read(values, "here") == ladder()
    for wrong in ({"costs": [0.2, 0.1, 0.3, 1.0]}, {"prices": ["dear", 1, 1, 1]}, {"scales": [0.3]}):
        with pytest.raises(CheckpointError, match="here holds a damaged ladder"):
            OperatingPoints.read(values | wrong, "here")
    with pytest.raises(DataError, match="ascending cost"):
        OperatingPoints((1.0, 0.5), (inf, inf), (0.0, -1.0), (1.0, 0.5))
