"""The operating points between the cheapest and the best reading."""

import json
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dld_spotter.budget.controller import BudgetController
from dld_spotter.budget.operating_points import OperatingPoint, OperatingPoints
from dld_spotter.core.errors import CheckpointError, DataError

POINTS = [OperatingPoint(0.3), OperatingPoint(0.3, 8.0), OperatingPoint(0.5), OperatingPoint(0.6, 4.0), OperatingPoint(1.0)]
LOSSES = np.array([-0.3, -0.5, -0.45, -0.6, -0.61])
COSTS = np.array([0.1, 0.2, 0.28, 0.45, 1.0])


def on_hull() -> OperatingPoints:
    return OperatingPoints.on_hull(POINTS, LOSSES, COSTS, 7)


def test_a_point_that_a_mix_of_two_others_beats_is_left_out():
    found = on_hull()
    assert found.scales == (0.3, 0.3, 0.6, 1.0)  # one pass at 0.5 costs more than two at 0.3, and brings less
    assert found.gain_thresholds == (inf, 8.0, 4.0, inf)
    assert found.costs == (0.1, 0.2, 0.45, 1.0)
    assert found.images == 7


def test_the_first_pass_of_a_more_costly_point_is_never_at_a_lower_scale():
    points = [OperatingPoint(0.4, 8.0), OperatingPoint(0.5, 4.0), OperatingPoint(0.4, 1.0), OperatingPoint(1.0)]
    found = OperatingPoints.on_hull(points, np.array([-0.5, -0.7, -0.71, -0.72]), np.array([0.3, 0.4, 0.5, 1.0]), 7)
    assert (found.scales, found.gain_thresholds) == ((0.4, 0.5, 1.0), (8.0, 4.0, inf))


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(0, 40)), min_size=1, max_size=12))
def test_points_are_those_of_a_plain_search(ways):
    points = [*(OperatingPoint(0.1 * scale, float(k)) for k, (scale, _, _) in enumerate(ways)), OperatingPoint(1.0)]
    losses, costs = np.array([*(-loss / 10 for _, _, loss in ways), -5.0]), np.array([*(cost / 10 for _, cost, _ in ways), 9.0])
    found = OperatingPoints.on_hull(points, losses, costs, 7)
    assert list(found.scales) == sorted(found.scales)
    turns = -np.diff(found.losses) / np.diff(found.costs)
    assert (np.diff(turns) <= 1e-9).all()
    if len({scale for scale, _, _ in ways}) == 1:  # nothing is ruled out: whatever is best at a cost weight is there
        for gamma in np.geomspace(1e-3, 1e3, 60):
            best = (losses + gamma * costs).min()
            assert (np.array(found.losses) + gamma * np.array(found.costs)).min() == pytest.approx(best)


@given(st.floats(1e-3, 10))
def test_a_cost_weight_takes_the_point_of_least_loss_and_cost(gamma: float):
    value = LOSSES + gamma * COSTS
    assert on_hull().at(gamma) in [POINTS[k] for k in np.flatnonzero(value <= value.min() + 1e-12)]


def test_between_two_points_of_one_scale_the_gain_threshold_moves_smoothly():
    points = OperatingPoints((0.3, 0.3, 0.3, 0.5), (64.0, 16.0, 4.0, 4.0), (0.0, -0.4, -0.6, -0.61), (0.1, 0.2, 0.3, 0.4), 9)
    # It turns from one point to the next at cost weights of 4, 2 and 0.1; the second one is in its middle at sqrt(8).
    assert points.at(np.sqrt(8)) == OperatingPoint(0.3, pytest.approx(16.0))
    below, above = points.at(4 * (1 - 1e-9)), points.at(4 * (1 + 1e-9))
    assert below.second_pass == pytest.approx(above.second_pass, rel=1e-6)
    assert 16 < below.second_pass < 64
    thresholds = [points.at(gamma).second_pass for gamma in np.geomspace(0.11, 20, 40)]
    assert thresholds == sorted(thresholds)
    assert points.at(100.0) == OperatingPoint(0.3, 64.0)
    assert points.at(0.05) == OperatingPoint(0.5, 4.0)
    assert points.at(0.0) == OperatingPoint(0.5, 4.0)
    even = OperatingPoints(
        (0.3,) * 4, (8.0, 4.0, 2.0, 1.0), (0.0, -1.0, -2.0, -3.0), (1.0, 2.0, 3.0, 4.0)
    )  # no point has a range
    assert {even.at(gamma).scale for gamma in (0.0, 0.5, 1.0, 2.0)} == {0.3}


def test_a_budget_between_two_points_is_held_by_both():
    points = on_hull()
    spent = dict(zip(zip(points.scales, points.gain_thresholds, strict=True), points.costs, strict=True))
    for budget in (0.12, 0.15, 0.3, 0.5, 0.9):
        controller = BudgetController(points.calibration, budget)
        for _ in range(200):
            point = points.at(controller.gamma())
            controller.record(spent[point.scale, point.second_pass])
        assert controller.mean == pytest.approx(budget, rel=0.03)


def test_full_resolution_is_the_last_point_even_where_it_brought_nothing():
    losses = LOSSES.copy()
    losses[-1] = -0.55
    points = OperatingPoints.on_hull(POINTS, losses, COSTS, 7)
    assert (points.scales[-1], points.gain_thresholds[-1], points.costs[-1]) == (1.0, inf, 1.0)
    assert points.at(0.01) == OperatingPoint(0.6, 4.0)  # which is as good, for less
    controller = BudgetController(points.calibration, 1.0)
    spent = dict(zip(zip(points.scales, points.gain_thresholds, strict=True), points.costs, strict=True))
    for _ in range(100):
        point = points.at(controller.gamma())
        controller.record(spent[point.scale, point.second_pass])
    assert controller.mean == pytest.approx(1.0, rel=0.03)
    assert OperatingPoints.on_hull([OperatingPoint(1.0)], np.array([-0.5]), np.ones(1), 1).scales == (1.0,)


def test_plain_values_come_back_and_damage_is_named():
    values = on_hull().to_dict()
    assert OperatingPoints.from_dict(json.loads(json.dumps(values)), "here") == on_hull()
    for wrong in ({"costs": [0.2, 0.1, 0.3, 1.0]}, {"gain_thresholds": ["high", 1, 1, 1]}, {"scales": [0.3]}):
        with pytest.raises(CheckpointError, match=r"here holds a damaged or older OperatingPoints .*; run fit_"):
            OperatingPoints.from_dict(values | wrong, "here")
    with pytest.raises(DataError, match="ascending cost"):
        OperatingPoints((1.0, 0.5), (inf, inf), (0.0, -1.0), (1.0, 0.5))
