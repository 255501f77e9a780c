"""A hard limit on what an image may cost: by hand, and as a user sets it."""

from math import inf
from pathlib import Path

import pytest

import dld_spotter
from dld_spotter.budget.cap import CostCap
from dld_spotter.budget.operating_points import OperatingPoint, OperatingPoints
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.words import SpottingResult
from dld_spotter.evaluation.measuring import score_at
from dld_spotter.metrics.rules import Rules
from dld_spotter.selection.baselines import FixedScale
from tests.data.samples import box, sample
from tests.small import SCALES, make_batch
from tests.trained import make_checkpoint

WORDS = [box(10, 10 + 30 * row, 60 + 9 * row, 20) for row in range(4)]
IMAGES = [sample(160, 192, WORDS, ["cat"] * 4), sample(160, 192, WORDS[:1], ["cat"])]


def cost(height: int, width: int, words: int) -> float:
    return height * width / 100 + 5 * words


def test_what_is_left_by_hand():
    limit = CostCap(0.5, (100, 100), cost, choosing=1.0)
    # 49 of 100 are left, 20 of them for the pixels; a word costs 5, but 2.5 of that are compared with.
    assert limit.words((20, 100)) == 11
    look = SpottingResult([], ((20, 100),), (11,))
    assert 1 + look.spent(cost) <= 0.5 * look.full((100, 100), cost)
    more = SpottingResult([], ((20, 100),), (12,))
    assert 1 + more.spent(cost) > 0.5 * more.full((100, 100), cost)
    assert limit.words((50, 100)) == -1
    assert not limit.affords((50, 100))
    assert limit.affords((49, 100))
    assert CostCap(1.0, (100, 100), cost).words((100, 100)) > 10**6  # each word is compared with itself


def test_a_second_look_has_what_the_first_has_left():
    first = SpottingResult([], ((20, 100),), (3,))
    limit = CostCap(0.5, (100, 100), cost).after(first)
    # Half of 115 is 57.5; 35 are spent; a view of 10 leaves 12.5 for words of 5.
    assert limit.words((10, 100)) == 2
    assert limit.affords((10, 100), 2)
    assert not limit.affords((10, 100), 3)
    both = SpottingResult([], ((20, 100), (10, 100)), (3, 2))
    assert both.spent(cost) <= 0.5 * both.full((100, 100), cost)


def test_less_is_taken_where_it_must_be():
    limit = CostCap(0.5, (100, 100), cost)
    scales = (0.3, 0.6, 1.0)
    assert limit.lower(OperatingPoint(1.0), scales) == OperatingPoint(0.3)  # 0.6 takes 36 of 50 and leaves five words, not ten
    assert limit.lower(OperatingPoint(0.3, 4.0), scales) == OperatingPoint(0.3, 4.0)
    assert CostCap(0.36, (100, 100), cost).lower(OperatingPoint(1.0, 7.0), (0.6, 1.0)) == OperatingPoint(
        0.6, 7.0
    )  # no word, but nothing else fits
    ladder = OperatingPoints((0.3, 0.3, 0.6, 1.0), (9.0, 2.0, 1.0, inf), (0.0, -0.1, -0.2, -0.3), (0.1, 0.2, 0.3, 1.0))
    assert limit.lower(OperatingPoint(1.0), scales, ladder) == OperatingPoint(0.3, 2.0)  # the price belongs to the scale
    for wanted, lower, words in (
        (1.0, (0.8,), r"takes 0\.64 at scale 0\.8; give more$"),
        (0.8, (), "at scale 0.8; give more, or a lower scale="),
    ):
        with pytest.raises(ConfigError, match=r"max_cost=0\.5 cannot be met: an image of 100 x 100 pixels .*" + words):
            limit.lower(OperatingPoint(wanted), lower)
    assert CostCap(1.0, (100, 100), cost).lower(OperatingPoint(1.0), ()) == OperatingPoint(1.0)


def test_a_look_costs_what_it_saw_and_read():
    twice = SpottingResult([], ((20, 100), (30, 50)), (3, 7), again=2)
    assert twice.spent(cost) == 20 + 15 + 15 + 35
    assert twice.full((100, 100), cost) == 100 + 40  # each word once


@pytest.mark.parametrize(("ladder", "levels"), [(True, []), (True, [0.6, 0.8]), (False, [])])
def test_no_photo_costs_more(ladder: bool, levels: list[float], tmp_path: Path):
    path = make_checkpoint(tmp_path / "student.ckpt", selector=not ladder, ladder=ladder, levels=levels)
    reader = dld_spotter.load(path, device="cpu")
    free = [reading.relative_cost for reading in reader.read_all([one.image for one in IMAGES], gamma=0.05)]
    assert max(free) > 0.5
    for max_cost in (0.6, 0.4, 0.2):
        readings = reader.read_all([one.image for one in IMAGES], gamma=0.05, max_cost=max_cost)
        assert max(reading.relative_cost for reading in readings) <= max_cost
    readings = reader.read_all([one.image for one in IMAGES], gamma=0.05, max_cost=9.0)
    assert [reading.relative_cost for reading in readings] == free  # what it need not take, the limit leaves
    for gamma in (2.0, 0.3, 0.0) if ladder else ():
        spent = [reader.read(IMAGES[0].image, gamma=gamma, max_cost=max_cost).gflops for max_cost in (0.4, 0.6, 9.0)]
        assert spent == sorted(spent)  # a wider limit takes nothing away
        assert spent[0] < spent[-1]
    with pytest.raises(ConfigError, match=r"max_cost=0\.01 cannot be met"):
        reader.read(IMAGES[0].image, max_cost=0.01)
    with pytest.raises(ConfigError, match="cannot be met"):
        reader.read(IMAGES[0].image, scale=1.0, max_cost=0.5)  # a scale that was asked for is not lowered
    with pytest.raises(ConfigError, match=r"max_cost=0 must be above 0; give such as max_cost=0\.8"):
        reader.read(IMAGES[0].image, max_cost=0)


def test_no_image_of_an_evaluation_costs_more(tmp_path: Path):
    reader = dld_spotter.load(make_checkpoint(tmp_path / "student.ckpt", selector=False, ladder=True), device="cpu")
    spent = {}
    for max_cost in (None, 0.5):
        point, _ = score_at(reader.reader, reader.selector, 0.05, [make_batch(IMAGES)], Rules(), 10, max_cost=max_cost)
        spent[max_cost] = point.relative_cost
    assert spent[0.5] <= 0.5 < spent[None]
    with pytest.raises(ConfigError, match="cannot be met"):
        score_at(reader.reader, FixedScale(SCALES, 0.0, [1.0], 1.0), None, [make_batch(IMAGES)], Rules(), 10, max_cost=0.5)
