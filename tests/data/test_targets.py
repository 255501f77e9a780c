import numpy as np
import pytest
import shapely
import torch

from dld_spotter.core.batches import TextInstances
from dld_spotter.data.targets import SHRINK_RATIO, TextRegions, detection_targets
from dld_spotter.data.views import make_view
from dld_spotter.models.detector import TextMapDecoder
from tests.data.samples import box, sample, turned_box


def targets_of(item, scale=1.0, **options):
    view = make_view([item.image], scale)
    maps = detection_targets(view, [TextRegions.of(item.instances)], **options)
    return view, {name: getattr(maps, name)[0].numpy() for name in ("text", "care", "border", "border_care")}


def test_loader_and_decoder_have_one_default():
    assert TextMapDecoder.shrink == SHRINK_RATIO


def map_polygon(polygon, view):
    """Bring a reference polygon to map pixels."""
    return shapely.Polygon(polygon * view.factors[0].numpy().astype(float) / 2)


def pixel_centres(shape):
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    return shapely.points(x, y)


def assert_drawn(drawn, shape):
    """Every pixel is right, apart from those that the outline passes within a pixel of."""
    centres = pixel_centres(drawn.shape)
    expected = shapely.contains(shape, centres)
    clear = shapely.distance(shape.boundary, centres) > 1
    assert clear.any()
    np.testing.assert_array_equal(drawn[clear] > 0, expected[clear])


POLYGONS = [
    box(20, 12, 70, 24),
    turned_box(64, 48, 70, 22, 33),
    turned_box(64, 48, 60, 16, -100),
    np.array([[10, 50], [40, 30], [80, 30], [115, 52], [108, 70], [78, 50], [42, 50], [18, 70]], np.float32),
]


@pytest.mark.parametrize("polygon", POLYGONS)
@pytest.mark.parametrize("scale", [1.0, 0.7, 0.5])
def test_text_and_border_care_agree_with_a_slow_rasterisation(polygon, scale):
    view, maps = targets_of(sample(polygons=[polygon]), scale)
    shape = map_polygon(polygon, view)
    distance = shape.area * (1 - SHRINK_RATIO**2) / shape.length
    assert_drawn(maps["text"], shape.buffer(-distance))
    assert_drawn(maps["border_care"], shape.buffer(distance))
    assert (maps["care"] == 1).all()


@pytest.mark.parametrize("polygon", POLYGONS)
@pytest.mark.parametrize("scale", [1.0, 0.7])
def test_border_falls_from_the_outline_to_the_shrink_distance(polygon, scale):
    view, maps = targets_of(sample(polygons=[polygon]), scale)
    shape = map_polygon(polygon, view)
    distance = shape.area * (1 - SHRINK_RATIO**2) / shape.length
    expected = 1 - shapely.distance(shape.boundary, pixel_centres(maps["border"].shape)) / distance
    inside = maps["border_care"] > 0
    error = np.abs(maps["border"] - expected.clip(0))[inside] * distance  # in map pixels; the outline is a pixel wide
    assert error.max() < 1.1
    assert error.mean() < 0.5
    assert (maps["border"][~inside] == 0).all()


def test_ignored_and_low_words_are_care_zero_and_not_drawn():
    polygons = [box(8, 8, 50, 20), box(70, 8, 40, 20), box(8, 60, 40, 7)]
    item = sample(polygons=polygons, ignore=[False, True, False])
    view, maps = targets_of(item, 0.5, min_height=4)
    for polygon, counts in zip(polygons, (True, False, False), strict=True):
        inside = shapely.contains(map_polygon(polygon, view).buffer(-0.1), pixel_centres(maps["text"].shape))
        assert (maps["care"][inside] == counts).all()
        assert (maps["text"][inside].max() == 1) == counts
        assert (maps["border_care"][inside].max() == 1) == counts
    view, maps = targets_of(item, 1.0, min_height=4)
    assert maps["text"][30:34, 8:20].any()


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_cells_between_two_words_count_as_much_as_is_asked(scale):
    polygons = [box(2, 4, 60, 70), box(63, 8, 62, 80)]
    item = sample(polygons=polygons)
    view, maps = targets_of(item, scale, between=5.0)
    shapes = [map_polygon(polygon, view) for polygon in polygons]
    reaches = [shape.area * (1 - SHRINK_RATIO**2) / shape.length for shape in shapes]
    centres = pixel_centres(maps["text"].shape)
    beyond = np.stack([shapely.distance(shape, centres) - reach for shape, reach in zip(shapes, reaches, strict=True)])
    expected = ((beyond < 0).sum(0) > 1) & (maps["text"] == 0)
    clear = (abs(beyond) > 1).all(0)  # no outline within a pixel
    assert expected[clear].any()
    np.testing.assert_array_equal(maps["care"][clear], np.where(expected, 5, 1)[clear])
    assert (targets_of(item, scale)[1]["care"] == 1).all()


def test_what_is_text_counts_once_where_words_overlap():
    _, maps = targets_of(sample(polygons=[box(2, 4, 70, 70), box(52, 8, 70, 80)]), between=5.0)
    assert (maps["care"][maps["text"] == 1] == 1).all()
    assert maps["care"].max() == 5


def test_what_an_ignored_word_covers_counts_nothing_beside_another_either():
    polygons = [box(6, 10, 50, 24), box(58, 10, 50, 24)]
    _, maps = targets_of(sample(polygons=polygons, ignore=[False, True]), between=5.0)
    assert set(np.unique(maps["care"])) == {0, 1}


@pytest.mark.parametrize("polygon", [box(10, 60, 80, 0), box(10, 60, 80, 0.5), box(10, 60, 80, 2)])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_a_word_too_thin_for_the_map_keeps_its_centre_line(polygon, scale):
    view, maps = targets_of(sample(polygons=[polygon]), scale, min_height=0)
    start, end = (polygon[:2, 0] * float(view.factors[0, 0]) / 2).astype(int)
    assert maps["text"].any(0)[start + 2 : end - 2].all()
    assert maps["text"].sum(0).max() <= 2


@pytest.mark.parametrize("polygon", [np.array([[10, 10], [60, 40], [60, 10], [10, 40]]), np.full((4, 2), 30)])
def test_bow_ties_and_points_are_drawn(polygon):
    _, maps = targets_of(sample(polygons=[polygon.astype(np.float32)]), min_height=0)
    assert maps["text"].any()
    assert np.isfinite(maps["border"]).all()


@pytest.mark.parametrize("scale", [0.3, 0.5, 1.0])
def test_words_beyond_the_image_and_no_words_at_all(scale):
    for polygons in ([], [box(-50, -20, 90, 40), box(120, 90, 900, 60), box(1000, 1000, 50, 20)]):
        _, maps = targets_of(sample(polygons=polygons), scale)
        assert all(np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1 for values in maps.values())


def test_overlapping_words_do_not_cancel_out():
    polygons = [box(10, 10, 80, 30), box(12, 12, 80, 30)]
    _, maps = targets_of(sample(polygons=polygons))
    assert maps["text"][12:14, 20:35].all()


def test_a_batch_draws_each_image_with_its_own_factor():
    items = [sample(96, 128, [box(20, 12, 70, 24)]), sample(48, 64, [box(10, 6, 35, 12)])]
    view = make_view([item.image for item in items], 1.0)
    maps = detection_targets(view, [TextRegions.of(item.instances) for item in items])
    assert maps.text.shape == (2, 48, 64)
    alone = detection_targets(make_view([items[0].image], 1.0), [TextRegions.of(items[0].instances)])
    torch.testing.assert_close(maps.text[0], alone.text[0])
    assert 0 < maps.text[1].sum() < maps.text[0].sum()
    assert not maps.text[1, 24:].any()


def test_regions_of_no_words():
    assert len(TextRegions.of(TextInstances.of([], [])).heights) == 0


def test_targets_at_full_size_are_those_of_an_image_of_twice_the_size():
    polygon = turned_box(64, 48, 70, 22, 33)
    small, large = (sample(96 * k, 128 * k, polygons=[k * polygon], texts=["word"]) for k in (1, 2))
    full = targets_of(small, stride=1)[1]["text"]
    halved = targets_of(large)[1]["text"]
    assert full.shape == halved.shape == (96, 128)
    np.testing.assert_array_equal(full, halved)
