import cv2
import numpy as np
import pytest
import shapely
import torch

from dld_spotter.core.geometry import polygons_to_boundaries
from dld_spotter.models.two_stage.masks import inside, mask_targets, outline, paste
from dld_spotter.models.two_stage.reading import RegionDecoder
from tests.data.samples import box, turned_box
from tests.models.test_roi import curved
from tests.models.two_stage.test_boxes import boxes

SHAPES = {"straight": box(12, 20, 60, 18), "turned": turned_box(50, 40, 60, 16, 30), "curved": curved(40, 14) * 0.6}


def sides(*polygons: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(polygons_to_boundaries(list(polygons)))


def around(polygon: np.ndarray, margin: float = 3.0) -> np.ndarray:
    return np.concatenate([polygon.min(0) - margin, polygon.max(0) + margin]).astype(np.float32)


def test_inside_by_hand():
    """An L: its inner corner is outside."""
    polygon = torch.tensor([[[0.0, 0.0], [4.0, 0.0], [4.0, 2.0], [2.0, 2.0], [2.0, 4.0], [0.0, 4.0]]])
    points = torch.tensor([[[1.0, 1.0], [3.0, 1.0], [1.0, 3.0], [3.0, 3.0], [-1.0, 1.0], [5.0, 1.0], [1.0, 5.0]]])
    assert inside(points, polygon)[0].tolist() == [True, True, True, False, False, False, False]


@pytest.mark.parametrize("name", SHAPES)
def test_inside_is_what_geometry_says(name):
    polygon = SHAPES[name]
    points = np.random.default_rng(0).uniform(polygon.min(0) - 5, polygon.max(0) + 5, (2000, 2))
    expected = shapely.contains_xy(shapely.Polygon(polygon), points)
    found = inside(torch.from_numpy(points)[None], torch.from_numpy(polygon.astype(np.float64))[None])[0].numpy()
    assert 0 < expected.sum() < 2000
    assert (found == expected).all()


def test_a_mask_by_hand():
    """The word is the left half of its region, and two of four rows of it."""
    found = mask_targets(sides(box(10, 12, 20, 4)), boxes([10, 10, 50, 18]), 4)[0]
    assert found.tolist() == [[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    assert mask_targets(sides(), boxes(), 28).shape == (0, 28, 28)


def test_a_pasted_mask_by_hand():
    canvas = np.zeros((6, 8), np.float32)
    paste(np.array([[1.0, 0.0], [1.0, 0.0]], np.float32), np.array([2, 1, 6, 5], np.float32), canvas)
    assert canvas[0].tolist() == canvas[5].tolist() == [0] * 8
    for row in range(1, 5):  # four pixels at 1/8, 3/8, 5/8 and 7/8 of a mask whose cells have their centres at 1/4 and 3/4
        assert canvas[row].tolist() == pytest.approx([0, 0, 1, 0.75, 0.25, 0, 0, 0])
    paste(np.full((2, 2), 0.5, np.float32), np.array([2, 1, 4, 3], np.float32), canvas)
    assert canvas[1, 2:5].tolist() == pytest.approx([1, 0.75, 0.25]), "what was surer stays"


def test_pasting_is_a_lookup_in_every_cell():
    rng = np.random.default_rng(1)
    for stride in (1, 2):
        mask, place = rng.random((7, 7)).astype(np.float32), np.array([3.3, 5.7, 31.2, 20.9], np.float32)
        canvas = np.zeros((24 // stride, 40 // stride), np.float32)
        paste(mask, place, canvas, stride)
        bordered = np.pad(mask, 1, "edge")
        for row, column in np.ndindex(canvas.shape):
            x, y = (column + 0.5) * stride, (row + 0.5) * stride
            expected = 0.0
            if place[0] <= x < place[2] and place[1] <= y < place[3]:
                u, v = (x - place[0]) / (place[2] - place[0]) * 7 + 0.5, (y - place[1]) / (place[3] - place[1]) * 7 + 0.5
                patch = cv2.getRectSubPix(bordered, (1, 1), (float(u), float(v)))
                expected = float(patch[0, 0])
            assert canvas[row, column] == pytest.approx(expected, abs=2e-3)


def test_what_lies_outside_of_the_view_is_not_pasted():
    canvas = np.zeros((10, 10), np.float32)
    for place in ([-8, -8, -2, -2], [12, 2, 20, 8], [3, 3, 3.2, 3.2]):
        paste(np.ones((4, 4), np.float32), np.array(place, np.float32), canvas)
    assert not canvas.any()
    paste(np.ones((4, 4), np.float32), np.array([-5, -5, 3, 4], np.float32), canvas)
    assert canvas.sum() == 12


@pytest.mark.parametrize("name", SHAPES)
def test_outlines_of_true_masks_are_the_true_polygons(name):
    polygon = SHAPES[name]
    place = around(polygon)
    mask = mask_targets(sides(polygon), torch.from_numpy(place)[None], 28)[0].numpy()
    found = shapely.Polygon(outline(mask, place, 0.5))
    true = shapely.Polygon(polygon)
    assert found.intersection(true).area / found.union(true).area > (0.85 if name == "straight" else 0.75)


def test_a_word_that_fills_its_region_has_the_region_as_outline():
    place = np.array([10, 20, 66, 36], np.float32)
    found = outline(np.ones((28, 28), np.float32), place, 0.5)
    assert len(found) == 4
    np.testing.assert_allclose(np.concatenate([found.min(0), found.max(0)]), place, atol=0.3)


def test_the_largest_part_is_the_word():
    mask = np.zeros((28, 28), np.float32)
    mask[2:6, 2:6], mask[10:20, 4:26] = 1, 1
    found = outline(mask, np.array([0, 0, 28, 28], np.float32), 0.5)
    assert found[:, 1].min() > 9
    assert outline(np.zeros((28, 28), np.float32), np.array([0, 0, 28, 28], np.float32), 0.5).shape == (0, 2)


def test_regions_become_words_and_a_map():
    decoder = RegionDecoder()
    polygon = SHAPES["turned"]
    place = around(polygon)
    mask = mask_targets(sides(polygon), torch.from_numpy(place)[None], 28).numpy()
    regions = (np.stack([place] * 3), np.array([0.9, 0.3, 0.6], np.float32), np.concatenate([mask, mask, 0 * mask]))
    found = decoder(*regions, 80, 100)
    assert found.scores.tolist() == pytest.approx([0.9]), "one is unsure, and one has an empty mask"
    upper = found.boundaries[0, 0]
    assert upper[-1, 0] > upper[0, 0]
    assert np.degrees(np.arctan2(*(upper[-1] - upper[0])[::-1])) == pytest.approx(30, abs=4)
    shown = decoder.text_map(regions[0][1:2], regions[1][1:2], regions[2][1:2], 80, 100)
    assert shown.shape == (40, 50)
    assert shown.max() == pytest.approx(0.3)
    assert shown.sum() * 4 / 0.3 == pytest.approx(60 * 16, rel=0.1)
    assert len(decoder(*(part[:0] for part in regions), 80, 100)) == 0
