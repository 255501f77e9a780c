import numpy as np
import pytest

from dld_spotter.core.bootstrap import bootstrap, resample
from dld_spotter.core.errors import ConfigError, DataError


def test_interval_of_a_mean_is_that_of_the_normal_distribution():
    table = np.random.default_rng(1).normal(3, 2, (400, 1))
    estimate = bootstrap(lambda mean: mean[:, 0], table, resamples=resample(400, 4000))
    error = 1.96 * table.std() / np.sqrt(400)
    assert estimate.value == pytest.approx(table.mean())
    assert (estimate.low, estimate.high) == (
        pytest.approx(table.mean() - error, abs=0.03),
        pytest.approx(table.mean() + error, abs=0.03),
    )


def test_resamples_draw_every_image_as_often_on_average():
    draws = resample(5, 2000)
    np.testing.assert_allclose(draws.sum(1), 1)
    np.testing.assert_allclose(draws.mean(0), 0.2, atol=0.01)
    np.testing.assert_array_equal(draws, resample(5, 2000))


def test_refuses_what_cannot_be_paired():
    with pytest.raises(ConfigError, match="resamples=0"):
        resample(5, 0)
    with pytest.raises(DataError, match="needs 5 images everywhere, found"):
        bootstrap(lambda a, b: a[:, 0], np.zeros((5, 1)), np.zeros((4, 1)), resamples=resample(5, 10))
