"""What reading gave and what it took, by name: counts of words, and costs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from dld_spotter.core.arrays import Floats
from dld_spotter.core.bootstrap import Estimate, bootstrap
from dld_spotter.core.errors import DataError
from dld_spotter.core.hmean import hmean, precision, recall

MEASURES = ("matched", "predicted", "true", "relative_cost", "gflops", "seconds")


@dataclass(frozen=True, eq=False)
class Measures:
    """The measures of one image, or of any array of them, such as ``(N, K)`` of N images read at each of K scales.

    All of an array are in one block of memory, so that a mean, a resample or a mixture of all six is one operation. Shapes
    below are without the last dimension.

    Args:
        values: ``(..., 6)`` in the order of ``MEASURES``, the form in which files hold them.

    Raises:
        DataError: the last dimension is another.
    """

    values: Floats

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", np.asarray(self.values, float))
        if self.values.shape[-1:] != (len(MEASURES),):
            raise DataError(f"measures need {', '.join(MEASURES)} along the last dimension, found shape {self.values.shape}")

    @classmethod
    def of(
        cls,
        matched: ArrayLike,
        predicted: ArrayLike,
        true: ArrayLike,
        relative_cost: ArrayLike = 0.0,
        gflops: ArrayLike = 0.0,
        seconds: ArrayLike = 0.0,
    ) -> Self:
        """Put numbers, or arrays of one shape, together."""
        columns = np.broadcast_arrays(matched, predicted, true, relative_cost, gflops, seconds)
        return cls(np.stack(columns, axis=-1).astype(float))

    @classmethod
    def stack(cls, parts: Iterable[Self]) -> Self:
        """Put N measures of one shape ``(...)`` together as ``(N, ...)``."""
        return cls(np.stack([part.values for part in parts]))

    @property
    def matched(self) -> Floats:
        """Words that were found and read."""
        return self.values[..., 0]

    @property
    def predicted(self) -> Floats:
        """Predicted words that count."""
        return self.values[..., 1]

    @property
    def true(self) -> Floats:
        """True words that count."""
        return self.values[..., 2]

    @property
    def relative_cost(self) -> Floats:
        """Cost relative to the reference resolution."""
        return self.values[..., 3]

    @property
    def gflops(self) -> Floats:
        """GFLOP; NaN where they are not known."""
        return self.values[..., 4]

    @property
    def seconds(self) -> Floats:
        """Wall time."""
        return self.values[..., 5]

    @property
    def precision(self) -> Floats:
        """Of sums or means over images, as those below; see :mod:`dld_spotter.core.hmean`."""
        return precision(self.matched, self.predicted)

    @property
    def recall(self) -> Floats:
        """Matched over true words."""
        return recall(self.matched, self.true)

    @property
    def hmean(self) -> Floats:
        """Harmonic mean of precision and recall."""
        return hmean(self.matched, self.predicted, self.true)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of each measure."""
        return self.values.shape[:-1]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Self:
        """Select as in an array of the shape of each measure."""
        index = index if isinstance(index, tuple) else (index,)
        return type(self)(self.values[(*index, slice(None))])

    def mean(self) -> Self:
        """Mean over the first dimension, most often the images."""
        return type(self)(self.values.mean(0))

    def sum(self) -> Self:
        """Sum over the first dimension."""
        return type(self)(self.values.sum(0))

    def mixed(self, weights: Floats) -> Self:
        """Expected measures ``(...)`` of ``(..., K)`` when each of the K is taken with its probability in ``(..., K)``."""
        return type(self)(np.einsum("...k,...km->...m", weights, self.values))

    def plus(self, relative_cost: ArrayLike = 0.0, gflops: ArrayLike = 0.0, seconds: ArrayLike = 0.0) -> Self:
        """The same at a higher cost, as that of a decision: numbers, or arrays of the shape of each measure."""
        return type(self)(self.values + Measures.of(0, 0, 0, relative_cost, gflops, seconds).values)


def estimate(statistic: Callable[..., Floats], *measures: Measures, resamples: Floats) -> Estimate:
    """Estimate a statistic of mean measures, and its interval over images.

    Args:
        statistic: maps the means ``(R, ...)`` of each of ``measures`` to values ``(R,)``.
        measures: ``(N, ...)``, the same images in the same order.
        resamples: ``(R, N)`` of :func:`dld_spotter.core.bootstrap.resample`.

    Raises:
        DataError: the images are not equally many.
    """
    tables = [each.values for each in measures]
    return bootstrap(lambda *means: statistic(*map(Measures, means)), *tables, resamples=resamples)
