from dataclasses import replace

import numpy as np
import pytest

from dld_spotter.core.errors import ConfigError
from dld_spotter.data.jitter import JitteredDataset
from tests.data.samples import box, sample

PLACE = box(40, 30, 50, 20)


def centre(image):
    """Centre of the bright word in pixels; half a pixel lies in a pixel's middle."""
    mass = image[..., 0].astype(float)
    rows, columns = np.indices(mass.shape)
    return np.array([(columns * mass).sum(), (rows * mass).sum()]) / mass.sum() + 0.5


def test_image_and_polygons_move_together_by_less_than_a_pixel():
    plain = [sample(96, 128, [PLACE], ["cat"], name=f"{i}") for i in range(8)]
    plain = [replace(made, image=np.where(made.image > 60, 200, 0).astype(np.uint8)) for made in plain]  # on black
    moved = JitteredDataset(plain, pixels=1.0, noise=0.0)
    steps = []
    for before, after in zip(plain, map(moved.__getitem__, range(len(moved))), strict=True):
        steps.append((after.instances.polygons[0] - PLACE)[0])
        moved_by = centre(after.image) - centre(before.image)
        np.testing.assert_allclose(moved_by, steps[-1], atol=1 / 32)  # as exact as OpenCV places pixels
        assert after.image.shape == before.image.shape
        assert after.image.dtype == np.uint8
        assert (after.name, after.instances.transcriptions) == (before.name, before.instances.transcriptions)
    assert np.abs(steps).max() <= 1
    assert len({tuple(step) for step in steps}) == 8


def test_it_repeats_and_another_seed_differs():
    plain = [sample(name="a")]
    first, same, other = (JitteredDataset(plain, seed=seed)[0].image for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_nothing_asked_for_changes_nothing():
    plain = sample(polygons=[PLACE])
    still = JitteredDataset([plain], pixels=0, noise=0)[0]
    np.testing.assert_array_equal(still.image, plain.image)
    np.testing.assert_array_equal(still.instances.polygons[0], PLACE)


@pytest.mark.parametrize("options", [{"pixels": -1}, {"pixels": 9}, {"noise": 99}])
def test_what_would_matter_is_refused(options):
    with pytest.raises(ConfigError, match="jitter"):
        JitteredDataset([], **options)
