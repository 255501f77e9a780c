"""Tables of outcomes, choices and points, against counts made by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dld_spotter.budget.cost import CostModel, FlopCost, selector_gflops
from dld_spotter.core.batches import Word
from dld_spotter.core.errors import ConfigError
from dld_spotter.evaluation.measuring import choose, measure, score_at, trade_off
from dld_spotter.metrics.matching import score_image
from dld_spotter.metrics.rules import Rules
from dld_spotter.selection.baselines import FixedScale
from dld_spotter.selection.gumbel import GumbelSelector
from dld_spotter.selection.quality import QualitySelector
from tests.small import SCALES, THUMBNAIL


class PixelsAndWords(CostModel):
    """A cost that is easily worked out: a tenth per 100 pixels, one per word."""

    def cost(self, height: int, width: int, words: float = 0.0) -> float:
        return height * width / 1000 + words


@pytest.fixture
def batch(batch):
    return replace(batch, names=("two", "none", "three"))


@pytest.fixture
def loader(batch):
    return [batch, batch]  # as after a damaged file, whose place another image takes: every name counts once


def test_the_table_counts_every_image_once_at_every_scale(spotter, batch, loader):
    table = measure(spotter, loader, SCALES, PixelsAndWords(), Rules(task="detection"), "")
    assert table.names == batch.names
    for k, scale in enumerate(SCALES):
        found = spotter.spot(batch.views[scale])
        for i, words in enumerate(found):
            counts = score_image(batch.instances[i], words, "rrc", "detection")
            assert (table.matched[i, k], table.predicted[i, k], table.true[i, k]) == counts
            height, width = batch.views[scale].sizes[i].tolist()
            assert table.gflops[i, k] == pytest.approx(height * width / 1000 + len(words))
    np.testing.assert_allclose(table.relative_cost[:, -1], 1)
    assert (table.seconds > 0).all()


@pytest.mark.parametrize("kind", [GumbelSelector, QualitySelector])
def test_choices_follow_the_order_of_the_table_and_cost_what_the_selector_costs(batch, loader, kind):
    selector = kind(SCALES, 0.1, [1.0, 2.0], channels=[4, 4, 4, 4], hidden=8).eval()
    choices = choose(selector, loader, batch.names[::-1], PixelsAndWords(), full_gflops=0.5)
    sizes = batch.views[1.0].sizes
    relative = PixelsAndWords().relative(sizes, SCALES)
    expected = [choice.index.tolist()[::-1] for choice in selector(batch.thumbnails, sizes, relative)]
    assert choices.index.tolist() == expected
    assert choices.overhead.gflops == selector_gflops(selector, THUMBNAIL) > 0
    assert choices.overhead.relative_cost == pytest.approx(choices.overhead.gflops / 0.5)


def test_reading_at_a_fixed_scale_is_the_static_point_of_the_table(spotter, batch, loader):
    rules = Rules(task="detection")
    table = measure(spotter, loader, SCALES, FlopCost(spotter), rules, "")
    point, words = score_at(spotter, FixedScale(SCALES, 0.0, [1.0], 0.5), None, loader, rules, resamples=50)
    static = next(p for p in trade_off({"student": table}, {}, "d", "s", rules, 50).points if p.scale == 0.5)
    assert (point.method, point.scale) == ("static", 0.5)
    assert (point.hmean, point.precision, point.gflops) == pytest.approx((static.hmean, static.precision, static.gflops))
    assert list(words) == list(batch.names)


def test_reading_for_a_cost_weight_that_was_not_trained(spotter, loader):
    """The dearer resolution is, the less is spent; so dear, the cheapest scale is all that is left."""
    torch.manual_seed(0)
    selector = QualitySelector(SCALES, 0.1, [1.0], channels=[4, 4, 4, 4], hidden=8).eval()
    selector.table[0, :, 1:] += torch.tensor([0.1, 0.2])  # more is read at a higher scale
    points = [score_at(spotter, selector, gamma, loader, Rules(), 10)[0] for gamma in (0.0, 0.07, 99.0)]
    assert [(point.method, point.gamma) for point in points] == [("dynamic", 0.0), ("dynamic", 0.07), ("dynamic", 99.0)]
    costs = [point.gflops for point in points]
    assert costs[0] >= costs[1] >= costs[2]
    assert costs[0] > costs[2]
    cheapest, _ = score_at(spotter, FixedScale(SCALES, 0.0, [1.0], SCALES[0]), None, loader, Rules(), 10)
    assert points[2].gflops == pytest.approx(cheapest.gflops + selector_gflops(selector, THUMBNAIL))
    middle, _ = score_at(spotter, selector, None, loader, Rules(), 10)
    assert middle.gamma == 0.1
    gumbel = GumbelSelector(SCALES, 0.1, [1.0, 2.0], channels=[4, 4, 4, 4], hidden=8)
    with pytest.raises(ConfigError, match=r"gamma=0\.07 is none of this selector's cost weights; choose one of 0\.1, 0\.2"):
        score_at(spotter, gumbel, 0.07, loader, Rules(), 10)


def test_words_come_back_in_pixels_of_the_original_file(spotter, batch):
    doubled = replace(batch, original_sizes=batch.original_sizes * 2)
    _, plain = score_at(spotter, FixedScale(SCALES, 0.0, [1.0], 1.0), None, [batch], Rules(), 10)
    _, large = score_at(spotter, FixedScale(SCALES, 0.0, [1.0], 1.0), None, [doubled], Rules(), 10)
    pairs = [(a, b) for name in plain for a, b in zip(plain[name], large[name], strict=True)]
    assert pairs
    for one, other in pairs:
        assert isinstance(other, Word)
        np.testing.assert_allclose(other.polygon, 2 * one.polygon, rtol=1e-5)


def test_the_trade_off_holds_every_method(spotter, loader, batch):
    rules = Rules(task="detection")
    table = measure(spotter, loader, SCALES, FlopCost(spotter), rules, "")
    selector = GumbelSelector(SCALES, 0.1, [1.0, 2.0], channels=[4, 4, 4, 4], hidden=8)
    choices = choose(selector, loader, table.names, FlopCost(spotter), 1.0)
    result = trade_off({"teacher": table, "student": table}, {"student": choices.totals(table)}, "drawn", "small", rules, 50)
    assert [point.gamma for point in result.select("dynamic")] in ([0.1, 0.2], [0.2, 0.1])
    assert len(result.select("static", "teacher")) == len(result.select("static", "student")) == len(SCALES)
    assert result.select("random_mix")
    assert result.select("oracle")
    assert (result.dataset, result.images) == ("drawn", 3)


@pytest.mark.parametrize("iou", ["half", -0.1, 1.0, None])
def test_rules_need_a_threshold(iou):
    with pytest.raises(ConfigError, match="iou"):
        Rules(iou=iou)
