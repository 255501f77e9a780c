"""A hard cap on what an image may cost: by hand, and as a user sets it."""

from math import inf
from pathlib import Path

import pytest

import dld_spotter
from dld_spotter.budget.cap import CostCap
from dld_spotter.budget.operating_points import OperatingPoint, OperatingPoints
from dld_spotter.budget.requests import Request
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.words import SpottingResult
from dld_spotter.evaluation.measuring import Counting, evaluate
from dld_spotter.evaluation.predictions import PredictionForm
from dld_spotter.metrics.rules import Rules
from dld_spotter.selection.baselines import FixedScale
from dld_spotter.selection.policy import OperatingPointPolicy
from tests.data.samples import box, sample
from tests.trained import make_checkpoint

WORDS = [box(10, 10 + 30 * row, 60 + 9 * row, 20) for row in range(4)]
IMAGES = [
    sample(160, 192, WORDS, ["cat"] * 4, name="one"),
    sample(160, 192, WORDS[:1], ["cat"], name="two"),
]


def cost(height: int, width: int, words: int) -> float:
    return height * width / 100 + 5 * words


def test_what_is_left_by_hand():
    cap = CostCap(0.5, (100, 100), cost, deciding=1.0)
    # 49 of 100 are left, 20 of them for the pixels; a word costs 5, but 2.5 of that are compared with.
    assert cap.words((20, 100)) == 11
    result = SpottingResult([], ((20, 100),), (11,))
    assert 1 + result.spent(cost) <= 0.5 * result.full((100, 100), cost)
    more = SpottingResult([], ((20, 100),), (12,))
    assert 1 + more.spent(cost) > 0.5 * more.full((100, 100), cost)
    assert cap.words((50, 100)) == -1
    assert not cap.affords((50, 100))
    assert cap.affords((49, 100))
    assert CostCap(1.0, (100, 100), cost).words((100, 100)) > 10**6  # each word is compared with itself


def test_a_second_pass_has_what_the_first_has_left():
    first = SpottingResult([], ((20, 100),), (3,))
    cap = CostCap(0.5, (100, 100), cost).after(first)
    # Half of 115 is 57.5; 35 are spent; a view of 10 leaves 12.5 for words of 5.
    assert cap.words((10, 100)) == 2
    assert cap.affords((10, 100), 2)
    assert not cap.affords((10, 100), 3)
    both = SpottingResult([], ((20, 100), (10, 100)), (3, 2))
    assert both.spent(cost) <= 0.5 * both.full((100, 100), cost)


def test_less_is_taken_where_it_must_be():
    cap, cheaper = CostCap(0.5, (100, 100), cost), [OperatingPoint(scale) for scale in (0.3, 0.6, 1.0)]
    # 0.6 takes 36 of 50 and leaves five words, not ten.
    assert cap.lower(OperatingPoint(1.0), cheaper) == OperatingPoint(0.3)
    assert cap.lower(OperatingPoint(0.3, 4.0), cheaper) == OperatingPoint(0.3, 4.0)
    tight = CostCap(0.36, (100, 100), cost)  # at 0.6 no word is left, but nothing else fits
    lower = [OperatingPoint(scale, 7.0) for scale in (0.6, 1.0)]
    assert tight.lower(OperatingPoint(1.0, 7.0), lower) == OperatingPoint(0.6, 7.0)
    for wanted, lower, words in (
        (1.0, [OperatingPoint(0.8)], r"takes 0\.64 at scale 0\.8; give more$"),
        (0.8, [], "at scale 0.8; give more, or a lower scale="),
    ):
        with pytest.raises(ConfigError, match=r"max_cost=0\.5 cannot be met: an image of 100 x 100 pixels .*" + words):
            cap.lower(OperatingPoint(wanted), lower)
    assert CostCap(1.0, (100, 100), cost).lower(OperatingPoint(1.0)) == OperatingPoint(1.0)


def test_what_a_policy_offers_in_place_of_a_decision():
    points = OperatingPoints((0.3, 0.3, 0.6, 1.0), (9.0, 2.0, 1.0, inf), (0.0, -0.1, -0.2, -0.3), (0.1, 0.2, 0.3, 1.0))
    wanted, policy = OperatingPoint(1.0), OperatingPointPolicy(points)
    # A gain threshold belongs to its scale: of two at 0.3, the more costly.
    assert policy.alternatives(wanted) == [OperatingPoint(0.3, 2.0), OperatingPoint(0.6, 1.0), OperatingPoint(1.0)]
    assert CostCap(0.5, (100, 100), cost).lower(wanted, policy.alternatives(wanted)) == OperatingPoint(0.3, 2.0)
    wanted = OperatingPoint(1.0, 7.0)  # a learnt selector knows none, and keeps what is asked for
    assert FixedScale((0.3, 1.0), 0.0, [1.0], 1.0).alternatives(wanted) == [OperatingPoint(0.3, 7.0), wanted]


def test_a_result_costs_what_was_seen_and_read():
    twice = SpottingResult([], ((20, 100), (30, 50)), (3, 7), again=2)
    assert twice.spent(cost) == 20 + 15 + 15 + 35
    assert twice.full((100, 100), cost) == 100 + 40  # each word once


@pytest.mark.parametrize(("points", "levels"), [(True, []), (True, [0.6, 0.8]), (False, [])])
def test_no_photo_costs_more(points: bool, levels: list[float], tmp_path: Path):
    path = make_checkpoint(tmp_path / "student.ckpt", selector=not points, operating_points=points, levels=levels)
    predictor = dld_spotter.load(path, device="cpu")
    free = [reading.relative_cost for reading in predictor.read_all([one.image for one in IMAGES], gamma=0.05)]
    assert max(free) > 0.5
    for max_cost in (0.6, 0.4, 0.2):
        readings = predictor.read_all([one.image for one in IMAGES], gamma=0.05, max_cost=max_cost)
        assert max(reading.relative_cost for reading in readings) <= max_cost
    readings = predictor.read_all([one.image for one in IMAGES], gamma=0.05, max_cost=9.0)
    assert [reading.relative_cost for reading in readings] == free  # what it need not take, the cap leaves
    for gamma in (2.0, 0.3, 0.0) if points else ():
        spent = [predictor.read(IMAGES[0].image, gamma=gamma, max_cost=max_cost).gflops for max_cost in (0.4, 0.6, 9.0)]
        assert spent == sorted(spent)  # a wider cap takes nothing away
        assert spent[0] < spent[-1]
    with pytest.raises(ConfigError, match=r"max_cost=0\.01 cannot be met"):
        predictor.read(IMAGES[0].image, max_cost=0.01)
    with pytest.raises(ConfigError, match="cannot be met"):
        predictor.read(IMAGES[0].image, scale=1.0, max_cost=0.5)  # a scale that was asked for is not lowered
    with pytest.raises(ConfigError, match=r"max_cost=0 must be above 0; give such as max_cost=0\.8"):
        predictor.read(IMAGES[0].image, max_cost=0)


@pytest.mark.parametrize("given", [{}, {"scale": 1.0}])
def test_a_photo_that_is_too_costly_is_told_before_it_is_read(given: dict[str, float], tmp_path: Path):
    path = make_checkpoint(tmp_path / "student.ckpt", selector=False, operating_points=True)
    predictor = dld_spotter.load(path, device="cpu")
    for max_cost in (0.01, 0.5, 9.0):
        request, told = Request(max_cost=max_cost, **given), []
        for ask in (lambda r: predictor.check_cap(IMAGES[0].image, r), lambda r: predictor.read_request([IMAGES[0].image], r)):
            try:
                ask(request)
            except ConfigError as error:
                told.append(str(error))
        assert len(told) == 2 * (max_cost == 0.01 or (max_cost == 0.5 and bool(given)))
        assert len(set(told)) <= 1


def test_no_image_of_an_evaluation_costs_more(tmp_path: Path):
    path = make_checkpoint(tmp_path / "student.ckpt", selector=False, operating_points=True)
    predictor, counting = dld_spotter.load(path, device="cpu"), Counting(Rules(), PredictionForm())
    spent = {}
    for max_cost in (None, 0.5):
        point, _ = evaluate(predictor, IMAGES, Request(gamma=0.05, max_cost=max_cost), counting, 10)
        spent[max_cost] = point.relative_cost
    assert spent[0.5] <= 0.5 < spent[None]
    with pytest.raises(ConfigError, match=r"one: max_cost=0\.5 cannot be met"):
        evaluate(predictor, IMAGES, Request(scale=1.0, max_cost=0.5), counting, 10)
