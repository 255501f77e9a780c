import albumentations as A
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Polygon
from shapely import box as rectangle

from dld_spotter.data.transforms import (
    CUT_TOLERANCE,
    TextTransforms,
    TransformedDataset,
    default_transforms,
    mark_cut_words,
)
from dld_spotter.structures import TextInstances
from tests.data.samples import box, sample, turned_box

TRANSFORMS = default_transforms(64)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(8, 150), st.integers(8, 150), st.integers(0, 5))
def test_a_crop_never_cuts_a_kept_word(seed, height, width, count):
    rng = np.random.default_rng(seed)
    words = [turned_box(*rng.uniform(0, (width, height)), 40, 12, rng.uniform(-90, 90)) for _ in range(count)]
    before = sample(height, width, words, [f"word{i}" for i in range(count)])
    after = TRANSFORMS(before, rng)
    assert after.image.shape == (64, 64, 3)
    assert set(after.instances.transcriptions) <= set(before.instances.transcriptions)
    for polygon, ignore in zip(after.instances.polygons, after.instances.ignore, strict=True):
        area = 40 * 12 * 1.4**2
        outside = Polygon(polygon).difference(rectangle(0, 0, 64, 64)).area
        assert ignore or outside < CUT_TOLERANCE * area


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31))
def test_the_polygon_stays_on_its_word(seed):
    rng = np.random.default_rng(seed)
    word = turned_box(*rng.uniform(90, 110, 2), 60, 24, rng.uniform(-40, 40))
    geometry = TextTransforms([A.Rotate(limit=15, p=1), A.RandomCrop(130, 150, pad_if_needed=True)], scale=(0.6, 1.2))
    after = geometry(sample(220, 200, [word]), rng)
    if len(after.instances) == 0 or not rectangle(0, 0, 150, 130).contains(Polygon(after.instances.polygons[0])):
        return
    white = np.clip(after.image[..., 0].astype(float) - 60, 0, None) / 195
    y, x = np.mgrid[: white.shape[0], : white.shape[1]] + 0.5
    polygon = Polygon(after.instances.polygons[0])
    centre = np.array([(white * x).sum(), (white * y).sum()]) / white.sum()
    np.testing.assert_allclose(centre, np.array(polygon.centroid.coords[0]), atol=0.25)
    assert white.sum() == pytest.approx(polygon.area, rel=0.05)


def test_cut_words_are_ignored_and_words_outside_dropped():
    words = TextInstances.of(
        [
            box(10, 10, 30, 10),
            box(90, 10, 30, 10),
            box(101, 10, 30, 10),
            box(-30, 10, 30, 10),
            box(-0.5, 40, 30, 10),
            box(10, 95, 30, 10),
        ],
        list("abcdef"),
        [True, False, False, False, False, False],
    )
    marked = mark_cut_words(words, 100, 100)
    assert marked.transcriptions == ("a", "b", "e", "f")
    assert marked.ignore.tolist() == [True, True, False, True]


def test_seeds_repeat_and_every_pass_differs():
    pages = [sample(100, 120, [box(20, 20, 50, 20)], name=str(i)) for i in range(3)]
    dataset, again = (TransformedDataset(pages, default_transforms(64), seed=5) for _ in range(2))
    again[2]
    for index in (0, 1, 4):
        np.testing.assert_array_equal(dataset[index].image, again[index].image)
        assert dataset[index].name == str(index % 3)
    assert (dataset[1].image != dataset[4].image).any()
    assert (TransformedDataset(pages, default_transforms(64), seed=6)[1].image != dataset[1].image).any()


def test_the_source_is_left_alone():
    before = sample(100, 100, [box(20, 20, 50, 20)])
    image = before.image.copy()
    default_transforms(64)(before, np.random.default_rng(0))
    np.testing.assert_array_equal(before.image, image)
    np.testing.assert_array_equal(before.instances.polygons[0], box(20, 20, 50, 20))
