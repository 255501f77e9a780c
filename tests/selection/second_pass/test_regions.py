"""Regions that may hold words, and the mosaic that they are cut out for."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dld_spotter.core.words import Word
from dld_spotter.selection.second_pass.gains import FOUND, LACKING, READ, SHAPE, UNREAD
from dld_spotter.selection.second_pass.mosaic import from_mosaic, lay_out, make_mosaic
from dld_spotter.selection.second_pass.regions import Region, depths, find_regions


def test_regions_near_each_other_are_one():
    probability = np.zeros((64, 96), np.float32)
    probability[10:14, 10:20] = probability[10:14, 22:30] = probability[50:54, 60:70] = 0.5
    found = find_regions(probability, (128, 192), (256, 384), [], 0.15, 8)
    # A cell is 4 pixels of the reference; 8 pixels of surroundings are 2 cells, which joins what is 2 cells apart.
    assert sorted(region.box for region in found) == [(4 * 8, 4 * 8, 4 * 32, 4 * 16), (4 * 58, 4 * 48, 4 * 72, 4 * 56)]


def test_regions_that_would_take_more_as_one_stay_apart():
    probability = np.zeros((64, 96), np.float32)
    probability[10:14, 10:20] = probability[14:18, 20:30] = 0.5  # they touch at a corner: one region
    probability[30:34, 10:20] = probability[35:39, 21:31] = 0.5  # one cell apart in each direction
    found = find_regions(probability, (128, 192), (256, 384), [], 0.15, 8)
    first, second, third = sorted((region.box for region in found), key=lambda box: box[1])
    assert first == (32, 32, 128, 80)
    # Around both it would be 100 x 52 pixels, as 56 x 32 twice it is less.
    assert (second, third) == ((32, 112, 88, 144), (76, 132, 132, 164))


def test_depth_is_what_is_shown_around_the_outermost_points():
    boxes = np.array([(0, 0, 60, 20), (50, 0, 70, 90), (100, 100, 110, 110)])
    word = np.array([[52, 5], [66, 5], [66, 15], [52, 15]])
    np.testing.assert_array_equal(depths(boxes, word), [-6, 2, -np.inf])
    np.testing.assert_array_equal(depths(boxes, word - [12, 0]), [5, -np.inf, -np.inf])
    assert depths(boxes[:0], word).shape == (0,)


def of_box(left: float, top: float, right: float, bottom: float) -> Word:
    return Word(np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32), "word", 0.9)


def shifted(word: Word, region: Region, corner: Sequence[int]) -> Word:
    """A word of a region as it stands on the mosaic."""
    return replace(word, polygon=word.polygon + np.subtract(corner, region.box[:2]).astype(np.float32))


def test_what_several_regions_show_counts_in_the_one_that_shows_most_of_it():
    nothing = np.zeros(SHAPE)
    # A line aslant, and a word at its side that reaches into its box: deeper than in its own, flat one, but not all of it.
    line, flat = Region((0, 0, 300, 300), nothing), Region((225, 10, 325, 50), nothing)
    whole, part = of_box(237, 22, 313, 38), of_box(237, 22, 300, 38)
    _, corners = make_mosaic(np.zeros((300, 325, 3), np.uint8), [line.box, flat.box])
    read = [shifted(part, line, corners[0]), shifted(whole, flat, corners[1])]
    ((region, word),) = from_mosaic(read, [line, flat], corners, [line, flat])
    assert region is flat
    np.testing.assert_allclose(word.polygon, whole.polygon)
    # What ends with its cut-out is a piece of what the other region shows, even if that is not read again.
    assert from_mosaic(read[:1], [line], corners[:1], [line, flat]) == []
    # What is read as a whole stays where the region that shows more around it is not read again.
    inside = of_box(240, 20, 280, 40)
    for cut, count in (([line, flat], 0), ([flat], 1)):
        known = from_mosaic([shifted(inside, flat, corners[1])], cut, corners[-len(cut) :], [line, flat])
        assert len(known) == count
    assert not from_mosaic([of_box(900, 900, 910, 910)], [line, flat], corners, [line, flat])


def test_evidence_in_several_regions_is_of_one():
    probability = np.zeros((64, 96), np.float32)
    probability[30:34, 10:20] = probability[35:39, 21:31] = 0.5  # 40 x 16 pixels at (40, 120), the same at (84, 140)
    words = [of_box(40, 118, 80, 138), of_box(84, 138, 124, 158)]
    found = find_regions(probability, (128, 192), (256, 384), words, 0.15, 8)
    assert [region.evidence[READ].sum() for region in found] == [1, 1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*(st.integers(0, 60) for _ in range(4))), max_size=12))
def test_regions_hold_all_text_and_none_could_be_joined(regions: list[tuple[int, int, int, int]]):
    probability = np.zeros((64, 96), np.float32)
    for x, y, w, h in regions:
        probability[y : y + 1 + h // 10, x : x + 1 + w // 4] = 0.5
    found = [region.box for region in find_regions(probability, (128, 192), (256, 384), [], 0.15, 8)]
    for y, x in np.argwhere(probability > 0):  # a cell is 4 pixels of the reference
        around = (max(4 * x - 8, 0), max(4 * y - 8, 0), min(4 * x + 12, 384), min(4 * y + 12, 256))
        assert any((np.subtract(box, around) * (1, 1, -1, -1) <= 0).all() for box in found)

    def area(boxes: list[tuple[int, int, int, int]]) -> int:
        lows, highs = np.array(boxes)[:, :2].min(0), np.array(boxes)[:, 2:].max(0)
        return int((highs - lows).prod())

    for one, other in combinations(found, 2):
        assert area([one, other]) > area([one]) + area([other])


def test_evidence_is_what_was_read_how_surely_and_what_was_not():
    probability = np.zeros((64, 96), np.float32)
    probability[10:14, 10:20] = 0.5  # 8 pixels of the view high, covered by a word
    probability[50:54, 60:70] = 0.5  # nobody has read it
    probability[51, 65] = 0.75
    corners = np.array([[32, 36], [84, 36], [84, 60], [32, 60]], np.float32)  # 12 pixels of the view high
    words = [Word(corners, "one", 0.9), Word(corners + 1, "two", 0.6)]
    one, other = sorted(find_regions(probability, (128, 192), (256, 384), words, 0.15, 8), key=lambda region: region.box)
    expected = np.zeros(SHAPE)
    expected[READ, 1], expected[LACKING, 1] = 2, 0.1 + 0.4
    np.testing.assert_allclose(one.evidence, expected, atol=1e-6)
    expected = np.zeros(SHAPE)
    expected[UNREAD, 2] = 0.75  # 4 cells of a shrunken map: 8 pixels / 0.6
    np.testing.assert_allclose(other.evidence, expected, atol=1e-6)
    assert one.area == 14 * 4 * 8 * 4
    assert (one.words, one.more) == (2, 2)


def test_what_was_found_and_waits_is_counted_and_no_other_text_there():
    probability = np.zeros((64, 96), np.float32)
    probability[10:14, 10:20] = 0.9
    probability[12:14, 18:24] = 0.5  # the map of another word goes on
    corners = np.array([[32, 36], [80, 36], [80, 60], [32, 60]], np.float32)
    (region,) = find_regions(probability, (128, 192), (256, 384), [], 0.15, 8, [corners, corners + 2])
    expected = np.zeros(SHAPE)
    expected[FOUND, 1] = 2  # 12 pixels of the view high
    expected[UNREAD] = region.evidence[UNREAD]
    np.testing.assert_allclose(region.evidence, expected)
    assert region.evidence[UNREAD].sum() == pytest.approx(0.5)
    assert (region.words, region.more) == (2.5, 0.5)  # two are read anyway


def test_long_text_without_a_reading_may_hold_several_words():
    probability = np.zeros((64, 96), np.float32)
    probability[10:14, 10:58] = 0.5
    (region,) = find_regions(probability, (128, 192), (256, 384), [], 0.15, 12)
    assert region.evidence[UNREAD].sum() == pytest.approx(0.5 * 48 / 4 / 4)


boxes = st.tuples(*(st.integers(0, 200) for _ in range(2)), *(st.integers(1, 90) for _ in range(2)))


@settings(max_examples=60, deadline=None)
@given(st.lists(boxes, min_size=1, max_size=12))
def test_cut_outs_lie_apart_and_unchanged(regions: list[tuple[int, int, int, int]]):
    image = np.random.default_rng(0).integers(1, 255, (300, 300, 3), dtype=np.uint8)
    cut = [(x, y, x + w, y + h) for x, y, w, h in regions]
    mosaic, corners = make_mosaic(image, cut)
    taken = np.zeros(mosaic.shape[:2], int)
    for (left, top, right, bottom), (x, y) in zip(cut, corners, strict=True):
        region = np.s_[y : y + bottom - top, x : x + right - left]
        np.testing.assert_array_equal(mosaic[region], image[top:bottom, left:right])
        taken[region] += 1
    assert taken.max() == 1
    assert not mosaic[taken == 0].any()
    total, widest, highest = (
        sum(w * h for _, _, w, h in regions),
        max(w for _, _, w, _ in regions),
        max(h for *_, h in regions),
    )
    width = max(widest, 0.7 * total**0.5 + 1)  # the smallest that is tried
    # What begins a shelf found no room on the one before: all but the first take half of the mosaic at most in vain.
    assert mosaic.shape[0] * mosaic.shape[1] <= 2 * total + width * highest


def test_low_cut_outs_fill_the_shelves_of_high_ones():
    (height, width), corners = lay_out([(0, 0, 60, 40), (0, 0, 60, 30), (0, 0, 40, 20), (0, 0, 40, 30)])
    assert (height, width) == (70, 100)  # the second shelf begins below 60 x 40 and 40 x 30
    assert corners == [(0, 0), (0, 40), (60, 40), (60, 0)]
