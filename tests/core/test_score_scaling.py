"""Scores as probabilities: by hand, and found again from words that were drawn."""

import numpy as np
import pytest

from dld_spotter.core.errors import ConfigError
from dld_spotter.core.score_scaling import ScoreScaling


def test_log_odds_are_scaled():
    scores = np.array([0.2, 0.5, 0.9])  # odds 1/4, 1, 9
    np.testing.assert_allclose(ScoreScaling(2.0, 0.0)(scores), [1 / 17, 0.5, 81 / 82], rtol=1e-9)
    np.testing.assert_allclose(ScoreScaling(1.0, np.log(3))(scores), [3 / 7, 0.75, 27 / 28], rtol=1e-9)


def test_what_is_sure_stays_finite_and_in_order():
    scaled = ScoreScaling(3.0, 1.0)(np.array([0.0, 0.5, 1.0]))
    assert np.isfinite(scaled).all()
    assert 0 <= scaled[0] < scaled[1] < scaled[2] <= 1


@pytest.mark.parametrize(("slope", "offset"), [(0.4, -1.0), (1.0, 0.0), (2.5, 1.5)])
def test_the_scaling_that_words_were_drawn_by_is_found(slope: float, offset: float):
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.02, 0.98, 20_000)
    right = rng.random(20_000) < ScoreScaling(slope, offset)(scores)
    found = ScoreScaling.fit(scores, right.astype(float))
    assert found.slope == pytest.approx(slope, abs=0.1)
    assert found.offset == pytest.approx(offset, abs=0.1)


def test_words_that_are_all_right_or_all_wrong_or_none_have_a_scaling():
    scores = np.array([0.3, 0.6, 0.9])
    assert ScoreScaling.fit(np.zeros(0), np.zeros(0)) == ScoreScaling()
    likely, unlikely = (ScoreScaling.fit(scores, np.full(3, value))(scores) for value in (1.0, 0.0))
    np.testing.assert_allclose(likely, 0.8, atol=1e-3)  # four of five, with one more of either kind
    np.testing.assert_allclose(unlikely, 0.2, atol=1e-3)


def test_scores_that_mislead_tell_nothing_but_keep_their_order():
    scores = np.linspace(0.05, 0.95, 50)
    scaled = ScoreScaling.fit(scores, (scores < 0.5).astype(float))(scores)
    np.testing.assert_allclose(scaled, 0.5, atol=1e-3)
    assert (np.diff(scaled) > 0).all()


def test_an_order_cannot_be_turned():
    with pytest.raises(ConfigError, match="slope above 0"):
        ScoreScaling(-1.0, 0.0)
