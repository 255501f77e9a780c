"""Reliability of scores and exact case, worked out by hand."""

import numpy as np
import pytest

from dld_spotter.core.instances import TextInstances
from dld_spotter.core.words import Word
from dld_spotter.metrics.matching import match_image
from dld_spotter.metrics.reliability import Bin, Reliability, WordQuality
from tests.data.samples import box


def test_expected_calibration_error_by_hand():
    # two bins: 0.2 and 0.3 fall into [0.2, 0.4) in tenths of their own, 0.9 and 1.0 into the last one
    scored = np.array([[0.25, 1], [0.25, 0], [0.9, 1], [1.0, 0]])
    found = Reliability.of(scored)
    assert found.bins == (Bin(2, 0.25, 0.5), Bin(2, 0.95, 0.5))
    assert found.error == pytest.approx(0.5 * 0.25 + 0.5 * 0.45)


def test_without_words_nothing_is_known():
    assert np.isnan(Reliability.of(np.zeros((0, 2))).error)
    none = WordQuality.of([]).to_dict()
    assert none == {"expected_calibration_error": None, "exact_case": None, "reliability": []}


def test_words_in_ignored_regions_do_not_count_and_case_is_told():
    polygons = [box(10, 10, 50, 20), box(10, 60, 50, 20), box(10, 110, 50, 20), box(10, 160, 50, 20)]
    truth = TextInstances.of(polygons, ["Cat", "dog", "###", "hen"], [False, False, True, False])
    words = [
        Word(polygons[0], "CAT", 0.9),
        Word(polygons[1], "dog", 0.8),
        Word(polygons[2], "x", 0.7),
        Word(polygons[3], "hon", 0.3),
    ]
    quality = WordQuality.of([(match_image(truth, words), words)])
    assert (quality.right, quality.in_case, quality.exact_case) == (2, 1, 0.5)
    assert [(one.words, one.right) for one in quality.reliability.bins] == [(1, 0.0), (1, 1.0), (1, 1.0)]
    assert quality.reliability.error == pytest.approx((0.3 + 0.2 + 0.1) / 3)
