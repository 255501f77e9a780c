"""Small tables of outcomes."""

import numpy as np
import pytest

from dld_spotter.tradeoff import Outcomes


@pytest.fixture
def worked():
    """Two images at two scales: the first gains from the costly scale, the second does not."""
    ones = np.ones((2, 2), int)
    return Outcomes(
        names=("small text", "large text"),
        scales=(0.5, 1.0),
        matched=np.array([[0, 4], [3, 3]]),
        predicted=np.array([[1, 4], [3, 4]]),
        true=np.array([[4, 4], [4, 4]]),
        relative_cost=np.array([[0.25, 1.0], [0.25, 1.0]]),
        gflops=10 * ones * [0.25, 1.0],
        seconds=ones * [0.1, 0.2],
    )


@pytest.fixture
def random_table():
    """Build a table of random outcomes."""

    def build(images, scales, seed=0):
        rng = np.random.default_rng(seed)
        true = np.repeat(rng.integers(0, 9, (images, 1)), scales, 1)
        matched = rng.binomial(true, np.sort(rng.random((images, scales)), 1))
        cost = np.sort(rng.uniform(0.05, 1, (images, scales)), 1)
        return Outcomes(
            tuple(map(str, range(images))),
            tuple(np.linspace(0.3, 1, scales).tolist()),
            matched,
            matched + rng.integers(0, 4, matched.shape),
            true,
            cost,
            30 * cost,
            cost / 5,
        )

    return build
