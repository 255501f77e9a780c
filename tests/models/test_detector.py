import cv2
import numpy as np
import pytest
import shapely
import torch

from dld_spotter.core.batches import TextInstances
from dld_spotter.core.geometry import boundaries_to_polygon
from dld_spotter.data.targets import TextRegions, detection_targets
from dld_spotter.data.views import make_view
from dld_spotter.models.detector import MAP_STRIDE, TextMapDecoder, TextMapHead
from tests.data.samples import box, turned_box

DECODE = TextMapDecoder()


def find(*map_and_size, decoder=DECODE):
    """Sides and scores of what is found."""
    regions = decoder(*map_and_size)
    assert (regions.whole == -1).all()
    return regions.boundaries, regions.scores


def target_map(polygons, height=256, width=320, shrink=DECODE.shrink):
    """The text map that training asks for."""
    view = make_view([np.zeros((height, width, 3), np.uint8)], 1.0)
    words = TextInstances.of(polygons, ["word"] * len(polygons))
    return detection_targets(view, [TextRegions.of(words, shrink)]).text[0].numpy()


def iou(first, second):
    first, second = shapely.Polygon(first).buffer(0), shapely.Polygon(second).buffer(0)
    return first.intersection(second).area / first.union(second).area


def arc(radius=120.0, height=28.0, start=-2.4, stop=-0.74, center=(160, 190)):
    angles = np.linspace(start, stop, 9)
    ring = np.stack([np.cos(angles), np.sin(angles)], 1)
    return (np.concatenate([(radius + height) * ring, (radius * ring)[::-1]]) + center).astype(np.float32)


@pytest.mark.parametrize("angle", [0, 7, 30, -44, 90])
@pytest.mark.parametrize("size", [(60, 14), (120, 30), (200, 80), (40, 40)])
def test_rectangles_are_recovered(size, angle):
    polygon = turned_box(160, 128, *size, angle)
    boundaries, scores = find(target_map([polygon]), 256, 320)
    assert boundaries.shape == (1, 2, 8, 2)
    assert boundaries.dtype == scores.dtype == np.float32
    assert scores[0] == 1
    assert iou(boundaries_to_polygon(boundaries[0]), polygon) > (0.85 if min(size) > 20 else 0.8), "a cell is two pixels"


@pytest.mark.parametrize("angle", [0, 30, 90])
@pytest.mark.parametrize("size", [(60, 14), (200, 80)])
def test_rectangles_are_recovered_from_maps_of_full_size(size, angle):
    polygon = turned_box(160, 128, *size, angle)
    words = TextInstances.of([polygon], ["word"])
    view = make_view([np.zeros((256, 320, 3), np.uint8)], 1.0)
    drawn = detection_targets(view, [TextRegions.of(words, 0.4)], stride=1).text[0].numpy()
    sides, _ = find(drawn, 250, 310, decoder=TextMapDecoder(shrink=0.4, curved_below=0.0, stride=1))
    assert iou(boundaries_to_polygon(sides[0]), polygon) > 0.88


@pytest.mark.parametrize("shrink", [0.4, 0.7, 0.9])
def test_growing_undoes_shrinking_exactly(shrink):
    """On exact regions, so without the grid: the offset is that of the rule, for any rectangle."""
    sizes = np.array([[100, 20], [30, 30], [400, 16]])
    words = [shapely.Polygon(box(0, 0, *size)) for size in sizes]
    reach = np.array([word.area * (1 - shrink**2) / word.length for word in words])
    shrunk = shapely.buffer(np.array(words, object), -reach, join_style="mitre")
    np.testing.assert_allclose(TextMapDecoder(shrink=shrink).offsets(shrunk), reach)


@pytest.mark.parametrize("angle", [0, 20, -40])
def test_sides_run_in_reading_direction(angle):
    polygon = turned_box(160, 128, 120, 30, angle)
    boundaries, _ = find(target_map([polygon]), 256, 320)
    np.testing.assert_allclose(boundaries[0, :, [0, -1]].reshape(-1, 2), polygon[[0, 3, 1, 2]], atol=2.5)
    steps = np.linalg.norm(np.diff(boundaries[0], axis=1), axis=-1)
    np.testing.assert_allclose(steps, steps.mean(), rtol=1e-3)


@pytest.mark.parametrize("angle", [60, 75, 88, -60, -88])
def test_long_words_are_followed_up_and_down(angle):
    polygon = turned_box(160, 128, 120, 24, angle)
    boundaries, _ = find(target_map([polygon]), 256, 320)
    np.testing.assert_allclose(boundaries[0, :, [0, -1]].reshape(-1, 2), polygon[[0, 3, 1, 2]], atol=3)


@pytest.mark.parametrize(("angle", "size"), [(60, (70, 30)), (90, (70, 30)), (-60, (70, 30)), (180, (120, 30))])
def test_the_reading_direction_is_guessed_within_45_degrees_of_level(angle, size):
    """A text map does not tell which way a word is read: of a short word the direction taken is that nearest to level."""
    polygon = turned_box(160, 128, *size, angle)
    boundaries, _ = find(target_map([polygon]), 256, 320)
    assert iou(boundaries_to_polygon(boundaries[0]), polygon) > 0.8
    along = boundaries[0, :, -1] - boundaries[0, :, 0]
    assert (along[:, 0] >= np.abs(along[:, 1]) - 1e-3).all(), "from left to right"
    assert (boundaries[0, 1, :, 1] > boundaries[0, 0, :, 1]).all(), "the lower side lies below"


def test_curved_words_are_followed():
    polygon = arc()
    boundaries, _ = find(target_map([polygon]), 256, 320)
    assert len(boundaries) == 1
    assert iou(boundaries_to_polygon(boundaries[0]), polygon) > 0.7
    rectangle = find(target_map([polygon]), 256, 320, decoder=TextMapDecoder(curved_below=0.0))[0]
    assert iou(boundaries_to_polygon(rectangle[0]), polygon) < 0.5


def test_a_spur_does_not_fill_the_curve():
    text = target_map([arc()])
    before = boundaries_to_polygon(find(text, 256, 320)[0][0])
    text[34:44, 80] = 1  # one cell wide, hanging from the middle of the arc
    assert iou(boundaries_to_polygon(find(text, 256, 320)[0][0]), before) > 0.6


def test_words_that_touch_stay_apart():
    polygons = [box(20, 40, 80, 24), box(100, 40, 90, 24), box(20, 64, 120, 24)]
    boundaries, _ = find(target_map(polygons), 256, 320)
    found = [boundaries_to_polygon(side) for side in boundaries]
    assert len(found) == 3
    for polygon in polygons:
        assert max(iou(polygon, other) for other in found) > 0.85


def test_nothing_to_find():
    for size in ((0, 0), (1, 1), (32, 48)):
        boundaries, scores = find(np.zeros(size, np.float32), size[0] * 2, size[1] * 2)
        assert boundaries.shape == (0, 2, 8, 2)
        assert scores.shape == (0,)
        assert boundaries.dtype == np.float32


def test_padding_is_not_read():
    text = np.ones((128, 160), np.float32)
    text[:40, :60] = 0
    assert not len(find(text, 80, 120)[0])
    text[10:20, 10:50] = 1
    boundaries, _ = find(text, 80, 120)
    assert len(boundaries) == 1
    assert (
        iou(
            boundaries_to_polygon(boundaries[0]),
            shapely.Polygon(box(20, 20, 80, 20)).buffer(5, join_style="mitre").exterior.coords,
        )
        > 0.8
    )


def test_odd_sizes_and_words_at_the_border_stay_inside():
    text = np.ones((16, 16), np.float32)
    boundaries, _ = find(text, 31, 29)
    assert boundaries[..., 0].min() == boundaries[..., 1].min() == 0
    assert boundaries[..., 0].max() == 29
    assert boundaries[..., 1].max() == 31


@pytest.mark.parametrize("size", [(1, 1), (1, 32), (3, 2)])
def test_an_image_of_a_pixel(size):
    boundaries, _ = find(np.ones((16, 16), np.float32), *size, decoder=TextMapDecoder(min_height=0.0))
    assert np.isfinite(boundaries).all()
    assert (boundaries <= np.array(size[::-1])).all()
    assert not len(find(np.ones((16, 16), np.float32), 1, 1)[0])


def test_threshold_and_score():
    text = np.zeros((64, 64), np.float32)
    text[10:20, 10:40] = 0.29
    assert not len(find(text, 128, 128, decoder=TextMapDecoder(min_score=0))[0])
    text[10:20, 10:40] = 0.45
    assert not len(find(text, 128, 128)[0])
    _, scores = find(text, 128, 128, decoder=TextMapDecoder(min_score=0.4))
    np.testing.assert_allclose(scores, [0.45], rtol=1e-6)


def test_flat_words_are_dropped():
    text = np.zeros((64, 64), np.float32)
    text[10, 10:40] = 1
    assert not len(find(text, 128, 128, decoder=TextMapDecoder(min_height=0.0))[0]), "a line has no height"
    text[11, 10:40] = 1
    assert len(find(text, 128, 128)[0]) == 1
    assert not len(find(text, 128, 128, decoder=TextMapDecoder(min_height=5.0))[0])


def test_the_largest_words_are_kept():
    text = np.zeros((128, 128), np.float32)
    text[10:40, 10:110] = 1
    cv2.circle(text, (60, 80), 12, 1.0, -1)  # smaller, with more points on its contour
    boundaries, _ = find(text, 256, 256, decoder=TextMapDecoder(max_words=1))
    assert boundaries[0, :, :, 1].max() < 100


def test_what_is_too_much_is_counted():
    text = np.zeros((64, 128), np.float32)
    for k in range(10):
        text[4 + 20 * (k % 3) : 14 + 20 * (k % 3), 4 + 30 * (k // 3) : 28 + 30 * (k // 3)] = 1
    for most, dropped in ((10, 0), (7, 3), (2, 8)):  # of two it is looked at four
        found = TextMapDecoder(max_words=most)(text, 128, 256)
        assert (len(found), found.dropped) == (most, dropped)
        assert found.promising(0.5).dropped == dropped


def test_noise_is_finite():
    rng = np.random.default_rng(0)
    decoder = TextMapDecoder(min_score=0.0, min_height=0.0)
    for sigma in (0.5, 1, 2, 4):
        noise = cv2.GaussianBlur(rng.random((96, 96)).astype(np.float32), (0, 0), sigma)
        noise = (noise - noise.min()) / np.ptp(noise)
        boundaries, scores = find(noise, 192, 192, decoder=decoder)
        assert len(boundaries)
        assert np.isfinite(boundaries).all()
        assert (boundaries >= 0).all()
        assert (boundaries <= 192).all()
        assert (scores <= 1).all()


def test_head_doubles_the_resolution_and_starts_without_text():
    head = TextMapHead(6, 4)
    maps = head(torch.zeros(2, 6, 10, 12))
    assert maps.text.shape == maps.threshold.shape == (2, 10 * 4 // MAP_STRIDE, 12 * 4 // MAP_STRIDE)
    with torch.no_grad():
        head.output.weight.zero_()
    maps = head(torch.randn(1, 6, 2, 2))
    assert maps.text.unique().tolist() == [-2.0]
    assert maps.threshold.max() > -1
