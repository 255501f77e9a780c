"""Budgets in milliseconds over a stream, on a clock that is known."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from math import inf

import numpy as np
import pytest

from dld_spotter.budget.calibration import Calibration
from dld_spotter.budget.candidates import TimedPoints
from dld_spotter.budget.latency import Line
from dld_spotter.budget.operating_points import OperatingPoint
from dld_spotter.budget.pass_latency import PassLatency
from dld_spotter.budget.requests import COLD, BudgetTracker
from dld_spotter.core.errors import ConfigError
from tests.budget.test_candidates import CANDIDATES, FREE_PASSES, SLOW_PASSES

CALIBRATION = CANDIDATES.best().calibration
SCALES = CANDIDATES.scales


def seconds_of(point: OperatingPoint, full: float, latency: PassLatency) -> float:
    """Seconds that reading takes at one of the candidates."""
    return CANDIDATES.seconds(latency, full)[CANDIDATES.points.index(point)]


def stream(tracker: BudgetTracker, images: int, latency: PassLatency, full: Callable[[int], float], slow: float = 1.0):
    """Read images of a process that has just begun, in which the first readings take ``slow`` times as long."""
    points, spent = [], []
    for number in range(images):
        gamma = tracker.gamma(full(number))
        points.append(tracker.point(gamma) or CANDIDATES.best().at(gamma))
        spent.append(seconds_of(points[-1], full(number), latency) * (slow if number < COLD else 1.0))
        tracker.record(0.1, 1.0, spent[-1], cold=number < COLD)
    return points, np.array(spent)


def timed_tracker(amount: float, latency: PassLatency = SLOW_PASSES) -> BudgetTracker:
    return BudgetTracker("budget_ms", amount, CALIBRATION, timed=TimedPoints(CANDIDATES, latency))


@pytest.mark.parametrize("slow", [1.0, 20.0])
@pytest.mark.parametrize("amount", [25, 30, 60, 100])
def test_a_slow_start_is_no_measure_of_what_follows(amount, slow):
    tracker = timed_tracker(amount)
    points, spent = stream(tracker, 200, SLOW_PASSES, lambda _: 10.0, slow)
    assert 1000 * spent[COLD:].mean() == pytest.approx(amount, rel=0.03)
    assert {point.scale for point in points[COLD : COLD + 8]} != {0.3}  # not the cheapest alone, which would pay the start back
    assert tracker.images == 200
    assert tracker.mean == pytest.approx(1000 * spent.mean(), abs=0.01)  # what is told is what was spent


def test_the_first_photos_take_what_was_asked_for():
    """Where the budget is what a point takes, its photos are read at that from the first one on."""
    points, spent = stream(timed_tracker(35), 6, SLOW_PASSES, lambda _: 10.0)
    assert points == [OperatingPoint(0.5)] * 6
    assert 1000 * spent.mean() == pytest.approx(35)
    points, spent = stream(timed_tracker(30, FREE_PASSES), 6, FREE_PASSES, lambda _: 10.0)
    assert [point.scale for point in points] == [0.3] * 6
    assert 1000 * spent.mean() == pytest.approx(30, rel=0.1)
    # By the line alone, which knows no second pass, the first ones take much longer than they may.
    line = BudgetTracker("budget_ms", 30, CALIBRATION, Line(SLOW_PASSES.fixed, SLOW_PASSES.per_gflop))
    assert 1000 * stream(line, 6, SLOW_PASSES, lambda _: 10.0)[1][:3].mean() > 40


def test_images_of_several_sizes():
    sizes = [5.0, 10.0, 20.0, 10.0]
    tracker = timed_tracker(60)
    points, spent = stream(tracker, 400, SLOW_PASSES, lambda number: sizes[number % 4])
    assert 1000 * spent[COLD:].mean() == pytest.approx(60, rel=0.05)
    by_size = [{point.scale for point in points[number::4]} for number in range(4)]
    assert all(scales <= set(SCALES) for scales in by_size)


def test_pieces_of_an_image_have_a_pass_each():
    whole, tiled = timed_tracker(60), timed_tracker(60)
    assert whole.gamma(20.0) != tiled.gamma(20.0, pieces=2)
    # Two tiles of 10 GFLOP take twice what an image of 10 takes.
    assert tiled.gamma(20.0, pieces=2) == timed_tracker(30).gamma(10.0)


def test_what_cannot_be_met_is_told():
    with pytest.raises(ConfigError, match=r"budget_ms=10 cannot be met: here any image takes 10 ms at least"):
        timed_tracker(10)
    with pytest.raises(ValueError, match="give line= or timed="):
        BudgetTracker("budget_ms", 30, CALIBRATION)


def test_other_budgets_know_no_clock():
    for name, amount in (("budget", 0.3), ("budget_gflops", 3.0)):
        plain = BudgetTracker(name, amount, CALIBRATION)
        timed = BudgetTracker(name, amount, CALIBRATION, timed=TimedPoints(CANDIDATES, SLOW_PASSES))
        for number in count():
            gamma = plain.gamma(10.0)
            assert timed.gamma(10.0) == gamma
            assert timed.point(gamma) is plain.point(gamma) is None
            for tracker in (plain, timed):
                tracker.record(0.5, 5.0, 100.0, cold=number < COLD)  # cost that is no time counts from the first image on
            if number == 4:
                break
        assert plain.mean == {"budget": 0.5, "budget_gflops": 5.0}[name]


def test_a_selector_without_candidates_is_held_by_the_line():
    selector = Calibration((0.1, 0.2, 0.4), (0.9, 0.5, 0.2))
    tracker = BudgetTracker("budget_ms", 30, selector, Line(0.02, 0.002))
    assert tracker.gamma(10.0) == pytest.approx(selector.aim(0.5))
    assert tracker.point(0.3) is None
    tracker.record(0.5, 5.0, 9.0, cold=True)
    assert tracker.gamma(10.0) == pytest.approx(selector.aim(0.5))
    tracker.record(0.5, 5.0, 9.0)
    assert tracker.gamma(10.0) > selector.aim(0.5)


def test_a_slower_device_than_was_measured_is_learned():
    slower = replace(SLOW_PASSES, again=0.04, per_gflop=0.015)
    _, spent = stream(timed_tracker(45), 200, slower, lambda _: 10.0)
    assert 1000 * spent[COLD:].mean() == pytest.approx(45, rel=0.05)


def test_infinite_thresholds_stay_single_passes():
    assert timed_tracker(19.5).point(1e9) == OperatingPoint(0.3, inf)
