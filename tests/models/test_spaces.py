"""Words that were found as one region and are told apart by the spaces between them."""

import numpy as np
import pytest

from dld_spotter.core.charset import Charset
from dld_spotter.models.proposals import Proposals
from dld_spotter.models.spaces import HALF_GAP, Part, apart

CHARSET = Charset(" ab")
SPACE, A, B = CHARSET.classes(" ab")
LINE = np.array([[[[10.0, 20.0], [210.0, 20.0]], [[10.0, 40.0], [210.0, 40.0]]]], np.float32)
"""A region 200 pixels long and 20 high."""


def found(count: int = 1, whole: list[int] | None = None) -> Proposals:
    return Proposals(np.repeat(LINE, count, 0), np.full(count, 0.9, np.float32), np.array(whole or [-1] * count))


def told(text: str, path: list[int], margin: float = 0.0):
    return apart(found(), np.array([0]), [text], lambda rows: [np.array(path) for _ in rows], CHARSET, margin)


@pytest.mark.parametrize(
    ("path", "columns"),
    [
        ([A, 0, B, 0], [(0, 4)]),
        ([A, 0, SPACE, 0, B, B, 0, A], [(0, 2), (3, 8)]),
        ([A, SPACE, SPACE, B, SPACE, A], [(0, 1), (3, 4), (5, 6)]),
        ([A, SPACE, 0, SPACE, B], [(0, 1), (4, 5)]),  # a space that is written twice is one gap
        ([SPACE, 0, A, B, SPACE], [(1, 4)]),  # spaces around a word part nothing, and are no part of it
        ([0, SPACE, A, SPACE, B, 0, SPACE, SPACE], [(2, 3), (4, 6)]),
        ([SPACE, 0, 0], []),
        ([0, 0], []),
    ],
)
def test_columns_go_to_the_words_between_spaces(path, columns):
    assert [(part.start, part.end) for part in Part.of(0, np.array(path), SPACE)] == columns


def test_a_region_is_cut_in_the_middle_of_its_space():
    words = told("a b", [A, 0, 0, SPACE, 0, 0, B, 0])
    assert words.rest.tolist() == []
    assert words.regions.tolist() == [0, 0]
    middle, half = 10 + 200 * 3.5 / 8, HALF_GAP * 20
    left, right = words.places.boundaries
    np.testing.assert_allclose(left[0], [[10, 20], [middle - half, 20]], atol=1e-4)
    np.testing.assert_allclose(right[1], [[middle + half, 40], [210, 40]], atol=1e-4)
    np.testing.assert_allclose(words.places.scores, 0.9)
    assert words.places.whole.tolist() == [-1, -1]


def test_columns_cover_what_the_crop_shows_beyond_the_region():
    words = told("a b", [A, 0, SPACE, 0, 0, 0, B, 0], margin=0.5)
    middle = 0 + 220 * 2.5 / 8  # the crop begins half of 20 pixels before the region, and is 220 long
    assert words.places.boundaries[0, 0, -1, 0] == pytest.approx(middle - HALF_GAP * 20)


def test_regions_without_a_space_and_those_not_chosen_are_left_alone():
    regions, asked = found(4, [-1, 0, 0, -1]), []

    def paths(rows: list[int]) -> list[np.ndarray]:
        asked.extend(rows)
        return [np.array([A, SPACE, B]) for _ in rows]

    words = apart(regions, np.array([1, 2, 3]), ["a b", "ab", "b a", " a"], paths, CHARSET, 0.0)
    assert asked == [2]
    assert words.rest.tolist() == [1, 3]
    assert words.regions.tolist() == [1, 3, 2, 2]
    np.testing.assert_array_equal(words.places.boundaries[:2], regions.boundaries[[1, 3]])


def test_without_any_space_nothing_is_asked():
    words = apart(found(2), np.array([0, 1]), ["ab", ""], pytest.fail, CHARSET, 0.0)
    assert words.rest.tolist() == [0, 1]
    assert len(words.places) == 2
