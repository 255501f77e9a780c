import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import LineString, Polygon

from dld_spotter.core.geometry import boundaries_to_polygon, grown, polygon_to_boundaries, polygons_to_boundaries, word_heights

coordinate = st.floats(-1000, 1000, width=32)


@given(
    st.integers(2, 7).flatmap(lambda half: st.lists(st.tuples(coordinate, coordinate), min_size=2 * half, max_size=2 * half)),
    st.integers(2, 12),
)
def test_sides_lie_on_the_polygon_evenly_by_arc_length(corners, points):
    polygon = np.array(corners, np.float32)
    half = len(polygon) // 2
    boundaries = polygon_to_boundaries(polygon, points)
    assert boundaries.shape == (2, points, 2)
    for side, line in zip(boundaries, (polygon[:half], polygon[half:][::-1]), strict=True):
        line = LineString(line.astype(float))
        expected = [line.interpolate(share, normalized=True).coords[0] for share in np.linspace(0, 1, points)]
        np.testing.assert_allclose(side, expected, atol=0.02)


def test_words_of_differing_lengths_keep_their_order():
    polygons = [np.random.default_rng(n).uniform(0, 99, (n, 2)).astype(np.float32) for n in (4, 10, 4, 6)]
    together = polygons_to_boundaries(polygons)
    for polygon, boundaries in zip(polygons, together, strict=True):
        np.testing.assert_array_equal(boundaries, polygon_to_boundaries(polygon))


def test_no_words():
    assert polygons_to_boundaries([], 5).shape == (0, 2, 5, 2)


def test_a_point_has_sides():
    assert (polygon_to_boundaries(np.full((4, 2), 7, np.float32)) == 7).all()


def test_back_to_the_same_clockwise_polygon():
    polygon = np.array([[10, 10], [50, 14], [48, 30], [9, 26]], np.float32)
    back = boundaries_to_polygon(polygon_to_boundaries(polygon, 8))
    assert Polygon(back).symmetric_difference(Polygon(polygon)).area < 1e-3
    np.testing.assert_allclose(back[[0, 7, 8, 15]], polygon, atol=1e-5)


@pytest.mark.parametrize("angle", [0, 30, 90, 200])
def test_height_does_not_depend_on_the_direction(angle):
    turn = np.deg2rad(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    polygon = np.array([[0, 0], [80, 0], [80, 13], [0, 13]]) @ rotation.T
    assert word_heights(polygons_to_boundaries([polygon])) == pytest.approx([13], rel=1e-5)


@pytest.mark.parametrize("angle", [0, 30, 90, 200])
def test_a_margin_is_added_at_every_side(angle):
    turn = np.deg2rad(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    inner, outer = (np.array([[-m, -m], [80 + m, -m], [80 + m, 20 + m], [-m, 20 + m]]) @ rotation.T for m in (0, 5))
    (found,) = grown(polygons_to_boundaries([inner.astype(np.float32)]), 0.25)
    np.testing.assert_allclose(found, polygon_to_boundaries(outer.astype(np.float32)), atol=1e-4)


def test_a_margin_follows_a_curved_word():
    angles = np.linspace(np.pi, 0, 33)
    upper, lower = (radius * np.stack([np.cos(angles), -np.sin(angles)], axis=1) for radius in (100, 80))
    (found,) = grown(np.stack([upper, lower])[None], 0.25)
    radii = np.linalg.norm(found, axis=-1)
    np.testing.assert_allclose(radii, [[105], [75]] * np.ones(33), rtol=0.01)
    assert found[0, 0, 1] == pytest.approx(5, abs=0.3)  # the ends go on along the arc's tangent
    assert found[1, -1, 1] == pytest.approx(5, abs=0.3)


def test_no_margin_and_no_words_change_nothing():
    words = polygons_to_boundaries([np.array([[0, 0], [9, 0], [9, 3], [0, 3]], np.float32)] * 2)
    assert grown(words, 0.0) is words
    assert grown(words[:0], 0.5).shape == (0, 2, 8, 2)
    np.testing.assert_array_equal(grown(np.zeros((1, 2, 8, 2)), 0.5), 0)  # a point has no direction
