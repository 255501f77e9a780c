import albumentations as A
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Polygon
from shapely import box as rectangle

from dld_spotter.core.batches import TextInstances
from dld_spotter.core.errors import ConfigError
from dld_spotter.data.transforms import (
    CUT_TOLERANCE,
    RandomTextCrop,
    TextTransforms,
    TransformedDataset,
    crop_transforms,
    default_transforms,
    mark_cut_words,
)
from tests.data.samples import box, sample, turned_box

TRANSFORMS = [default_transforms(64), crop_transforms(64, scale=(0.7, 1.4))]


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(TRANSFORMS), st.integers(0, 2**31), st.integers(8, 150), st.integers(8, 150), st.integers(0, 5))
def test_a_crop_never_cuts_a_kept_word(transforms, seed, height, width, count):
    rng = np.random.default_rng(seed)
    words = [turned_box(*rng.uniform(0, (width, height)), 40, 12, rng.uniform(-90, 90)) for _ in range(count)]
    before = sample(height, width, words, [f"word{i}" for i in range(count)])
    after = transforms(before, rng)
    assert after.image.shape == (64, 64, 3)
    assert set(after.instances.transcriptions) <= set(before.instances.transcriptions)
    for polygon, ignore in zip(after.instances.polygons, after.instances.ignore, strict=True):
        area = 40 * 12 * 1.4**2
        outside = Polygon(polygon).difference(rectangle(0, 0, 64, 64)).area
        assert ignore or outside < CUT_TOLERANCE * area


GEOMETRY = [
    TextTransforms([A.Rotate(limit=15, p=1), A.RandomCrop(130, 150, pad_if_needed=True)], scale=(0.6, 1.2)),
    TextTransforms([], crop=RandomTextCrop(150, (0.6, 1.2), rotation=15, word_probability=0.5)),
]


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(GEOMETRY), st.integers(0, 2**31))
def test_the_polygon_stays_on_its_word(geometry, seed):
    rng = np.random.default_rng(seed)
    word = turned_box(*rng.uniform(90, 110, 2), 60, 24, rng.uniform(-40, 40))
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


def test_a_square_is_laid_around_a_word_of_a_large_photo():
    photo = sample(720, 1280, [box(300, 400, 60, 16), box(1100, 80, 30, 10)], ["kept", "unread"], [False, True])
    rng = np.random.default_rng(0)
    around, anywhere = (
        [RandomTextCrop(256, (0.7, 2.0), word_probability=share)(photo, rng).instances for _ in range(60)] for share in (1, 0)
    )
    whole = [sum("kept" in words.transcriptions and not words.ignore[0] for words in each) for each in (around, anywhere)]
    assert whole[0] == 60
    assert whole[1] < 30


def test_a_square_stays_on_the_photo():
    photo = sample(400, 500, [box(5, 5, 40, 12)])
    photo.image[:] = 77
    for seed in range(30):
        square = RandomTextCrop(128, (0.7, 2.0), rotation=0)(photo, np.random.default_rng(seed)).image
        assert (square[1:-1, 1:-1] == 77).all()  # the photo's border may run through the outermost pixels


@pytest.mark.parametrize("wrong", [{"size": 8}, {"scale": (0.1, 1)}, {"scale": (2, 1)}, {"word_probability": 2}])
def test_unusable_squares_are_refused(wrong: dict):
    with pytest.raises(ConfigError, match="a random crop needs"):
        RandomTextCrop(**wrong)
