"""Precision, recall and their harmonic mean, from counts of words: the one place where they are computed. Needs no torch.

Counts are those of one image, or sums or means over many, as numbers or as arrays of one shape. A quotient without anything
to divide by is 0, as in the official scripts. In particular each of the three is 0 where no word is there at all.
"""

import numpy as np
from numpy.typing import ArrayLike

from dld_spotter.core.arrays import Floats


def precision(matched: ArrayLike, predicted: ArrayLike) -> Floats:
    """Matched over predicted words; 0 where nothing was predicted.

    >>> float(precision(3, 4)), float(precision(0, 0))
    (0.75, 0.0)
    """
    return _ratio(np.asarray(matched, float), np.asarray(predicted, float))


def recall(matched: ArrayLike, true: ArrayLike) -> Floats:
    """Matched over true words; 0 where no word is true.

    >>> float(recall(3, 6)), float(recall(0, 0))
    (0.5, 0.0)
    """
    return _ratio(np.asarray(matched, float), np.asarray(true, float))


def hmean(matched: ArrayLike, predicted: ArrayLike, true: ArrayLike) -> Floats:
    """Harmonic mean of precision and recall, ``2 matched / (predicted + true)``; 0 where nothing was predicted or is true.

    A count that is NaN gives NaN.

    >>> float(hmean(3, 4, 6)), float(hmean(0, 4, 0)), float(hmean(0, 0, 0))
    (0.6, 0.0, 0.0)
    """
    return _ratio(2 * np.asarray(matched, float), np.asarray(predicted, float) + np.asarray(true, float))


def false_positive_cost_at(value: float) -> float:
    """What a false word costs an Hmean H of this value beside a right one that is missing: H / (2 - H).

    Of ``H = 2 m / (p + t)`` with m matched, p = m + f predicted and t true words, dH is (2 - H) dm - H df over p + t.

    >>> false_positive_cost_at(1.0), round(false_positive_cost_at(2 / 3), 9)
    (1.0, 0.5)
    """
    return value / (2 - value)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.zeros(numerator.shape), where=denominator != 0)
