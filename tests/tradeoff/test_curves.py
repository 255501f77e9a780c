"""Statistics of curves with intervals over the images."""

from functools import partial

import numpy as np
import pytest

from dld_spotter.core.bootstrap import resample
from dld_spotter.tradeoff import Measures, area_over_log_cost, cost_at_hmean, hmean_at_cost, on_curves


def test_values_by_hand(worked):
    # Hmean 1/2 at cost 1/4 and 7/8 at 1, straight over log cost: half way at 1/2.
    drawn = resample(2, 200)
    area = on_curves(partial(area_over_log_cost, low=0.25, high=1.0), worked.measures, resamples=drawn)
    assert area.value == pytest.approx((1 / 2 + 7 / 8) / 2)
    height = on_curves(lambda costs, hmeans: hmean_at_cost(costs, hmeans, 0.5), worked.measures, resamples=drawn)
    assert height.value == pytest.approx((1 / 2 + 7 / 8) / 2)
    cost = on_curves(partial(cost_at_hmean, target=11 / 16), worked.measures, resamples=drawn)
    assert cost.value == pytest.approx(0.5)
    # A resample is one image twice or both. The first alone goes from 0 to 1, the second from 6/7 to 6/8, which is 6/7 at best.
    assert (area.low, area.high) == pytest.approx((0.5, 6 / 7))
    assert (cost.low, cost.high) == pytest.approx((0.25, 0.25 * 4 ** (11 / 16)))


def test_rows_of_curves_are_looked_up_each_for_itself():
    costs, hmeans = np.array([[0.1, 1.0], [0.2, 0.8], [0.1, 1.0]]), np.array([[0.2, 0.6], [0.5, 0.4], [0.1, 0.3]])
    assert cost_at_hmean(costs, hmeans, 0.4).tolist() == pytest.approx([10**-0.5, 0.2, np.nan], nan_ok=True)
    assert area_over_log_cost(costs, hmeans, 0.2, 0.8)[1] == pytest.approx(0.5)
    assert np.isnan(area_over_log_cost(costs, hmeans, 0.15, 0.8)).tolist() == [False, True, False]


def test_pairing_cancels_what_both_curves_share(random_table):
    outcomes, drawn = random_table(80, 4), resample(80, 300)
    area = partial(area_over_log_cost, low=0.4, high=0.9)
    own = outcomes.measures
    better = Measures(own.values * np.array([1.05, 1, 1, 1, 1, 1]))
    assert on_curves(area, own, own, resamples=drawn) == (0, 0, 0)
    alone, paired = on_curves(area, own, resamples=drawn), on_curves(area, better, own, resamples=drawn)
    assert paired.value == pytest.approx(0.05 * alone.value)
    assert paired.low > 0
    assert paired.high - paired.low < (alone.high - alone.low) / 5
