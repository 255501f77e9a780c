import cv2
import numpy as np
import pytest
from shapely.geometry import Polygon

from dld_spotter.data.synthetic.surface import Arc, Plane

WINDOW = (0, 0, 160, 120)
SURFACES = {
    "level": Plane.posed(0.0),
    "turned": Plane.posed(0.7),
    "tilted": Plane.posed(-0.2, 0.15, 0.8, (0.003, -0.002)),
    "rainbow": Arc(60.0, 0.0),
    "bowl": Arc(-45.0, 0.3),
}


def centroid(alpha, window=WINDOW):
    """Centre of mass in pixels, pixel centres at .5."""
    y, x = np.mgrid[: alpha.shape[0], : alpha.shape[1]] + 0.5
    return np.array([(x * alpha).sum(), (y * alpha).sum()]) / alpha.sum() + window[:2]


def test_pixel_centres_lie_at_half():
    alpha = Plane.posed(0.0).warp(np.full((4, 10), 255, np.uint8), 1.0, (20.0, 30.0), WINDOW)
    expected = np.zeros((120, 160), np.uint8)
    expected[30:34, 20:30] = 255
    np.testing.assert_array_equal(alpha, expected)


@pytest.mark.parametrize("name", SURFACES)
@pytest.mark.parametrize("place", [(0.0, 0.0), (-20.0, 4.0), (24.0, -9.0)])
@pytest.mark.parametrize("scale", [0.8, 1.0])
def test_ink_lands_where_the_outline_says(name, place, scale):
    surface = SURFACES[name].moved(80.0, 60.0)
    x, y = place
    mask = np.zeros((14, 14), np.uint8)
    mask[5:9, 5:9] = 255
    alpha = surface.warp(mask, scale, (x - 7 * scale, y - 7 * scale), WINDOW)
    spot = surface.outline((x - 2 * scale, y - 2 * scale, x + 2 * scale, y + 2 * scale))
    outline = Polygon(spot)
    np.testing.assert_allclose(centroid(alpha), np.array(outline.centroid.coords[0]), atol=0.12)
    assert alpha.sum(dtype=np.int64) / 255 == pytest.approx(outline.area, rel=0.08)


@pytest.mark.parametrize("name", SURFACES)
def test_window_is_a_part_of_the_whole(name):
    surface = SURFACES[name].moved(80.0, 60.0)
    mask = np.random.default_rng(0).integers(0, 256, (20, 50), np.uint8)
    whole = surface.warp(mask, 0.9, (-22.0, -9.0), WINDOW)
    part = surface.warp(mask, 0.9, (-22.0, -9.0), (50, 40, 60, 40))
    np.testing.assert_allclose(part.astype(int), whole[40:80, 50:110].astype(int), atol=9)


@pytest.mark.parametrize("name", SURFACES)
def test_outline_is_clockwise_from_the_top_left(name):
    outline = SURFACES[name].outline((-30.0, -8.0, 30.0, 8.0))
    half = len(outline) // 2
    assert Polygon(outline).is_valid
    assert cv2.contourArea(outline, oriented=True) > 0
    origin = SURFACES[name].outline((-0.5, -0.5, 0.5, 0.5)).mean(axis=0)
    along = SURFACES[name].outline((0.5, -0.5, 1.5, 0.5)).mean(axis=0) - origin
    upper, lower = outline[:half], outline[half:][::-1]
    assert (np.diff(upper @ along) > 0).all()
    assert (np.diff(lower @ along) > 0).all()
    down = lower.mean(axis=0) - upper.mean(axis=0)
    assert along[0] * down[1] - along[1] * down[0] > 0
