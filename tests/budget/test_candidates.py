"""Candidates for operating points: which are best by FLOPs, and which by the clock of a device."""

import json
from itertools import pairwise
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dld_spotter.budget.calibration import Calibration
from dld_spotter.budget.candidates import Candidates, TimedPoints
from dld_spotter.budget.operating_points import OperatingPoint, OperatingPoints
from dld_spotter.budget.pass_latency import PassLatency
from dld_spotter.core.errors import CheckpointError, DataError
from dld_spotter.selection.policy import OperatingPointPolicy

# GFLOP of 10 at full resolution, no words. Once at 0.3, twice from 0.3, once at 0.5, once at 1.0.
CANDIDATES = Candidates(
    scales=(0.3, 0.3, 0.5, 1.0),
    gain_thresholds=(inf, 4.0, inf, inf),
    losses=(0.0, -0.5, -0.5, -0.6),
    costs=(0.09, 0.2, 0.25, 1.0),
    gflops=(0.9, 2.0, 2.5, 10.0),
    passes=(1.0, 2.0, 1.0, 1.0),
    words=(0.0, 0.0, 0.0, 0.0),
    images=9,
)
SLOW_PASSES = PassLatency(fixed=0.01, again=0.02, per_gflop=0.01, per_word=0.0)
"""In ms: 10 + 9 = 19, 10 + 20 + 20 = 50, 10 + 25 = 35, and 110."""
FREE_PASSES = PassLatency(fixed=0.01, again=0.0, per_gflop=0.01, per_word=0.0)
"""In ms: 19, 30, 35, 110."""


def test_seconds_by_hand():
    assert CANDIDATES.seconds(SLOW_PASSES) == pytest.approx([0.019, 0.05, 0.035, 0.11])
    assert CANDIDATES.seconds(FREE_PASSES) == pytest.approx([0.019, 0.03, 0.035, 0.11])
    # Of images with twice the pixels, whose passes and words are as many.
    assert CANDIDATES.seconds(SLOW_PASSES, full=20.0) == pytest.approx([0.028, 0.07, 0.06, 0.21])


def test_a_second_pass_that_is_best_by_flops_need_not_be_by_the_clock():
    by_flops = CANDIDATES.best()
    assert by_flops.points == [OperatingPoint(0.3), OperatingPoint(0.3, 4.0), OperatingPoint(1.0)]
    by_clock = TimedPoints(CANDIDATES, SLOW_PASSES).at(10.0)
    assert by_clock.points.points == [OperatingPoint(0.3), OperatingPoint(0.5), OperatingPoint(1.0)]
    assert by_clock.points.costs == pytest.approx((19 / 110, 35 / 110, 1.0))
    assert by_clock.calibration == by_clock.points.calibration
    assert TimedPoints(CANDIDATES, FREE_PASSES).at(10.0).points.points == by_flops.points


def test_large_images_are_worth_a_second_pass_where_small_ones_are_not():
    timed = TimedPoints(CANDIDATES, SLOW_PASSES)
    # At 100 GFLOP one pass at 0.5 takes 260 ms, two from 0.3 take 230.
    assert timed.at(100.0).points.points[1] == OperatingPoint(0.3, 4.0)
    assert timed.at(5.0).points.points[1] == OperatingPoint(0.5)
    assert timed.full(100.0) == pytest.approx(1.01)
    assert timed.at(10.2) is timed.at(9.9)


def test_words_take_time():
    many = Candidates.from_dict(CANDIDATES.to_dict() | {"words": [2, 3, 9, 20]}, "here")
    slow = PassLatency(0.01, 0.02, 0.01, 0.005)
    assert many.seconds(slow) == pytest.approx([0.029, 0.065, 0.08, 0.21])
    assert TimedPoints(many, slow).at(10.0).points.points[1] == OperatingPoint(0.3, 4.0)  # fewer words make up for the pass
    assert TimedPoints(many, slow).full(10.0) == pytest.approx(0.21)


def test_of_points_that_are_best_by_the_clock_those_stay_that_are_good_by_flops():
    clock = CANDIDATES.best([0.2, 0.3, 0.1, 1.0])
    assert clock.points == [OperatingPoint(0.5), OperatingPoint(1.0)]
    left = CANDIDATES.among(clock)
    assert (left.points, left.costs) == (clock.points, (0.25, 1.0))
    assert left.images == 9


rows = st.tuples(st.sampled_from([0.25, 0.5]), st.floats(-1, 0), st.floats(0.1, 12), st.floats(1, 2), st.floats(0, 9))


@given(st.lists(rows, min_size=1, max_size=8), st.floats(0, 0.1), st.floats(1e-9, 0.1), st.sampled_from([1.0, 10.0, 300.0]))
def test_any_clock_gives_points_that_a_budget_can_choose_from(some, again, per_gflop, full):
    scales, losses, gflops, passes, words = (list(column) for column in zip(*some, strict=True))
    tried = Candidates(
        (*scales, 1.0), (4.0,) * len(some) + (inf,), (*losses, -0.5), (*(g / 10 for g in gflops), 1.0), (*gflops, 10.0),
        (*passes, 1.0), (*words, 5.0), 7,
    )  # fmt: skip
    timed = TimedPoints(tried, PassLatency(0.01, again, per_gflop, 0.002)).at(full)
    assert timed.points.points[-1] == OperatingPoint(1.0)
    assert 0 < timed.calibration.low <= timed.calibration.high
    turns = [(a[0] - b[0]) / (b[1] - a[1]) for a, b in pairwise(zip(timed.points.losses, timed.points.costs, strict=True))]
    assert turns == sorted(turns, reverse=True) or np.allclose(turns, sorted(turns, reverse=True))


def test_plain_values_come_back():
    assert Candidates.from_dict(json.loads(json.dumps(CANDIDATES.to_dict())), "here") == CANDIDATES
    facts = {"operating_points": CANDIDATES.best().to_dict(), "candidates": CANDIDATES.to_dict()}
    assert OperatingPointPolicy.from_facts(facts, "here").candidates == CANDIDATES
    earlier = OperatingPointPolicy.from_facts({"operating_points": facts["operating_points"]}, "here")
    assert earlier.candidates is None
    assert earlier.points == CANDIDATES.best()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scales": [0.3, 0.3, 1.0]}, "columns of one length"),
        ({key: [] for key in ("scales", "gain_thresholds", "losses", "costs", "gflops", "passes", "words")}, "columns of one"),
        ({key: [1.0] * 5000 for key in ("scales", "gain_thresholds", "losses", "costs", "gflops", "passes", "words")}, "4096"),
        ({"losses": [0.0, float("nan"), -0.5, -0.6]}, r"expected a number, found nan\) at losses"),
        ({"losses": [0.0, "inf", -0.5, -0.6]}, "candidates need"),
        ({"scales": [0.3, 0.3, 2.0, 1.0]}, "candidates need scales from 0 to 1"),
        ({"scales": [0.3, -0.3, 0.5, 1.0]}, "candidates need"),
        ({"gflops": [0.9, 0.0, 2.5, 10.0]}, "GFLOP above 0"),
        ({"costs": [0.09, -0.2, 0.25, 1.0]}, "costs and GFLOP above 0"),
        ({"passes": [1.0, 3.0, 1.0, 1.0]}, "1 to 2 passes"),
        ({"passes": [0.0, 2.0, 1.0, 1.0]}, "1 to 2 passes"),
        ({"words": [0.0, -1.0, 0.0, 0.0]}, "words of at least 0"),
        ({"gain_thresholds": ["inf", -4.0, "inf", "inf"]}, "gain thresholds"),
        ({"gain_thresholds": ["inf", 4.0, "inf", 2.0]}, "the last candidate must be full resolution"),
        ({"scales": [1.0, 0.3, 0.5, 0.3]}, "the last candidate must be full resolution"),
        ({"images": -1}, "candidates need"),
        ({"version": 2}, "version 2 of it is not known here, expected 1"),
        ({"run": "ls"}, "unknown entry run"),
        ({"words": "many"}, "expected a list"),
    ],
)
def test_damage_is_named(change, words):
    with pytest.raises(CheckpointError, match=r"here holds a damaged or older Candidates .*; run fit_") as caught:
        Candidates.from_dict(CANDIDATES.to_dict() | change, "here")
    assert caught.match(words)


def test_ties_of_losses_do_not_hide_full_resolution():
    points = [OperatingPoint(0.5, 1.0), OperatingPoint(0.5, 4.0), OperatingPoint(1.0)]
    found = OperatingPoints.on_hull(points, np.array([-0.5, -0.5, -0.4]), np.array([1.5, 0.5, 1.0]), 7)
    assert found.points == [OperatingPoint(0.5, 4.0), OperatingPoint(1.0)]
    assert isinstance(found.calibration, Calibration)
    with pytest.raises(DataError, match="last candidate"):
        Candidates((0.5,), (inf,), (0.0,), (0.3,), (1.0,), (1.0,), (0.0,))
