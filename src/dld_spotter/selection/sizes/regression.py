"""Kernel ridge regression with the error that each image would have had if it had been left out. Needs no torch."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dld_spotter.core.arrays import Floats

WIDTHS = (3.0, 6.0, 12.0, 24.0)
"""Widths of the Gaussian kernel that are tried, in standard deviations; two images are some 8 apart."""
RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Strengths of regularisation that are tried."""
LIMIT = 3.0
"""Standard deviations at which a feature is cut off: what lies far outside of what was learnt from tells nothing more."""


@dataclass(frozen=True, eq=False)
class Regression:
    """``mean + kernel(x, anchors) @ weights``.

    Args:
        center: ``(F,)`` mean of the features.
        spread: ``(F,)`` their standard deviation.
        anchors: ``(N, F)`` standardised features of the images that it was learnt from.
        width: of the kernel.
        mean: ``(T,)`` mean of the targets.
        weights: ``(N, T)``.
    """

    center: Floats
    spread: Floats
    anchors: Floats
    width: float
    mean: Floats
    weights: Floats

    def __call__(self, features: Floats) -> Floats:
        """Targets ``(M, T)`` of images with ``features`` ``(M, F)``."""
        kernel = _kernel(_standard(features, self.center, self.spread), self.anchors, self.width)
        return self.mean + kernel @ self.weights


class Fit(NamedTuple):
    """A regression, and what it would have said ``(N, T)`` of each image if that had been left out."""

    regression: Regression
    unseen: Floats


def fit(features: Floats, targets: Floats, importance: Floats) -> Fit:
    """Learn targets ``(N, T)`` from ``features`` ``(N, F)``, with the width and ridge of the least error of images left out.

    Args:
        features: of N images.
        targets: what is known of them.
        importance: ``(T,)`` by which the squared error of each target counts when width and regularisation are chosen.
    """
    center, spread = features.mean(0), features.std(0) + 1e-6
    rows, mean = _standard(features, center, spread), targets.mean(0)
    best, least = None, np.inf
    for width in WIDTHS:
        kernel = _kernel(rows, rows, width)
        values, vectors = np.linalg.eigh(kernel)
        turned = vectors.T @ (targets - mean)
        for ridge in RIDGES:
            shrunk = 1 / (values.clip(0) + ridge)
            weights = vectors @ (shrunk[:, None] * turned)
            missed = weights / (vectors**2 @ shrunk)[:, None]  # of an image that is left out, in closed form
            error = float((missed**2).mean(0) @ importance)
            if error < least:
                best, least = Fit(Regression(center, spread, rows, width, mean, weights), targets - missed), error
    return best


def _standard(features: Floats, center: Floats, spread: Floats) -> Floats:
    standard: Floats = ((np.atleast_2d(features) - center) / spread).clip(-LIMIT, LIMIT)
    return standard


def _kernel(first: Floats, second: Floats, width: float) -> Floats:
    squared = (first**2).sum(1)[:, None] + (second**2).sum(1) - 2 * first @ second.T
    kernel: Floats = np.exp(-squared.clip(0) / (2 * width**2))
    return kernel
