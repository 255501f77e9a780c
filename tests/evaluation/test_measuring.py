"""Tables of outcomes, what following a policy gives, and points, against counts made by hand."""

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import pytest

from dld_spotter.budget.requests import Request
from dld_spotter.core.batches import Sample
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.core.words import Word
from dld_spotter.data.photos import ReferenceSize
from dld_spotter.evaluation.measuring import Counting, evaluate, follow, measure, measure_second_pass, trade_off
from dld_spotter.evaluation.predictions import PredictionForm
from dld_spotter.inference.loading import load
from dld_spotter.inference.predictor import Predictor
from dld_spotter.inference.torch_backend import TorchBackend
from dld_spotter.metrics.matching import score_image
from dld_spotter.metrics.rules import Rules
from dld_spotter.selection.baselines import FixedScale
from dld_spotter.selection.gumbel import GumbelSelector
from dld_spotter.selection.selector import Selector
from dld_spotter.tradeoff import Outcomes
from tests.data.samples import box, sample, turned_box
from tests.expecting import Expecting
from tests.inference.second_pass.boxes import HIGH, LOW, BoxBackend, photo
from tests.small import SCALES, THUMBNAIL
from tests.trained import make_checkpoint

TWO = [box(8, 8, 40, 14), turned_box(60, 44, 40, 14, 10)]
THREE = [box(4, 4, 50, 14), box(4, 30, 30, 16), box(4, 60, 44, 20)]
SAMPLES = [
    sample(64, 96, TWO, ["cat", "dog"], name="two"),
    sample(50, 70, name="none"),
    sample(90, 64, THREE, ["a", "bed", "face"], name="three"),
]
NAMES = ("two", "none", "three")
AGAIN = SAMPLES + SAMPLES
"""As after a damaged file, whose place another image takes: every name counts once."""


class PixelsAndWords(TorchBackend):
    """A spotter whose cost is easily worked out: a tenth per 100 pixels, one per word."""

    counts_flops = False

    def cost(self, height: int, width: int, words: float) -> float:
        return height * width / 1000 + words


def by(form: bool = False, **rules) -> Counting:
    """How words are counted; in which form they are written, polygons or whole pixels."""
    return Counting(Rules(**rules), PredictionForm(form))


def columns(measures: object) -> np.ndarray:
    """Measures ``(N, 6)``: matched, predicted and true words, relative cost, GFLOP, seconds."""
    return np.asarray(getattr(measures, "values", measures))


def small(kind: type[Selector]) -> Selector:
    """A selector of two heads, or cost weights."""
    selector = kind(SCALES, 0.1, [1.0, 2.0], channels=[4, 4, 4, 4], hidden=8).eval()
    selector.thumbnail = THUMBNAIL
    return selector


@pytest.mark.parametrize("form", [False, True])
def test_the_table_counts_every_image_once_at_every_scale(spotter, form):
    predictor, counting = Predictor(PixelsAndWords(spotter)), by(form, task="detection")
    table = measure(predictor, AGAIN, SCALES, counting, "")
    assert (table.names, table.scales) == (NAMES, SCALES)
    for i, one in enumerate(SAMPLES):
        height, width = one.image.shape[:2]
        for k, scale in enumerate(SCALES):
            words = predictor.read(one.image, scale=scale).words
            counts = score_image(one.instances, counting.form.as_read(words), "rrc", "detection")
            assert (table.matched[i, k], table.predicted[i, k], table.true[i, k]) == counts
            spent = round(scale * height) * round(scale * width) / 1000 + len(words)
            assert table.relative_cost[i, k] == pytest.approx(spent / (height * width / 1000 + len(words)))
    np.testing.assert_allclose(table.relative_cost[:, -1], 1)
    assert np.isnan(table.gflops).all()  # this cost is in other units
    assert (table.seconds > 0).all()


def test_relative_cost_by_hand_where_a_low_scale_finds_fewer_words():
    """1.0 is one pass at full resolution that reads each word of the same reading once, in a table as in a reading."""
    backend = BoxBackend(least=10, cost=lambda height, width, words: height * width / 1000 + 10 * words)
    predictor, two_words = Predictor(backend), replace(sample(256, 384, name="two words"), image=photo(LOW, HIGH))
    table = measure(predictor, [two_words], (0.5, 1.0), by(), "")
    # At 0.5 the low word has 6 pixels and is not found: 24.576 for 128 x 192 pixels, and one word; 98.304 at full resolution.
    assert table.gflops.tolist() == [pytest.approx([24.576 + 10, 98.304 + 20])]
    assert table.relative_cost.tolist() == [pytest.approx([34.576 / (98.304 + 10), 1.0])]
    assert predictor.read(two_words.image, scale=0.5).relative_cost == table.relative_cost[0, 0]


def test_gflops_are_those_of_reading(spotter):
    predictor = Predictor(TorchBackend(spotter))
    table = measure(predictor, SAMPLES, SCALES, by(), "")
    for i, one in enumerate(SAMPLES):
        assert table.gflops[i].tolist() == [predictor.read(one.image, scale=scale).gflops for scale in SCALES]


def reordered(table: Outcomes, rows: Sequence[int]) -> Outcomes:
    """The same table with its images in another order."""
    arrays = {f.name: getattr(table, f.name)[rows] for f in fields(table) if isinstance(getattr(table, f.name), np.ndarray)}
    return replace(table, names=tuple(table.names[row] for row in rows), **arrays)


def test_following_keeps_the_order_of_the_table_and_adds_what_the_selector_costs(spotter):
    selector = small(GumbelSelector)
    predictor = Predictor(TorchBackend(spotter), selector)
    table = reordered(measure(predictor, SAMPLES, SCALES, by(), ""), [2, 0, 1])
    followed = follow(predictor, AGAIN, by(), table)
    assert list(followed) == list(selector.gammas)
    assert selector.gflops > 0
    for gamma, measures in followed.items():
        for row, one in zip(columns(measures), [SAMPLES[2], SAMPLES[0], SAMPLES[1]], strict=True):
            reading = predictor.read(one.image, gamma=gamma)
            i, k = table.names.index(one.name), SCALES.index(reading.scale)
            assert row[:3].tolist() == [table.matched[i, k], table.predicted[i, k], table.true[i, k]]
            assert row[4] == pytest.approx(reading.gflops) == table.gflops[i, k] + selector.gflops
            assert row[3] == pytest.approx(reading.relative_cost, rel=1e-9)
            assert row[5] > table.seconds[i, k]


def test_following_reads_again_where_a_second_pass_is_asked_for(tmp_path):
    predictor = load(make_checkpoint(tmp_path / "student.ckpt", selector=False, operating_points=True), device="cpu")
    table = measure(predictor, SAMPLES, SCALES, by(), "")
    followed = follow(predictor, SAMPLES, by(), table)
    scales = set()
    for gamma, measures in followed.items():
        for row, one in zip(columns(measures), SAMPLES, strict=True):
            reading = predictor.read(one.image, gamma=gamma)
            counts = by().rules.count(one.name, one.instances, by().form.as_read(reading.words))
            assert row[:3].tolist() == list(counts)
            assert row[3:5].tolist() == pytest.approx([reading.relative_cost, reading.gflops])
            scales.add((reading.scale, reading.second_pass_share > 0))
    assert len({scale for scale, _ in scales}) > 1
    assert any(again for _, again in scales)


def test_a_table_of_other_images_is_refused(spotter):
    predictor = Predictor(TorchBackend(spotter), small(GumbelSelector))
    table = measure(predictor, SAMPLES, SCALES, by(), "")
    with pytest.raises(DataError, match="the table has 2 images that the data set lacks, such as two"):
        follow(predictor, SAMPLES[1:2], by(), table)
    with pytest.raises(DataError, match="there is no image to read"):
        measure(predictor, [], SCALES, by(), "")
    with pytest.raises(DataError, match="there is no image to read"):
        evaluate(predictor, [], Request(), by())


def test_a_table_of_second_passes_is_what_a_predictor_reads_by_its_rule(tmp_path):
    path = make_checkpoint(tmp_path / "student.ckpt", selector=False, operating_points=True)
    predictor = load(path, device="cpu")
    table = measure_second_pass(predictor, SAMPLES, SCALES, by(), "")
    twice = Predictor(predictor.backend, None, predictor.rule, gain_threshold=predictor.rule.gain_threshold)
    readings = [[twice.read(one.image, scale=scale) for scale in SCALES] for one in SAMPLES]
    assert table.gflops.tolist() == [[reading.gflops for reading in row] for row in readings]
    assert any(reading.second_pass_share for row in readings for reading in row)
    once = measure(predictor, SAMPLES, SCALES, by(), "")
    assert (table.gflops[:, -1] == once.gflops[:, -1]).all()
    assert (table.gflops > once.gflops).any()


def test_reading_at_a_fixed_scale_is_the_static_point_of_the_table(spotter):
    predictor, counting = Predictor(TorchBackend(spotter)), by(task="detection")
    table = measure(predictor, AGAIN, SCALES, counting, "")
    point, words = evaluate(predictor, AGAIN, Request(scale=0.5), counting, resamples=50)
    points = trade_off({"student": table}, "student", {}, "d", "s", counting.rules, 50).points
    static = next(p for p in points if p.scale == 0.5)
    assert (point.method, point.scale) == ("static", 0.5)
    assert (point.hmean, point.precision, point.gflops) == pytest.approx((static.hmean, static.precision, static.gflops))
    assert tuple(words) == NAMES
    assert evaluate(predictor, AGAIN, Request(), counting, 10)[0].scale == 1.0  # without a policy


def test_a_fixed_policy_reads_as_that_scale_does(spotter):
    policy = FixedScale(SCALES, 0.1, [1.0], 0.5)
    fixed, words = evaluate(Predictor(TorchBackend(spotter), policy), SAMPLES, Request(), by(), 10)
    point, expected = evaluate(Predictor(TorchBackend(spotter)), SAMPLES, Request(scale=0.5), by(), 10)
    assert (fixed.method, fixed.gamma, fixed.scale) == ("dynamic", 0.1, None)
    assert (fixed.hmean, fixed.gflops, fixed.relative_cost) == (point.hmean, point.gflops, point.relative_cost)
    assert {name: [word.text for word in found] for name, found in words.items()} == {
        name: [word.text for word in found] for name, found in expected.items()
    }


def test_reading_for_a_cost_weight_that_was_not_trained(spotter):
    """The more costly resolution is, the less is spent; at the highest, the cheapest scale is all that is left."""
    predictor = Predictor(TorchBackend(spotter), Expecting(0.1, (1.0,)))
    points = [evaluate(predictor, SAMPLES, Request(gamma=gamma), by(), 10)[0] for gamma in (0.0, 0.07, 99.0)]
    assert [(point.method, point.gamma) for point in points] == [("dynamic", 0.0), ("dynamic", 0.07), ("dynamic", 99.0)]
    costs = [point.gflops for point in points]
    assert costs[0] >= costs[1] >= costs[2]
    assert costs[0] > costs[2]
    cheapest, _ = evaluate(predictor, SAMPLES, Request(scale=SCALES[0]), by(), 10)
    assert points[2].gflops == pytest.approx(cheapest.gflops)
    assert evaluate(predictor, SAMPLES, Request(), by(), 10)[0].gamma == 0.1
    heads = Predictor(TorchBackend(spotter), small(GumbelSelector))
    with pytest.raises(ConfigError, match=r"gamma=0\.07 is none of this selector's cost weights; choose one of 0\.1, 0\.2"):
        evaluate(heads, SAMPLES, Request(gamma=0.07), by(), 10)


def test_words_come_back_in_pixels_of_the_original_file(spotter):
    predictor = Predictor(TorchBackend(spotter), reference=ReferenceSize(long=96))
    large = [Sample(np.kron(one.image, np.ones((2, 2, 1), np.uint8)), one.instances.scaled(2, 2), one.name) for one in SAMPLES]
    copies = [Sample(predictor.reference_of(one.image), one.instances, one.name) for one in large]
    (_, found), (_, plain) = (evaluate(predictor, images, Request(scale=1.0), by(), 10) for images in (large, copies))
    pairs = [
        (a, b, np.divide(one.image.shape[1::-1], copy.image.shape[1::-1]))
        for one, copy in zip(large, copies, strict=True)
        for a, b in zip(plain[one.name], found[one.name], strict=True)
    ]
    assert pairs
    for one, other, factor in pairs:
        assert isinstance(other, Word)
        np.testing.assert_allclose(other.polygon, factor * one.polygon, rtol=1e-5)


def test_the_trade_off_holds_every_method(spotter):
    predictor, counting = Predictor(TorchBackend(spotter), small(GumbelSelector)), by(task="detection")
    table = measure(predictor, AGAIN, SCALES, counting, "")
    followed = {"student": follow(predictor, AGAIN, counting, table)}
    tables = {"teacher": table, "student": table}
    result = trade_off(tables, "student", followed, "drawn", "small", counting.rules, 50)
    assert [point.gamma for point in result.select("dynamic")] in ([0.1, 0.2], [0.2, 0.1])
    assert len(result.select("static", "teacher")) == len(result.select("static", "student")) == len(SCALES)
    assert result.select("random_mix")
    assert result.select("oracle")
    assert (result.dataset, result.images) == ("drawn", 3)


@pytest.mark.parametrize(("scales", "methods"), [(SCALES, {"static", "random_mix", "oracle"}), ((1.0,), {"static"})])
def test_random_policy_and_oracle_need_several_scales_and_no_policy(spotter, scales, methods):
    counting = by(task="detection")
    table = measure(Predictor(TorchBackend(spotter)), AGAIN, scales, counting, "")
    points = trade_off({"teacher": table}, "teacher", {}, "drawn", "small", counting.rules, 50).points
    assert {point.method for point in points} == methods


@pytest.mark.parametrize("iou", ["half", -0.1, 1.0, None])
def test_rules_need_a_threshold(iou):
    with pytest.raises(ConfigError, match="iou"):
        Rules(iou=iou)
