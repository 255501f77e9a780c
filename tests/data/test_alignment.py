"""Text and polygon stay together, through every transform and in every view, for images and words of any kind."""

from collections.abc import Callable

import albumentations as A
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from shapely import Polygon
from shapely import box as rectangle

from dld_spotter.core.batches import Sample, TextInstances
from dld_spotter.core.charset import Charset
from dld_spotter.core.geometry import polygon_to_boundaries
from dld_spotter.data.collate import Collate
from dld_spotter.data.jitter import JitteredDataset
from dld_spotter.data.transforms import RandomTextCrop, TextTransforms, crop_transforms, default_transforms
from dld_spotter.data.views import ReferenceSize, fill_frames
from tests.data.samples import sample

CHARSET = Charset("abcdefghij")
HALF_A_PIXEL = 0.5
DARK = 60  # brightest value of what is no word in a sample made by hand

TRANSFORMS: dict[str, Callable[[Sample, np.random.Generator], Sample]] = {
    "rotation": TextTransforms([A.Rotate(limit=30, p=1)]),
    "perspective": TextTransforms([A.Perspective(scale=(0.02, 0.12), p=1)]),
    "perspective, size follows": TextTransforms([A.Perspective(scale=(0.02, 0.12), keep_size=False, fit_output=True, p=1)]),
    "crop": TextTransforms([A.RandomCrop(130, 150, pad_if_needed=True)]),
    "scale": TextTransforms([], scale=(0.5, 2.0)),
    "all of them": TextTransforms([A.Rotate(limit=15, p=1), A.Perspective(scale=(0.01, 0.06), p=1)], scale=(0.7, 1.4)),
    "square around a word": RandomTextCrop(160, (0.6, 1.8), rotation=15, word_probability=0.7),
    "sub-pixel jitter": lambda page, rng: JitteredDataset([page], pixels=3.0, noise=0.0, seed=int(rng.integers(1000)))[0],
}


@st.composite
def words(draw: st.DrawFn, height: int, width: int) -> np.ndarray:
    """A convex word anywhere on the image: four corners, or two bent sides of four points each; clockwise."""
    x, y = draw(st.floats(0.3, 0.7)) * width, draw(st.floats(0.3, 0.7)) * height
    half_length, half_height = draw(st.floats(14, 45)), draw(st.floats(6, 14))
    angle, taper, bend = draw(st.floats(-0.6, 0.6)), draw(st.floats(-0.25, 0.25)), draw(st.sampled_from([0.0, 0.15]))
    along = np.linspace(-1, 1, 4 if bend else 2)
    upper = np.stack([along * half_length, -half_height * (1 + taper * along) - bend * half_height * (1 - along**2)], axis=1)
    lower = np.stack([along * half_length, half_height * (1 + taper * along) + bend * half_height * (1 - along**2)], axis=1)
    corners = np.concatenate([upper, lower[::-1]])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return (corners @ turn + (x, y)).astype(np.float32)


def whiteness(image: np.ndarray) -> np.ndarray:
    return np.clip(image[..., 0].astype(float) - DARK, 0, None) / (255 - DARK)


def misplacement(image: np.ndarray, polygon: np.ndarray) -> float:
    """How far white ink lies from its polygon, pixels: the larger of the shift of their centres and the mean gap."""
    white, outline = whiteness(image), Polygon(polygon)
    y, x = np.mgrid[: white.shape[0], : white.shape[1]] + 0.5
    centre = np.array([(white * x).sum(), (white * y).sum()]) / white.sum()
    shift = float(np.linalg.norm(centre - np.array(outline.centroid.coords[0])))
    gap = abs(white.sum() - outline.area) / outline.length
    return max(shift, gap)


@pytest.mark.parametrize("name", TRANSFORMS)
@settings(deadline=None, max_examples=25)
@given(st.data(), st.integers(120, 260), st.integers(120, 260), st.integers(0, 2**31))
def test_a_transform_moves_polygon_and_pixels_alike(name: str, data: st.DataObject, height: int, width: int, seed: int):
    page = sample(height, width, [data.draw(words(height, width))], ["kept"])
    assume(rectangle(0, 0, width, height).contains(Polygon(page.instances.polygons[0])))
    after = TRANSFORMS[name](page, np.random.default_rng(seed))
    rows, columns = after.image.shape[:2]
    assume(len(after.instances) and rectangle(0, 0, columns, rows).contains(Polygon(after.instances.polygons[0])))
    assert after.instances.transcriptions == ("kept",)
    assert misplacement(after.image, after.instances.polygons[0]) < HALF_A_PIXEL


@pytest.mark.parametrize("make", [default_transforms, crop_transforms])
@settings(deadline=None, max_examples=30)
@given(st.data(), st.integers(60, 260), st.integers(60, 260), st.integers(0, 2**31))
def test_a_word_is_whole_or_dont_care_or_gone(make: Callable, data: st.DataObject, height: int, width: int, seed: int):
    """Each word has a shade of its own; a kept one shows all of it, and nobody's text wanders to another polygon."""
    polygons = [data.draw(words(height, width))]
    page = Sample(sample(height, width, polygons).image, TextInstances.of(polygons, ["kept"]), "page")
    geometry = make(96)
    geometry.compose = A.Compose([t for t in geometry.compose.transforms if not isinstance(t, A.ImageOnlyTransform)])
    after = TextTransforms(geometry.compose.transforms, geometry.scale, geometry.crop)(page, np.random.default_rng(seed))
    kept = [p for p, ignore in zip(after.instances.polygons, after.instances.ignore, strict=True) if not ignore]
    for polygon in kept:
        outside = Polygon(polygon).difference(rectangle(0, 0, 96, 96)).area
        assert outside <= 0.12 * Polygon(polygon).area
    if not len(after.instances):
        assert whiteness(after.image).sum() < 2, "no word is dropped while its ink is there"


@pytest.mark.parametrize("on_device", [False, True], ids=["loader", "device"])
@settings(deadline=None, max_examples=25)
@given(
    st.data(),
    st.lists(st.tuples(st.integers(100, 240), st.integers(100, 240)), min_size=1, max_size=3),
    st.lists(st.sampled_from([0.35, 0.5, 0.7, 0.8, 1.4]), min_size=1, max_size=3, unique=True),
    st.sampled_from([None, ReferenceSize(short=133), ReferenceSize(long=201)]),
)
def test_every_view_of_a_batch_agrees_with_its_polygons(
    on_device: bool,
    data: st.DataObject,
    sizes: list[tuple[int, int]],
    scales: list[float],
    reference: ReferenceSize | None,
):
    """Images of differing size in one batch, at several scales, with the targets that detection learns from."""
    pages = [
        sample(height, width, [data.draw(words(height, width))], ["abc"], name=str(number))
        for number, (height, width) in enumerate(sizes)
    ]
    for page in pages:
        assume(rectangle(0, 0, *page.image.shape[1::-1]).contains(Polygon(page.instances.polygons[0])))
    collate = Collate(CHARSET, (1.0, *scales), reference, thumbnail=16, min_height=1.0, on_device=on_device)
    batch = fill_frames(collate(pages))
    assert batch.image_index.tolist() == list(range(len(pages)))
    for scale, view in batch.views.items():
        assert scale in (1.0, *scales)
        for index, words_of in enumerate(batch.instances):
            polygon = words_of.polygons[0] * view.factors[index].numpy()
            rows, columns = view.sizes[index].tolist()
            image = view.images[index, :, :rows, :columns].permute(1, 2, 0).numpy()
            assert misplacement(image, polygon) < HALF_A_PIXEL
            assert not view.images[index, :, rows:].any()
            assert not view.images[index, :, :, columns:].any()
            inside = view.targets.text[index].nonzero().flip(1).numpy() * 2 + 1.0
            assert all(Polygon(polygon).buffer(1.5).covers(rectangle(x, y, x, y)) for x, y in inside.tolist())
    for index, words_of in enumerate(batch.instances):
        np.testing.assert_allclose(batch.boundaries[index].numpy(), polygon_to_boundaries(words_of.polygons[0]), atol=1e-4)
