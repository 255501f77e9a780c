"""Regions of one line that weak text connects become one region."""

import numpy as np
import pytest

from dld_spotter.core.errors import ConfigError
from dld_spotter.core.geometry import boundaries_to_polygon
from dld_spotter.models.proposals import TextMapDecoder
from tests.models.test_proposals import text_map

TALL = 12
"""Cells."""


def decode(*cells, join_above: float = 0.2):
    decoder = TextMapDecoder(threshold=0.5, points=2, curved_below=0.0, join_above=join_above)
    return decoder(text_map(*cells), 120, 240)


def extent(boundaries: np.ndarray) -> np.ndarray:
    polygon = boundaries_to_polygon(boundaries)
    return np.concatenate([polygon.min(0), polygon.max(0)])


PIECES = [(10, 20, 30, TALL, 0.9), (40, 20, 4, TALL, 0.3), (44, 20, 30, TALL, 0.7)]


def test_pieces_of_a_line_with_weak_text_between_are_one_region():
    alone, joined = decode(*PIECES, join_above=0.0), decode(*PIECES)
    assert len(alone) == 2
    assert len(joined) == 1
    both = np.array([extent(one) for one in alone.boundaries])
    np.testing.assert_allclose(extent(joined.boundaries[0]), [*both[:, :2].min(0), *both[:, 2:].max(0)], atol=0.1)
    assert joined.scores[0] == pytest.approx(0.8, abs=0.01)  # of pieces of one size
    assert joined.whole.tolist() == [-1]


def test_pieces_with_nothing_between_stay_apart():
    assert len(decode(PIECES[0], PIECES[2])) == 2
    assert len(decode(*PIECES, join_above=0.35)) == 2


def test_two_lines_stay_apart_and_each_is_joined():
    upper = [(10, 8, 30, TALL, 0.9), (40, 8, 4, TALL, 0.3), (44, 8, 30, TALL, 0.9)]
    lower = [(left, top + TALL + 4, *rest) for left, top, *rest in upper]
    between = (10, 8 + TALL, 64, 4, 0.3)
    found = decode(*upper, between, *lower)
    assert len(found) == 2
    assert sorted(extent(one)[1] for one in found.boundaries) == pytest.approx([10, 10 + 2 * (TALL + 4)], abs=10)
    assert all(np.diff(extent(one)[[0, 2]]) > 120 for one in found.boundaries)


def test_a_small_region_does_not_join_a_far_one():
    far = [(5, 20, 20, TALL, 0.9), (25, 25, 40, 2, 0.3), (65, 20, 20, TALL, 0.9)]
    assert len(decode(*far)) == 2


def test_many_pieces_of_a_line_are_one_region():
    cells = [cell for k in range(6) for cell in ((5 + 18 * k, 20, 15, TALL, 0.9), (20 + 18 * k, 20, 3, TALL, 0.3))]
    assert len(decode(*cells, join_above=0.0)) == 6
    assert len(decode(*cells)) == 1


@pytest.mark.parametrize(("value", "levels"), [(0.5, ()), (0.7, ()), (-0.1, ()), (0.2, (0.8,))])
def test_a_value_that_cannot_act_is_refused(value, levels):
    with pytest.raises(ConfigError, match="join_above must be"):
        TextMapDecoder(threshold=0.5, join_above=value, levels=levels)
