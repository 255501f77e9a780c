import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dld_spotter.core.batches import Sample, TextInstances
from dld_spotter.core.charset import Charset
from dld_spotter.core.errors import ConfigError
from dld_spotter.data import views
from dld_spotter.data.collate import Collate
from dld_spotter.data.views import ReferenceSize, fill_frames, make_thumbnails, make_view, resize, to_reference


def marked(height, width, x, y, w, h):
    """Black, with one white box on whole pixels."""
    image = np.zeros((height, width, 3), np.uint8)
    image[y : y + h, x : x + w] = 255
    return image


def box_from(values):
    """Measure the white box in ``(H, W)`` values 0..1: centre and length in x, then in y."""
    mass, spans = values.sum(), []
    for axis in (0, 1):
        profile = values.sum(axis)
        centre = (profile * (np.arange(len(profile)) + 0.5)).sum() / mass
        spans.append((centre, mass / profile.max()))
    return spans


@settings(deadline=None, max_examples=60)
@given(st.integers(40, 200), st.integers(40, 200), st.sampled_from([0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.4]), st.data())
def test_a_marked_word_is_found_in_every_view(height, width, scale, data):
    w, h = data.draw(st.integers(16, width // 2)), data.draw(st.integers(16, height // 2))
    x, y = data.draw(st.integers(4, width - w - 4)), data.draw(st.integers(4, height - h - 4))
    view = make_view([marked(height, width, x, y, w, h)], scale, stride=16)
    (centre_x, length_x), (centre_y, length_y) = box_from(view.images[0, 0].numpy() / 255)
    factor_x, factor_y = view.factors[0].tolist()
    for centre, length, start, extent, factor in (
        (centre_x, length_x, x, w, factor_x),
        (centre_y, length_y, y, h, factor_y),
    ):
        assert abs((centre - length / 2) - start * factor) < 0.5
        assert abs((centre + length / 2) - (start + extent) * factor) < 0.5


def test_padding_sizes_and_factors():
    images = [np.full((50, 70, 3), 200, np.uint8), np.full((90, 33, 3), 100, np.uint8)]
    view = make_view(images, 0.5, stride=32)
    assert view.images.shape == (2, 3, 64, 64)
    assert view.images.dtype == torch.uint8
    assert view.sizes.tolist() == [[25, 35], [45, 16]]
    torch.testing.assert_close(view.factors, torch.tensor([[35 / 70, 25 / 50], [16 / 33, 45 / 90]]))
    assert (view.images[0, :, :25, :35] == 200).all()
    assert view.images.long().sum() == 3 * (25 * 35 * 200 + 45 * 16 * 100)


def test_shrinking_is_anti_aliased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    shrunk = make_view([stripes], 0.3, stride=2).images[0, 0, 1:18, 1:18].float()
    assert (shrunk - 127.5).abs().max() < 40


def test_one_pixel():
    view = make_view([np.full((1, 1, 3), 9, np.uint8)], 0.3)
    assert view.images.shape == (1, 3, 32, 32)
    assert view.sizes.tolist() == [[1, 1]]
    assert make_thumbnails([np.full((1, 1, 3), 9, np.uint8)], 8).tolist() == np.full((1, 3, 8, 8), 9).tolist()


@pytest.mark.parametrize("count", [1, 3])
def test_thumbnails_are_the_images_squeezed_in_the_order_that_the_selector_wants(count):
    images = [np.random.default_rng(n).integers(0, 256, (40 + n, 60, 3), np.uint8) for n in range(count)]
    thumbnails = make_thumbnails(images, 16)
    assert thumbnails.is_contiguous(memory_format=torch.channels_last)
    for thumbnail, image in zip(thumbnails, images, strict=True):
        np.testing.assert_array_equal(thumbnail.permute(1, 2, 0).numpy(), resize(image, 16, 16))


def test_read_only_and_strided_images_are_resized_without_a_warning():
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    frozen = image.copy()
    frozen.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(resize(frozen, 10, 15), resize(image, 10, 15))
        np.testing.assert_array_equal(resize(image[:, ::-1], 10, 15), resize(image, 10, 15)[:, ::-1])


@pytest.mark.parametrize(
    ("rule", "size", "expected"),
    [
        (ReferenceSize(), (720, 1280), (720, 1280)),
        (ReferenceSize(360), (720, 1280), (360, 640)),
        (ReferenceSize(1440), (720, 1280), (1440, 2560)),
        (ReferenceSize(720, 640), (720, 1280), (360, 640)),
        (ReferenceSize(long=640), (100, 200), (100, 200)),
        (ReferenceSize(long=640), (3000, 4000), (480, 640)),
        (ReferenceSize(64, 128), (1, 10_000), (1, 128)),
    ],
)
def test_reference_size(rule, size, expected):
    assert rule(*size) == expected


def test_reference_takes_the_polygons_along():
    sample = Sample(
        np.zeros((100, 50, 3), np.uint8), TextInstances.of([np.array([[0, 0], [50, 0], [50, 100], [0, 100]])], ["a"]), "a"
    )
    resized = to_reference(sample, ReferenceSize(33))
    assert resized.image.shape == (66, 33, 3)
    np.testing.assert_allclose(resized.instances.polygons[0], [[0, 0], [33, 0], [33, 66], [0, 66]])


def test_a_size_of_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"reference\.short must be at least 1 pixel, found 0"):
        ReferenceSize(0)


SIZES = [(60, 90), (31, 47), (90, 33), (1, 1), (200, 64)]


def batch_of(images, scales, **options):
    samples = [Sample(image, TextInstances.of([], []), str(number)) for number, image in enumerate(images)]
    return Collate(Charset("ab"), scales, thumbnail=8, **options)(samples)


def assert_same_view(first, second, tolerance=0):
    assert first.images.shape == second.images.shape
    assert (first.images.int() - second.images.int()).abs().max() <= tolerance
    assert first.images.is_contiguous(memory_format=torch.channels_last)
    assert first.sizes.equal(second.sizes)
    assert first.factors.equal(second.factors)
    for name in ("text", "care", "border", "border_care"):
        assert getattr(first.targets, name).equal(getattr(second.targets, name))


@pytest.mark.parametrize("scales", [(1.0, 0.5), (0.5, 0.3, 1.4), (1.0,)])
def test_the_device_makes_the_views_that_the_loader_makes(scales):
    images = [np.random.default_rng(n).integers(0, 256, (*size, 3), np.uint8) for n, size in enumerate(SIZES)]
    made, sent = batch_of(images, scales), batch_of(images, scales, on_device=True)
    assert [view.images.shape[1] for view in sent.views.values()].count(3) == 1, "one view travels"
    filled = fill_frames(sent)
    assert set(filled.views) == set(made.views) == set(scales)
    for scale in scales:
        assert_same_view(filled.views[scale], made.views[scale])


def test_a_device_that_resizes_in_floating_point_differs_by_one_at_most(monkeypatch):
    images = [np.random.default_rng(n).integers(0, 256, (*size, 3), np.uint8) for n, size in enumerate(SIZES)]
    made, sent = batch_of(images, (0.5, 1.0)), batch_of(images, (0.5, 1.0), on_device=True)
    monkeypatch.setattr(views, "WHOLE_NUMBERS", ())
    filled = fill_frames(sent)
    assert_same_view(filled.views[0.5], made.views[0.5], tolerance=1)


def test_a_batch_that_is_whole_is_left_alone():
    batch = batch_of([np.zeros((9, 9, 3), np.uint8)], (1.0, 0.5))
    assert fill_frames(batch) is batch


def test_images_of_the_same_sizes_go_together():
    before, after = torch.tensor([[4, 6], [4, 6], [5, 6]]), torch.tensor([[2, 3], [2, 3], [2, 3]])
    assert list(views.alike(before, after)) == [([0, 1], (4, 6, 2, 3)), ([2], (5, 6, 2, 3))]
    assert list(views.alike(after)) == [(slice(None), (2, 3))]
