"""A second pass: with a backend that reads bright boxes and misses what is low in its view."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf

import numpy as np
import pytest

from dld_spotter.budget.cap import CostCap
from dld_spotter.core.words import SpottingResult, Word
from dld_spotter.inference.predictor import Predictor
from dld_spotter.inference.second_pass.two_pass import merge_passes
from dld_spotter.models.detections import Detections
from dld_spotter.selection.second_pass.gains import UNREAD, Gains
from dld_spotter.selection.second_pass.regions import find_regions
from dld_spotter.selection.second_pass.rule import SecondPassRule
from tests.inference.second_pass.boxes import HIGH, LOW, BoxBackend, boxes_of, photo, read_in_two_passes
from tests.selection.second_pass.tables import gained


def test_what_was_missed_is_found_where_it_stands():
    backend = BoxBackend()
    result = read_in_two_passes(backend, photo(LOW, HIGH), 0.5, SecondPassRule(gain_threshold=1))
    np.testing.assert_allclose(boxes_of(result.words), sorted([list(LOW), list(HIGH)]), atol=1)
    assert result.sizes[0] == (128, 192)
    mosaic = result.sizes[1]
    around = (LOW[2] - LOW[0] + 2 * 12, LOW[3] - LOW[1] + 2 * 12)
    assert mosaic[0] * mosaic[1] < 1.7 * around[0] * around[1]  # the low word alone, with its surroundings
    assert result.reads == (1, 1)


def test_nothing_is_read_twice_where_all_is_sure():
    backend = BoxBackend()
    result = read_in_two_passes(backend, photo(HIGH), 0.5, SecondPassRule(gain_threshold=1))
    assert backend.seen == [(128, 192)]
    assert result.sizes == ((128, 192),)
    np.testing.assert_allclose(boxes_of(result.words), [HIGH], atol=1)


def test_the_reference_is_read_once():
    for read in (
        lambda backend: read_in_two_passes(backend, photo(LOW), 1.0, SecondPassRule()),
        lambda backend: Predictor(backend, gain_threshold=0.0).read(photo(LOW)),
    ):
        read(backend := BoxBackend())
        assert backend.seen == [(256, 384)]


def test_a_predictor_tells_of_its_second_pass():
    once, twice = (
        Predictor(BoxBackend(), gain_threshold=threshold).read(photo(LOW, HIGH), scale=0.5) for threshold in (inf, 1.0)
    )
    result = read_in_two_passes(BoxBackend(), photo(LOW, HIGH), 0.5, SecondPassRule(gain_threshold=1.0))
    assert (once.second_pass_share, boxes_of(once.words)) == (0.0, boxes_of(once.words[:1]))
    assert boxes_of(twice.words) == boxes_of(result.words)
    assert twice.second_pass_share == pytest.approx(np.prod(result.sizes[1]) / (256 * 384))
    assert twice.relative_cost == pytest.approx(0.25 + twice.second_pass_share)  # by area, words being free


def test_what_was_read_less_surely_is_replaced():
    result = read_in_two_passes(BoxBackend(least=4), photo(LOW), 0.5, SecondPassRule())
    (word,) = result.words
    assert word.score == pytest.approx(12 / 20)  # as high as it is at full resolution
    assert (result.reads, result.again) == ((1, 1), 1)


def test_what_is_low_is_read_once_where_it_is_seen_best():
    again, once = (
        read_in_two_passes(BoxBackend(least=4), photo(LOW, HIGH), 0.4, SecondPassRule(gain_threshold=threshold))
        for threshold in (5, inf)
    )
    np.testing.assert_allclose(boxes_of(again.words), sorted([list(LOW), list(HIGH)]), atol=2)
    assert (again.reads, again.again) == ((1, 1), 0)
    assert (once.reads, once.sizes) == ((2,), ((102, 154),))
    costly = read_in_two_passes(BoxBackend(least=4), photo(LOW, HIGH), 0.4, SecondPassRule(gain_threshold=1000))
    assert (costly.reads, costly.sizes) == (once.reads, once.sizes)
    assert boxes_of(costly.words) == boxes_of(once.words)


def test_only_what_waits_elsewhere_is_read_in_the_first_view():
    other = (250, 30, 310, 55)  # its gain is not known to be worth a second pass
    heights = Gains({0.5: {1.0: ((0.0,) * 5, (1.0,) * 5, (1.0, 0.0, 0.0, 0.0, 0.0), (0.0,) * 5)}})
    rule = SecondPassRule(gain_threshold=1, gains=heights)
    result = read_in_two_passes(BoxBackend(least=3), photo((30, 40, 50, 48), other), 0.4, rule)
    np.testing.assert_allclose(boxes_of(result.words), sorted([[30, 40, 50, 48], list(other)]), atol=1)
    assert (result.reads, result.again) == ((1, 1), 0)


def test_words_of_two_passes_are_compared_with_one_that_reads_each_once():
    def cost(height: int, width: int, words: float) -> float:
        return height * width + 100 * words

    assert SpottingResult([], ((2, 2),), (3,)).full((4, 4), cost) == 16 + 300
    assert SpottingResult([], ((2, 2), (1, 1)), (3, 4), again=1).full((4, 4), cost) == 16 + 600
    assert SpottingResult([], ((2, 2), (1, 1)), (3, 1), again=1).full((4, 4), cost) == 16 + 300
    assert SpottingResult([], ((2, 2), (1, 1)), (3, 4), again=1).spent(cost) == 4 + 1 + 700


def test_a_faint_region_is_read_again_only_below_its_probability():
    image = photo(dim=(100, 100, 160, 130))
    for threshold, passes in ((0.15, 2), (0.25, 1)):
        assert len(read_in_two_passes(BoxBackend(), image, 0.5, SecondPassRule(threshold=threshold)).sizes) == passes


def test_an_image_full_of_text_is_read_whole():
    # Two blocks of three lines beside a column of six: on shelves of a mosaic they would take more than the image has.
    rows = [(20, top, 200, top + 14) for top in (24, 54, 84, 150, 182, 214)]
    rows += [(250, top, 360, top + 14) for top in range(24, 215, 38)]
    backend = BoxBackend()
    result = read_in_two_passes(backend, photo(*rows), 0.5, SecondPassRule(gain_threshold=0, context=22))
    assert result.sizes == ((128, 192), (256, 384))
    np.testing.assert_allclose(boxes_of(result.words), sorted(map(list, rows)), atol=1)


def test_what_the_first_pass_has_cost_is_no_longer_there():
    image = photo(LOW)
    pixels = image[..., 0].size

    def cost(height: int, width: int, words: float) -> float:
        return height * width / pixels

    for most, passes in ((0.45, 2), (0.27, 1)):  # the first pass takes a quarter, the region with its surroundings a twentieth
        cap = CostCap(most, image.shape[:2], cost)
        assert len(read_in_two_passes(BoxBackend(), image, 0.5, SecondPassRule(gain_threshold=1), cap).sizes) == passes
    cap = CostCap(0.3, image.shape[:2], lambda height, width, words: height * width / pixels + words / 25)
    image = photo(*((20 + 60 * (k % 4), 20 + 60 * (k // 4), 60 + 60 * (k % 4), 50 + 60 * (k // 4)) for k in range(12)))
    for min_height in (12, 100):
        result = read_in_two_passes(BoxBackend(), image, 0.4, SecondPassRule(gain_threshold=1, min_height=min_height), cap)
        assert result.reads == (5,)  # 0.14 beside the pixels, at 0.028 a word, the rest of which is compared with


@pytest.mark.parametrize("most", [0.2, 0.35, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("min_height", [0, 12, 100, inf])
def test_a_cap_holds_whatever_waits(most: float, min_height: float):
    rows = [(20 + 90 * (k % 4), 20 + 30 * (k // 4), 80 + 90 * (k % 4), 20 + 30 * (k // 4) + 8 + 2 * (k % 8)) for k in range(28)]
    image = photo(*rows)

    def cost(height: int, width: int, words: float) -> float:
        return height * width / image[..., 0].size + words / 50

    cap, backend = CostCap(most, image.shape[:2], cost), BoxBackend(least=3, cost=cost)
    twice = read_in_two_passes(backend, image, 0.4, SecondPassRule(gain_threshold=0, min_height=min_height), cap)
    assert twice.spent(cost) / twice.full(image.shape[:2], cost) <= most
    once = read_in_two_passes(backend, image, 0.4, SecondPassRule(gain_threshold=inf), cap)
    assert 0 < once.reads[0] <= sum(twice.reads)
    assert len(twice.words) >= len(once.words)


def test_nothing_waits_in_a_first_pass_at_half_of_the_sides():
    """As at less, but for its scores."""
    backend = BoxBackend(least=3)
    for scale, reads in ((0.4, (0, 1)), (0.5, (1, 1))):
        assert read_in_two_passes(backend, photo(LOW), scale, SecondPassRule()).reads == reads


def test_each_word_is_read_once_where_all_of_them_wait():
    backend = BoxBackend(least=3)
    for scale in (0.4, 0.5, 0.8):
        result = read_in_two_passes(backend, photo(LOW, HIGH), scale, SecondPassRule(gain_threshold=0.1, min_height=inf))
        assert sum(result.reads) == len(result.words) == 2
        assert result.again == 0


def test_a_region_is_read_again_while_its_gain_is_worth_its_area():
    image, scale = photo(dim=(100, 100, 160, 130)), 0.5
    (detections,) = BoxBackend().detect([image], scale)
    (region,) = find_regions(detections.probability, (128, 192), (256, 384), [], 0.15, 12)
    worth = region.evidence[UNREAD].sum() * image.shape[0] * image.shape[1] / region.area
    assert worth > 0
    for threshold, passes in ((0.99 * worth, 2), (1.01 * worth, 1), (inf, 1)):
        result = read_in_two_passes(BoxBackend(), image, scale, SecondPassRule(gain_threshold=threshold))
        assert len(result.sizes) == passes


@pytest.mark.parametrize(("context", "size"), [(400, (179, 269)), (8, (50, 56))])
def test_regions_and_the_whole_image_can_be_read_again_at_a_scale_between(context: int, size: tuple[int, int]):
    rule = replace(gained(1.0, 0.99), gain_threshold=1.0, context=context)
    result = read_in_two_passes(BoxBackend(least=6), photo(LOW, dim=(100, 100, 160, 130)), 0.25, rule)
    assert result.sizes == ((64, 96), size)
    np.testing.assert_allclose(boxes_of(result.words), [LOW], atol=2)


def test_of_two_readings_of_a_region_the_likelier_stays():
    def word(left: float, right: float, score: float) -> Word:
        return Word(np.array([[left, 0], [right, 0], [right, 10], [left, 10]], np.float32), f"{score}", score)

    line, part, beside = word(0, 100, 0.6), word(0, 45, 0.9), word(44, 100, 0.8)
    assert merge_passes([line], [part, beside]) == [part, beside]  # what shares a pixel is no second reading
    assert merge_passes([line], [word(60, 100, 0.5)]) == [line]
    assert merge_passes([line, word(60, 100, 0.5)], []) == [line]
    assert merge_passes([], []) == []


def test_of_two_readings_the_closer_one_may_be_a_little_less_sure():
    def word(score: float) -> Word:
        return Word(np.array([[0, 0], [90, 0], [90, 10], [0, 10]], np.float32), "", score)

    for before, after, kept in ((0.84, 0.80, 0.80), (0.86, 0.80, 0.86), (0.80, 0.80, 0.80)):
        first, second = word(before), word(after)
        assert merge_passes([first], [second]) == [second if kept == after else first]


def test_a_large_word_is_kept_that_a_closer_pass_misses():
    class Shortsighted(BoxBackend):
        """Sees nothing that is higher than 30 pixels."""

        def detect(self, images: Sequence[np.ndarray], scale: float, keep_all: bool = False) -> list[Detections]:
            found = super().detect(images, scale, keep_all)
            low = [np.flatnonzero(one.heights() <= 30) for one in found]
            return [replace(one, proposals=one.proposals.take(kept)) for one, kept in zip(found, low, strict=True)]

    result = read_in_two_passes(Shortsighted(), photo(LOW, HIGH), 0.5, SecondPassRule(gain_threshold=0))
    np.testing.assert_allclose(boxes_of(result.words), sorted([list(LOW), list(HIGH)]), atol=1)


def test_what_either_pass_left_out_is_told():
    class Overwhelmed(BoxBackend):
        """Leaves out two regions of each view."""

        def detect(self, images, scale, keep_all=False):
            """See :meth:`Backend.detect`."""
            found = super().detect(images, scale, keep_all)
            return [replace(one, proposals=replace(one.proposals, dropped=2)) for one in found]

    image = photo(LOW)
    assert read_in_two_passes(Overwhelmed(), image, 0.4, SecondPassRule(gain_threshold=inf)).dropped == 2
    twice = read_in_two_passes(Overwhelmed(), image, 0.4, SecondPassRule())
    assert (len(twice.sizes), twice.dropped) == (2, 4)
