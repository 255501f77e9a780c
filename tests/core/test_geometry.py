import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import LineString, Polygon

from dld_spotter.core.geometry import boundaries_to_polygon, polygon_to_boundaries, polygons_to_boundaries, word_heights

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
