import numpy as np
import pytest
import shapely

from dld_spotter.core.errors import ConfigError
from dld_spotter.core.geometry import boundaries_to_polygon
from dld_spotter.models.proposals import Proposals, TextMapDecoder


def text_map(*cells: tuple[int, int, int, int, float]) -> np.ndarray:
    """A map of 60 x 120 cells with rectangles: left, top, width, height, probability."""
    text = np.zeros((60, 120), np.float32)
    for left, top, width, height, probability in cells:
        text[top : top + height, left : left + width] = probability
    return text


def decode(text: np.ndarray, **options) -> Proposals:
    return TextMapDecoder(threshold=0.5, **options)(text, 120, 240)


def proposals(scores, whole) -> Proposals:
    return Proposals(
        np.arange(len(scores), dtype=np.float32).reshape(-1, 1, 1, 1), np.array(scores, np.float32), np.array(whole)
    )


def middles(found: Proposals) -> list[float]:
    return found.boundaries[..., 0].mean((1, 2)).tolist()


TWO = text_map((10, 20, 30, 10, 0.95), (40, 20, 4, 10, 0.55), (44, 20, 40, 10, 0.9))


def test_words_with_a_weak_bridge_are_offered_as_one_and_as_two():
    assert decode(TWO).whole.tolist() == [-1]
    found = decode(TWO, levels=[0.6])
    assert found.whole.tolist() == [-1, 0, 0]
    np.testing.assert_allclose(found.scores, [0.911, 0.9, 0.95], atol=0.01)
    for k, word in ((1, (44, 20, 40, 10, 1.0)), (2, (10, 20, 30, 10, 1.0))):
        np.testing.assert_array_equal(found.boundaries[k], decode(text_map(word)).boundaries[0])
    np.testing.assert_array_equal(found.boundaries[0], decode(TWO).boundaries[0])


def test_parts_fall_apart_once_more_at_a_higher_level():
    text = text_map(
        (4, 20, 30, 10, 0.95), (34, 20, 4, 10, 0.55), (38, 20, 30, 10, 0.95), (68, 20, 4, 10, 0.7), (72, 20, 34, 10, 0.95)
    )
    found = decode(text, levels=[0.6, 0.8])
    assert found.whole.tolist() == [-1, 0, 0, 1, 1]
    assert middles(found) == pytest.approx([110, 144, 38, 178, 106], abs=2)
    assert decode(text, levels=[0.8]).whole.tolist() == [-1, 0, 0, 0]
    assert decode(text, levels=[0.8], max_words=3).whole.tolist() == [-1]


def test_a_crumb_is_no_part():
    text = text_map((10, 20, 30, 10, 0.95), (40, 20, 4, 10, 0.55), (44, 25, 1, 1, 0.9))
    assert decode(text, levels=[0.6]).whole.tolist() == [-1]


def test_what_is_no_word_has_no_parts():
    assert decode(TWO, levels=[0.6], min_score=0.8).whole.tolist() == [-1, 0, 0]
    assert not len(decode(np.minimum(TWO, 0.7), levels=[0.6], min_score=0.695))


def test_what_shrinks_without_falling_apart_stays_as_it_was():
    text = text_map((10, 20, 60, 12, 0.55), (12, 22, 56, 8, 0.95))
    np.testing.assert_array_equal(decode(text, levels=[0.6]).boundaries, decode(text).boundaries)


def test_neighbours_do_not_become_parts_of_each_other():
    text = np.maximum(TWO, text_map((10, 40, 30, 10, 0.9), (60, 40, 30, 10, 0.9)))
    found = decode(text, levels=[0.6])
    assert sorted(found.whole.tolist()) == [-1, -1, -1, *2 * [found.whole.max()]]
    whole = shapely.Polygon(boundaries_to_polygon(found.boundaries[found.whole.max()]))
    for k in np.flatnonzero(found.whole >= 0):
        assert shapely.Polygon(boundaries_to_polygon(found.boundaries[k])).intersection(whole).area > 0


@pytest.mark.parametrize("levels", [[0.5], [0.4], [0.8, 0.6], [0.7, 0.7], [1.0], 0.4, None, ["0.6"]])
def test_levels_that_do_not_rise(levels):
    with pytest.raises(
        ConfigError,
        match=r"postprocess\.levels must rise from above postprocess\.threshold 0\.5 to below 1, found .* or \[\] for none",
    ):
        decode(TWO, levels=levels)


def test_what_is_left_of_the_promising_ones():
    found = proposals([0.9, 0.5, 0.8, 0.95, 0.7, 0.6], [-1, -1, 0, 1, 1, 4])
    kept = found.promising(0.6)
    assert kept.boundaries.ravel().tolist() == [0, 2, 3, 4, 5]
    assert kept.whole.tolist() == [-1, 0, -1, -1, 3], "a part of what goes stands for itself"
    assert proposals([0.9, 0.5, 0.8], [-1, 0, 1]).promising(0.6).whole.tolist() == [-1], "nothing less than all parts"
    assert proposals([0.85, 0.95, 0.72], [-1, 0, 0]).promising(0.75).whole.tolist() == [-1]
    assert found.promising(0.0, 5).boundaries.ravel().tolist() == [0, 1, 2, 3, 4], "parts go first, then the least sure ones"
    assert found.promising(0.0, 3).boundaries.ravel().tolist() == [0, 1], "one of two parts is not left over"
    assert found.promising(0.0, 1).boundaries.ravel().tolist() == [0]
    assert len(found.promising(0.0, 0)) == 0
    assert len(found.promising(0.99)) == 0


@pytest.mark.parametrize(
    ("whole", "scores", "lengths", "words"),
    [
        ([-1, -1], [0.1, 0.9], [3, 3], [0, 1]),
        ([-1, 0, 0], [0.7, 0.9, 0.8], [6, 3, 3], [1, 2]),
        ([-1, 0, 0], [0.9, 0.95, 0.8], [6, 3, 3], [0]),
        ([-1, 0, 0], [0.796, 0.9, 0.4], [6, 5, 1], [1, 2]),  # by characters: (5 * 0.9 + 0.4) / 6 = 0.817; 0.65 by parts
        ([-1, 0, 0], [0.798, 0.9, 0.4], [6, 5, 1], [0]),  # surer, but not by as much as is asked
        ([-1, 0, 0, 1, 1], [0.6, 0.7, 0.9, 0.95, 0.95], [9, 6, 3, 3, 3], [2, 3, 4]),
        ([-1, 0, 0, 1, 1], [0.6, 0.97, 0.9, 0.95, 0.95], [9, 6, 3, 3, 3], [1, 2]),
        ([-1, 0, 0, 1, 1], [0.94, 0.1, 0.95, 0.95, 0.95], [9, 6, 3, 3, 3], [0]),
        ([-1, -1, 1, 1], [0.2, 0.3, 0.9, 0.9], [9, 6, 3, 3], [0, 2, 3]),
        ([-1, 0, 0], [0.5, 0.9, 0.9], [3, 0, 0], [0]),  # nobody is sure of nothing
        ([], [], [], []),
    ],
)
def test_the_surer_reading_stays(whole, scores, lengths, words):
    found = proposals(np.ones(len(whole)), np.array(whole, int))
    assert found.surest(np.array(scores), np.array(lengths, int)).tolist() == words


def test_images_are_joined():
    one, none, two = proposals([0.9, 0.8, 0.7], [-1, 0, 0]), proposals([], np.zeros(0, int)), proposals([0.6, 0.5], [-1, 0])
    joined = Proposals.joined([one, none, two])
    assert joined.whole.tolist() == [-1, 0, 0, -1, 3]
    assert joined.scores.tolist() == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5])
    assert joined.boundaries.ravel().tolist() == [0, 1, 2, 0, 1]


@pytest.mark.parametrize("levels", [(), (0.6, 0.8)])
def test_what_is_not_asked_for_is_left_out_before_it_becomes_a_polygon(levels):
    rng = np.random.default_rng(3)
    text = text_map(*((12 * i, 12 * j, 9, 7, rng.uniform(0.5, 1.0)) for i in range(9) for j in range(4)), *TWO_PARTS)
    all_of_them = decode(text, levels=levels)
    asked = TextMapDecoder(threshold=0.5, levels=levels)(text, 120, 240, least=0.8)
    assert len(asked) < len(all_of_them) if not levels else len(asked) == len(all_of_them)
    for name in ("boundaries", "scores", "whole"):
        np.testing.assert_array_equal(*(getattr(one.promising(0.8), name) for one in (asked, all_of_them)))


TWO_PARTS = ((10, 50, 30, 8, 0.95), (40, 50, 4, 8, 0.55), (44, 50, 40, 8, 0.9))
