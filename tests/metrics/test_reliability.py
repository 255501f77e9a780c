"""Reliability of scores and exact case, worked out by hand."""

import numpy as np
import pytest

from dld_spotter.core.instances import TextInstances
from dld_spotter.core.words import Word
from dld_spotter.metrics.matching import match_image
from dld_spotter.metrics.reliability import Reliability, ScoreBin, WordQuality, exact_case
from tests.data.samples import box


def test_expected_calibration_error_by_hand():
    found = Reliability.of(np.array([[0.25, 1], [0.25, 0], [0.9, 1], [1.0, 0]]))
    assert found.bins == (ScoreBin(0.2, 0.3, 2, 0.25, 0.5), ScoreBin(0.9, 1.0, 2, 0.95, 0.5))
    assert found.error == pytest.approx(0.5 * 0.25 + 0.5 * 0.45)


def test_without_words_nothing_is_known():
    assert WordQuality.of([]).to_dict() == {"reliability": {"bins": (), "error": None}, "exact_case": None}


def test_words_in_ignored_regions_do_not_count_and_case_is_told():
    polygons = [box(10, top, 50, 20) for top in (10, 60, 110, 160)]
    truth = TextInstances.of(polygons, ["Cat", "dog", "###", "hen"], [False, False, True, False])
    texts = zip(polygons, ("CAT", "dog", "x", "hon"), (0.9, 0.8, 0.7, 0.3), strict=True)
    words = [Word(*one) for one in texts]
    quality = WordQuality.of([(match_image(truth, words), words)])
    assert quality.exact_case == 0.5
    assert [(one.predictions, one.right) for one in quality.reliability.bins] == [(1, 0.0), (1, 1.0), (1, 1.0)]
    assert quality.reliability.error == pytest.approx((0.3 + 0.2 + 0.1) / 3)


@pytest.mark.parametrize(
    ("truth", "read", "corrected", "exact"),
    [
        ("Cat", "Cat", "Cat", True),
        ("Cat", "CAT", "CAT", False),
        ("Cat", "Cat", "CAT", True),  # the list is in capitals, the reading is not
        ("Cat", "Cst", "CAT", None),
        ("Cat", "Cst", None, None),
        ("Cat!", "Cat", "Cat", True),  # a sign that the protocol leaves out
    ],
)
def test_exact_case(truth, read, corrected, exact):
    assert exact_case(truth, read, corrected) is exact
