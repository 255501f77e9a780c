"""Intervals over images: resamples, shared by whatever is compared on them, and percentiles of a statistic."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dld_spotter.core.arrays import Floats
from dld_spotter.core.errors import ConfigError, DataError

LEVEL = 95.0


class Estimate(NamedTuple):
    """A value with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def resample(images: int, number: int = 1000, seed: int = 0) -> Floats:
    """How often each image is drawn in each resample, divided by N: ``(number, N)``, rows summing to 1.

    One such matrix for several methods makes their comparison paired.

    Raises:
        ConfigError: no resample is asked for.
    """
    if number < 1:
        raise ConfigError(f"resamples={number} of the bootstrap must be at least 1; give such as 1000")
    return np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=number) / images


def bootstrap(statistic: Callable[..., Floats], *tables: Floats, resamples: Floats) -> Estimate:
    """Estimate a statistic of mean measures, and its interval over images.

    Args:
        statistic: maps means ``(R, ...)`` of each table to values ``(R,)``.
        tables: ``(N, ...)`` measures per image, the same images in the same order.
        resamples: ``(R, N)`` from :func:`resample`.
    """
    images = resamples.shape[1]
    if any(len(table) != images for table in tables):
        raise DataError(f"paired comparison needs {images} images everywhere, found {[len(table) for table in tables]}")
    value = float(statistic(*(table.mean(0)[None] for table in tables))[0])
    samples = statistic(*(np.tensordot(resamples, table, 1) for table in tables))
    if np.isnan(samples).all():
        return Estimate(value, np.nan, np.nan)
    low, high = np.nanpercentile(samples, [50 - LEVEL / 2, 50 + LEVEL / 2])
    return Estimate(value, float(low), float(high))
