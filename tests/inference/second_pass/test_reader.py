"""A second look: with a reader of bright boxes that misses what is low in its view."""

import json
from collections.abc import Sequence
from dataclasses import replace
from math import inf

import cv2
import numpy as np
import pytest
import torch
from dld_spotter.inference.second_pass.reader import SecondLook
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from dld_spotter.budget.cap import CostCap
from dld_spotter.config.entry import ROOT
from dld_spotter.core.batches import SpottingResult, View, Word
from dld_spotter.core.errors import CheckpointError, ConfigError
from dld_spotter.core.geometry import boundaries_to_polygon
from dld_spotter.data.views import make_view
from dld_spotter.inference.second_pass.two_pass import merge_passes
from dld_spotter.models.contours import Proposals
from dld_spotter.models.detections import Detections
from dld_spotter.models.spotter import Spotter
from dld_spotter.selection.second_pass.gains import FOUND, READ, SHAPE, UNREAD, Gains, closer
from dld_spotter.selection.second_pass.regions import Region, find_regions
from dld_spotter.selection.second_pass.rule import Again, SecondPassRule, choose


def area(height: int, width: int, words: float) -> float:
    """Cost of a view: its pixels; words are free."""
    return float(height * width)


LOW, HIGH = (30, 40, 90, 52), (200, 150, 320, 190)
"""Left, top, right and bottom of a word that is 12 and one that is 40 pixels high."""


class BoxReader(nn.Module):
    """Reads bright boxes of at least ``least`` pixels of its view, with a score that follows their height."""

    def __init__(self, least: float = 10.0) -> None:
        super().__init__()
        self.stride, self.least = 32, least
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[int, int]] = []

    def find(self, view: View) -> list[Detections]:
        """Bright boxes; probability 0.9 within these and 0.2 in dim ones, at half of the resolution."""
        height, width = view.sizes[0].tolist()
        self.seen.append((height, width))
        mask = (view.images[0, 0, :height, :width].numpy() > 180).astype(np.uint8)
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        boxes = [box for box in stats[1:count, :4].tolist() if box[3] >= self.least]
        sides = [[[[x, y], [x + w, y]], [[x, y + h], [x + w, y + h]]] for x, y, w, h in boxes]
        regions = Proposals(np.array(sides, np.float32).reshape(-1, 2, 2, 2), np.ones(len(boxes)), np.full(len(boxes), -1))
        values = view.images[0, 0, ::2, ::2].numpy()
        probability = np.where(values > 180, 0.9, np.where(values > 90, 0.2, 0.01)).astype(np.float32)
        return [Detections((height, width), probability, regions, view.factors[0].numpy())]

    def read(self, all_detections: Sequence[Detections], which: Sequence[np.ndarray]) -> list[list[Word]]:
        """All words are alike."""
        return [
            self.words(detections, detections.proposals.sides[kept])
            for detections, kept in zip(all_detections, which, strict=True)
        ]

    @staticmethod
    def words(detections: Detections, sides: np.ndarray) -> list[Word]:
        """A word in each of the boxes."""
        heights = np.ptp(sides[:, :, 0, 1], axis=1)
        polygons = [boundaries_to_polygon(one / detections.factors) for one in sides]
        return [Word(polygon, "word", min(h / 20, 1.0)) for polygon, h in zip(polygons, heights.tolist(), strict=True)]

    read_all = Spotter.read_all


def read_in_two_passes(reader: BoxReader, image: np.ndarray, scale: float, rule: SecondPassRule) -> SpottingResult:
    view = replace(make_view([image], scale), full=make_view([image], 1.0))
    return SecondLook(reader, rule, area).results(view)[0]


def photo(*boxes: tuple[int, int, int, int], dim: tuple[int, int, int, int] | None = None) -> np.ndarray:
    image = np.zeros((256, 384, 3), np.uint8)
    for left, top, right, bottom in boxes:
        image[top:bottom, left:right] = 255
    if dim:
        image[dim[1] : dim[3], dim[0] : dim[2]] = 120
    return image


def boxes_of(words: list[Word]) -> list[list[float]]:
    return sorted([*word.polygon.min(0).tolist(), *word.polygon.max(0).tolist()] for word in words)


def test_what_was_missed_is_found_where_it_stands():
    reader = BoxReader()
    look = read_in_two_passes(reader, photo(LOW, HIGH), 0.5, SecondPassRule(price=1))
    np.testing.assert_allclose(boxes_of(look.words), sorted([list(LOW), list(HIGH)]), atol=1)
    assert look.sizes[0] == (128, 192)
    mosaic = look.sizes[1]
    around = (LOW[2] - LOW[0] + 2 * 12, LOW[3] - LOW[1] + 2 * 12)
    assert mosaic[0] * mosaic[1] < 1.7 * around[0] * around[1]  # the low word alone, with its surroundings
    assert look.reads == (1, 1)


def test_nothing_is_looked_at_twice_where_all_is_sure():
    reader = BoxReader()
    look = read_in_two_passes(reader, photo(HIGH), 0.5, SecondPassRule(price=1))
    assert reader.seen == [(128, 192)]
    assert look.sizes == ((128, 192),)
    np.testing.assert_allclose(boxes_of(look.words), [HIGH], atol=1)


def test_the_reference_is_read_once():
    reader = BoxReader()
    read_in_two_passes(reader, photo(LOW), 1.0, SecondPassRule())
    assert reader.seen == [(256, 384)]


def test_what_was_read_less_surely_is_replaced():
    look = read_in_two_passes(BoxReader(least=4), photo(LOW), 0.5, SecondPassRule())
    (word,) = look.words
    assert word.score == pytest.approx(12 / 20)  # as high as it is at full resolution
    assert (look.reads, look.again) == ((1, 1), 1)


def test_what_is_low_is_read_once_where_it_is_seen_best():
    again, once = (
        read_in_two_passes(BoxReader(least=4), photo(LOW, HIGH), 0.4, SecondPassRule(price=price)) for price in (5, inf)
    )
    np.testing.assert_allclose(boxes_of(again.words), sorted([list(LOW), list(HIGH)]), atol=2)
    assert (again.reads, again.again) == ((1, 1), 0)
    assert (once.reads, once.sizes) == ((2,), ((102, 154),))
    costly = read_in_two_passes(BoxReader(least=4), photo(LOW, HIGH), 0.4, SecondPassRule(price=1000))
    assert (costly.reads, costly.sizes) == (once.reads, once.sizes)
    assert boxes_of(costly.words) == boxes_of(once.words)


def test_only_what_waits_elsewhere_is_read_in_the_first_view():
    other = (250, 30, 310, 55)  # its gain is not known to be worth a look
    heights = Gains({0.5: {1.0: ((0.0,) * 5, (1.0,) * 5, (1.0, 0.0, 0.0, 0.0, 0.0), (0.0,) * 5)}})
    rule = SecondPassRule(price=1, gains=heights)
    look = read_in_two_passes(BoxReader(least=3), photo((30, 40, 50, 48), other), 0.4, rule)
    np.testing.assert_allclose(boxes_of(look.words), sorted([[30, 40, 50, 48], list(other)]), atol=1)
    assert (look.reads, look.again) == ((1, 1), 0)


def test_words_of_two_looks_are_compared_with_one_that_reads_each_once():
    def cost(height: int, width: int, words: float) -> float:
        return height * width + 100 * words

    assert SpottingResult([], ((2, 2),), (3,)).full((4, 4), cost) == 16 + 300
    assert SpottingResult([], ((2, 2), (1, 1)), (3, 4), again=1).full((4, 4), cost) == 16 + 600
    assert SpottingResult([], ((2, 2), (1, 1)), (3, 1), again=1).full((4, 4), cost) == 16 + 300
    assert SpottingResult([], ((2, 2), (1, 1)), (3, 4), again=1).spent(cost) == 4 + 1 + 700


def test_a_faint_place_is_looked_at_only_below_its_probability():
    image = photo(dim=(100, 100, 160, 130))
    for threshold, results in ((0.15, 2), (0.25, 1)):
        assert len(read_in_two_passes(BoxReader(), image, 0.5, SecondPassRule(threshold=threshold)).sizes) == results


def test_an_image_full_of_text_is_read_whole():
    # Two blocks of three lines beside a column of six: on shelves of a sheet they would take more than the image has.
    rows = [(20, top, 200, top + 14) for top in (24, 54, 84, 150, 182, 214)]
    rows += [(250, top, 360, top + 14) for top in range(24, 215, 38)]
    reader = BoxReader()
    look = read_in_two_passes(reader, photo(*rows), 0.5, SecondPassRule(price=0, context=22))
    assert look.sizes == ((128, 192), (256, 384))
    np.testing.assert_allclose(boxes_of(look.words), sorted(map(list, rows)), atol=1)


def gained(words: float, between: float = 0.0, scale: float = 0.25) -> SecondPassRule:
    """A rule that expects so many words of every unread one at full resolution, and so many of a look at 0.7."""
    tables = {second: ((0.0,) * 5, (0.0,) * 5, (found,) * 5, (found,) * 5) for second, found in ((0.7, between), (1.0, words))}
    return SecondPassRule(gains=Gains({scale: tables}))


def test_what_brings_most_beyond_its_price_is_taken():
    evidence = np.zeros(SHAPE)
    evidence[UNREAD, 2] = 1.0
    small, large = Region((0, 0, 20, 10), evidence), Region((0, 50, 100, 100), 4 * evidence)  # 2 and 50 % of the image
    both, whole = [small, large], (100, 100)

    def chosen(price: float, between: float = 0.0):
        return choose(both, 0.25, whole, gained(1.0, between), price, area)

    assert chosen(51) is None
    assert chosen(49) == Again(1.0, [small])  # 1 word for 2 %
    assert chosen(9) == Again(1.0, [small])  # the other one's 4 words for 50 % are worth 8 per area
    assert chosen(7) == Again(1.0, both)  # gain 5 on a sheet of 60 %: 5 - 4.2
    # At a price of 7, the sheet at 0.7 takes 29 % of it: 5 * between - 2.058 is more than 0.8 from 0.572 words each on.
    assert chosen(7, 0.57) == Again(1.0, both)
    assert chosen(7, 0.58) == Again(0.7, both)
    assert chosen(0, 0.99) == Again(1.0, both)  # as much as the whole image brings, for less
    assert choose([], 0.25, whole, gained(1.0), 0.0, area) is None


def test_the_whole_image_is_read_again_where_places_on_a_sheet_take_more():
    evidence = np.zeros(SHAPE)
    evidence[UNREAD, 2] = 1.0
    found = [Region((0, 0, 60, 48), evidence), Region((0, 50, 60, 98), evidence), Region((62, 0, 100, 98), evidence)]
    # In two rows they take 146 pixels in height and 102 in width.
    assert choose(found, 0.25, (100, 100), gained(1.0), 0.1, area) == Again(1.0)
    assert choose(found, 0.25, (100, 100), gained(1.0, 0.99), 0.1, area) == Again(0.7)
    assert choose(found, 0.25, (100, 100), gained(1.0, 0.96), 0.1, area) == Again(1.0)  # 0.12 words for 0.051


def test_words_have_their_price_at_every_scale():
    evidence = np.zeros(SHAPE)
    evidence[READ, 2] = 1.0
    rule = SecondPassRule(
        gains=Gains(
            {0.25: {scale: ((gain,) * 5, (0.0,) * 5, (0.0,) * 5, (0.0,) * 5) for scale, gain in ((0.7, 0.3), (1.0, 0.4))}}
        )
    )

    def chosen(word: float, price: float):
        found = [Region((0, 0, 20, 10), evidence)]
        return choose(found, 0.25, (100, 100), rule, price, lambda height, width, words: height * width + word * words)

    # 200 pixels take 0.02, at 0.7 0.0098, and 100 pixels a word 0.01 at both: 0.4 - 0.03 p beside 0.3 - 0.0198 p.
    for price, scale in ((9, 1.0), (10, 0.7), (15, 0.7)):
        assert chosen(100, price).scale == scale
    assert chosen(100, 16) is None  # 0.3 - 0.3168
    assert chosen(0, 16).scale == 0.7  # 0.3 - 0.1568


def test_words_that_wait_are_read_anyway_and_have_no_price():
    def cost(height: int, width: int, words: float) -> float:
        return height * width + 100 * words

    for kind, price in ((UNREAD, 33), (FOUND, 49)):  # 1 word for 2 % of the area, and for a word as dear as 1 %
        evidence = np.zeros(SHAPE)
        evidence[kind, 2] = 1.0
        region = Region((0, 0, 20, 10), evidence)
        assert choose([region], 0.5, (100, 100), gained(1.0), price, cost) == Again(1.0, [region])
        assert choose([region], 0.5, (100, 100), gained(1.0), price + 2, cost) is None


def test_a_second_look_is_at_full_resolution_or_far_closer():
    assert closer(0.25, [0.25, 0.5, 0.6, 0.7, 1.0]) == [0.6, 0.7, 1.0]
    assert closer(0.3, [0.5, 0.7, 1.0]) == closer(0.7, [0.8, 1.0]) == [1.0]
    assert closer(0.95, [1.0]) == []  # which sees the same
    region = Region((0, 0, 50, 100), np.ones(SHAPE))
    for scale, again in ((0.25, 0.7), (0.4, 1.0)):  # the tables of 0.25 are the nearest ones
        assert choose([region], scale, (100, 100), gained(1.0, 5.0), 0.1, area) == Again(again, [region])
    assert choose([region], 0.95, (100, 100), gained(1.0, 5.0), 0.1, area) is None


def test_what_cannot_be_afforded_is_left_out_the_least_worthy_first():
    evidence = np.zeros(SHAPE)
    evidence[UNREAD, 2] = 1.0
    small, large = Region((0, 0, 20, 10), evidence), Region((0, 50, 100, 100), 4 * evidence)  # 2 and 50 % of the image
    whole = (100, 100)

    def chosen(left: float, rule: SecondPassRule):
        limit = CostCap(left, whole, lambda height, width, words: height * width / 1e4 + words / 100).after(
            SpottingResult([], ((0, 0),), (0,))
        )
        return choose([large, small], 0.25, whole, rule, 0.1, area, limit)

    # Both need 60 % for a sheet and 1 % for each of 5 words, at 0.7 29.4 % and 5 %; the small place 2 % and 1 %.
    assert chosen(0.66, gained(1.0)) == Again(1.0, [small, large])
    assert chosen(0.64, gained(1.0)) == Again(1.0, [small])
    assert chosen(0.02, gained(1.0)) is None
    assert chosen(0.64, gained(1.0, 0.9)) == Again(0.7, [small, large])
    assert chosen(0.33, gained(1.0, 0.9)) == Again(1.0, [small])


def test_what_the_first_look_has_cost_is_no_longer_there():
    image = photo(LOW)
    view = replace(make_view([image], 0.5), full=make_view([image], 1.0))
    pixels = image[..., 0].size
    for most, results in ((0.45, 2), (0.27, 1)):  # the first look takes a quarter, the place with its surroundings a twentieth
        limit = CostCap(most, image.shape[:2], lambda height, width, words: height * width / pixels)
        (look,) = SecondLook(BoxReader(), SecondPassRule(price=1), area).results(view, limits=[limit])
        assert len(look.sizes) == results
    word = CostCap(0.3, image.shape[:2], lambda height, width, words: height * width / pixels + words / 25)
    image = photo(*((20 + 60 * (k % 4), 20 + 60 * (k // 4), 60 + 60 * (k % 4), 50 + 60 * (k // 4)) for k in range(12)))
    view = replace(make_view([image], 0.4), full=make_view([image], 1.0))
    for readable in (12, 100):
        (look,) = SecondLook(BoxReader(), SecondPassRule(price=1, readable=readable), area).results(view, limits=[word])
        assert look.reads == (5,)  # 0.14 beside the pixels, at 0.028 a word, the rest of which is compared with


@pytest.mark.parametrize("most", [0.2, 0.35, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("legible", [0, 12, 100])
def test_a_limit_holds_whatever_waits(most: float, readable: float):
    rows = [(20 + 90 * (k % 4), 20 + 30 * (k // 4), 80 + 90 * (k % 4), 20 + 30 * (k // 4) + 8 + 2 * (k % 8)) for k in range(28)]
    image = photo(*rows)
    view = replace(make_view([image], 0.4), full=make_view([image], 1.0))

    def cost(height: int, width: int, words: float) -> float:
        return height * width / image[..., 0].size + words / 50

    limit = CostCap(most, image.shape[:2], cost)
    (look,) = SecondLook(BoxReader(least=3), SecondPassRule(price=0, readable=readable), cost).results(view, limits=[limit])
    assert look.spent(cost) / look.full(image.shape[:2], cost) <= most
    (once,) = SecondLook(BoxReader(least=3), SecondPassRule(), cost).results(view, [inf], [limit])
    assert 0 < once.reads[0] <= sum(look.reads)
    assert len(look.words) >= len(once.words)


def test_a_rule_keeps_its_own_gains_and_takes_those_of_a_ladder_where_it_has_none():
    learned = gained(2.0)
    assert SecondPassRule(price=7.0).taught_by(learned) == replace(learned, price=7.0, readable=12)
    assert SecondPassRule().taught_by(replace(learned, readable=20)).height == 20  # with which the gains were learned
    assert SecondPassRule(readable=8).taught_by(replace(learned, readable=20)).height == 8
    assert gained(3.0).taught_by(learned) == gained(3.0)


def test_nothing_waits_in_a_look_at_half_of_the_sides():
    """As at less, but for its scores."""
    reader = BoxReader(least=3)
    for scale, reads in ((0.4, (0, 1)), (0.5, (1, 1))):
        assert read_in_two_passes(reader, photo(LOW), scale, SecondPassRule()).reads == reads


def test_a_rule_comes_back_from_plain_values():
    rule = gained(0.25, 0.5)
    assert SecondPassRule.read(json.loads(json.dumps(rule.plain())), "here") == replace(rule, readable=12)
    for wrong in (
        {"gains": {"tables": {}}},
        {"gains": {"tables": {"0.5": {"1.0": [[1]]}}}},
        {"gains": {"tables": {"0.5": [[1]]}}},
        {"gains": 1},
    ):
        with pytest.raises(CheckpointError, match="here holds a damaged or older rule"):
            SecondPassRule.read(rule.plain() | wrong, "here")


def test_a_place_is_looked_at_again_while_its_gain_is_worth_its_area():
    image, scale = photo(dim=(100, 100, 160, 130)), 0.5
    view = make_view([image], scale)
    (detections,) = BoxReader().find(view)
    (region,) = find_regions(detections.probability, (128, 192), (256, 384), [], 0.15, 12)
    worth = region.evidence[UNREAD].sum() * image.shape[0] * image.shape[1] / region.area
    assert worth > 0
    for price, results in ((0.99 * worth, 2), (1.01 * worth, 1), (float("inf"), 1)):
        assert len(read_in_two_passes(BoxReader(), image, scale, SecondPassRule(price=price)).sizes) == results


@pytest.mark.parametrize(("context", "size"), [(400, (179, 269)), (8, (50, 56))])
def test_places_and_the_whole_image_can_be_read_again_at_a_scale_between(context: int, size: tuple[int, int]):
    rule = replace(gained(1.0, 0.99), price=1.0, context=context)
    look = read_in_two_passes(BoxReader(least=6), photo(LOW, dim=(100, 100, 160, 130)), 0.25, rule)
    assert look.sizes == ((64, 96), size)
    np.testing.assert_allclose(boxes_of(look.words), [LOW], atol=2)


def test_commands_look_again_as_the_library_does():
    rule = OmegaConf.load(ROOT / "conf" / "escalation" / "default.yaml")
    assert instantiate(rule) == SecondPassRule()


def test_of_two_readings_of_a_place_the_likelier_stays():
    def word(left: float, right: float, score: float) -> Word:
        return Word(np.array([[left, 0], [right, 0], [right, 10], [left, 10]], np.float32), f"{score}", score)

    line, part, beside = word(0, 100, 0.6), word(0, 45, 0.9), word(44, 100, 0.8)
    assert merge_passes([line], [part, beside]) == [part, beside]  # what shares a pixel is no second reading
    assert merge_passes([line], [word(60, 100, 0.5)]) == [line]
    assert merge_passes([line, word(60, 100, 0.5)], []) == [line]
    assert merge_passes([], []) == []


def test_of_two_readings_the_closer_one_is_believed_a_little_more():
    def word(score: float) -> Word:
        return Word(np.array([[0, 0], [90, 0], [90, 10], [0, 10]], np.float32), "", score)

    for before, after, kept in ((0.84, 0.80, 0.80), (0.86, 0.80, 0.86), (0.80, 0.80, 0.80)):
        first, second = word(before), word(after)
        assert merge_passes([first], [second]) == [second if kept == after else first]


def test_a_large_word_is_kept_that_a_closer_look_misses():
    class Shortsighted(BoxReader):
        """Sees nothing that is higher than 30 pixels."""

        def find(self, view: View) -> list[Detections]:
            (detections,) = super().find(view)
            return [replace(detections, regions=detections.proposals.take(np.flatnonzero(detections.heights() <= 30)))]

    look = read_in_two_passes(Shortsighted(), photo(LOW, HIGH), 0.5, SecondPassRule(price=0))
    np.testing.assert_allclose(boxes_of(look.words), sorted([list(LOW), list(HIGH)]), atol=1)


def test_rules_out_of_range_are_refused():
    for wrong in ({"threshold": 0.0}, {"price": -1.0}, {"context": -1}, {"context": 2.5}, {"legible": -1.0}):
        with pytest.raises(ConfigError, match="escalation needs"):
            SecondPassRule(**wrong)
