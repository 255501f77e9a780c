from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dld_spotter.core.hmean import hmean, precision, recall

COUNTS = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30)).map(lambda c: (c[0], c[0] + c[1], c[0] + c[2]))


@pytest.mark.parametrize(
    ("matched", "predicted", "true", "expected"),
    [
        (0, 0, 0, (0, 0, 0)),  # an image without text of which nothing was read
        (0, 3, 0, (0, 0, 0)),  # nothing but false words
        (0, 0, 3, (0, 0, 0)),  # nothing read
        (0, 2, 3, (0, 0, 0)),
        (3, 3, 3, (1, 1, 1)),
        (1, 2, 4, (1 / 2, 1 / 4, 1 / 3)),
    ],
)
def test_values_by_hand(matched, predicted, true, expected):
    found = precision(matched, predicted), recall(matched, true), hmean(matched, predicted, true)
    assert tuple(map(float, found)) == pytest.approx(expected)


@given(COUNTS)
def test_the_harmonic_mean_is_that_of_precision_and_recall(counts):
    matched, predicted, true = counts
    inverse = (Fraction(predicted, matched) + Fraction(true, matched)) / 2 if matched else None
    assert float(hmean(*counts)) == pytest.approx(0 if inverse is None else float(1 / inverse), abs=1e-15)


@given(st.lists(COUNTS, min_size=1, max_size=6))
def test_arrays_are_computed_each_for_itself(rows):
    matched, predicted, true = np.array(rows).T
    assert hmean(matched, predicted, true).tolist() == [float(hmean(*row)) for row in rows]
    assert precision(matched, predicted).tolist() == [float(precision(m, p)) for m, p, _ in rows]
    assert recall(matched, true).tolist() == [float(recall(m, t)) for m, _, t in rows]


def test_means_give_what_sums_give():
    rows = np.array([[1, 2, 4], [0, 0, 0], [3, 3, 3]])
    assert float(hmean(*rows.mean(0))) == pytest.approx(float(hmean(*rows.sum(0))))


def test_what_is_not_known_stays_unknown():
    assert np.isnan(hmean([np.nan, 1.0, 1.0], [1.0, np.nan, 1.0], [1.0, 1.0, np.nan])).all()
