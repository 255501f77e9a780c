import numpy as np
import pytest

from dld_spotter.data import resizing, views


@pytest.mark.parametrize(
    ("size", "target"),
    [
        ((240, 320), (120, 160)),
        ((240, 320), (96, 128)),
        ((240, 320), (192, 256)),
        ((240, 320), (32, 32)),
        ((37, 501), (20, 333)),
        ((60, 50), (100, 90)),
        ((60, 50), (60, 20)),
        ((60, 50), (20, 50)),
        ((60, 50), (60, 50)),
        ((1, 1), (5, 7)),
        ((9, 300), (1, 90)),
    ],
)
def test_gives_the_pixels_that_torch_gives(size, target):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    found, expected = resizing.resize(image, *target), views.resize(image, *target)
    assert found.shape == expected.shape
    assert found.dtype == np.uint8
    different = np.abs(found.astype(int) - expected)
    assert different.max() <= 1, "a mean that lies just between two values may be rounded to either"
    assert (different > 0).mean() < 1e-3
