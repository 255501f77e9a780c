from dataclasses import replace

import numpy as np
import pytest

from dld_spotter.core.bootstrap import bootstrap, resample
from dld_spotter.core.errors import DataError
from dld_spotter.tradeoff import (
    Measures,
    area_over_log_cost,
    chosen,
    cost_at_hmean,
    difference,
    estimate,
    gap_closed,
    hmean_at_cost,
    oracle,
    pareto_front,
    random_mix,
    spend,
    static,
    versus_mix,
    versus_static,
)

COSTS, HMEANS = np.array([1.0, 0.1, 0.4]), np.array([0.6, 0.4, 0.3])


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        (0.1, 0.4),
        (0.4, 0.4),  # the point at 0.4 is worse than the cheaper one
        (0.4 * 2.5**0.5, 0.5),  # half way in the logarithm from 0.4 to 1.0
        (1.0, 0.6),
        (5.0, 0.6),
        (0.05, np.nan),
    ],
)
def test_height_of_a_curve(cost, expected):
    assert float(hmean_at_cost(COSTS, HMEANS, cost)) == pytest.approx(expected, nan_ok=True)


def test_curves_are_looked_up_row_by_row():
    heights = hmean_at_cost(np.stack([COSTS, 2 * COSTS]), np.stack([HMEANS, HMEANS]), np.array([0.1, 0.1]))
    assert heights.tolist() == pytest.approx([0.4, np.nan], nan_ok=True)


@pytest.mark.parametrize(("target", "cost"), [(0.2, 0.1), (0.4, 0.1), (0.5, 0.4 * 2.5**0.5), (0.6, 1.0), (0.7, np.nan)])
def test_cost_of_a_height(target, cost):
    assert cost_at_hmean(COSTS, HMEANS, target) == pytest.approx(cost, nan_ok=True)


def test_area_is_the_mean_height_over_log_cost():
    # 0.4 from 0.1 to 0.4, then 0.5 on average from 0.4 to 1.0.
    expected = (0.4 * np.log(4) + 0.5 * np.log(2.5)) / np.log(10)
    assert area_over_log_cost(COSTS, HMEANS, 0.1, 1.0) == pytest.approx(expected, abs=1e-5)
    assert np.isnan(area_over_log_cost(COSTS, HMEANS, 0.01, 1.0))


def test_pareto_front():
    assert pareto_front(COSTS, HMEANS).tolist() == [1, 0]
    assert pareto_front(np.array([0.5, 0.5, 0.5]), np.array([0.1, 0.3, 0.3])).tolist() == [1]


def test_interval_of_a_mean_is_the_textbook_one():
    values = np.random.default_rng(1).normal(5, 2, (400, 1))
    estimate = bootstrap(lambda means: means[:, 0], values, resamples=resample(400, 4000))
    error = values.std() / 400**0.5
    expected = (values.mean(), values.mean() - 1.96 * error, values.mean() + 1.96 * error)
    assert estimate == pytest.approx(expected, abs=0.015)


def test_resamples_repeat_with_the_seed_and_differ_without():
    np.testing.assert_array_equal(resample(7, 5, 3), resample(7, 5, 3))
    assert (resample(7, 5, 3) != resample(7, 5, 4)).any()
    np.testing.assert_allclose(resample(7, 5).sum(1), 1)


def test_pairing_cancels_what_both_methods_share(random_table):
    outcomes, resamples = random_table(60, 4), resample(60)
    same = spend(outcomes, static(outcomes, 1.0))
    assert difference(same, same, resamples) == (0, 0, 0)
    a_tenth_more = Measures(same.values * np.array([1.1, 1, 1, 1, 1, 1]))
    paired = difference(a_tenth_more, same, resamples)
    alone = estimate(lambda means: means.hmean, same, resamples=resamples)
    assert paired.low > 0
    assert paired.high - paired.low < (alone.high - alone.low) / 2


def test_methods_on_the_baseline_gain_nothing(random_table):
    outcomes, resamples = random_table(60, 5), resample(60, 200)
    means = outcomes.measures.mean()
    cost = float(means.relative_cost.mean())
    best = spend(outcomes, static(outcomes, outcomes.scales[int(np.argmax(means.hmean))]))
    assert versus_static(best, outcomes, resamples).value == pytest.approx(0)
    mixed = spend(outcomes, random_mix(outcomes, cost))
    assert versus_mix(mixed, outcomes, resamples).value == pytest.approx(0)
    assert gap_closed(mixed, outcomes, resamples).value == pytest.approx(0, abs=1e-6)
    top = spend(outcomes, oracle(outcomes, cost))
    assert gap_closed(top, outcomes, resamples) == pytest.approx((1, 1, 1))
    assert versus_mix(top, outcomes, resamples).low > 0


def test_gains_by_hand(worked):
    # The right choice for both images, 14/15 at cost 0.625 and overhead 0.125, against scales of cost 0.25 and 1.0.
    method = spend(worked, chosen(worked, np.array([1, 0]))).plus(relative_cost=0.125)
    whole = np.full((1, 2), 1 / 2)
    curve = 1 / 2 + (7 / 8 - 1 / 2) * np.log(3) / np.log(4)
    assert versus_static(method, worked, whole) == pytest.approx((14 / 15 - curve,) * 3)
    # Random policy at 0.75: one third cheap, two thirds costly: 2 * 17/3 / (20/3 + 8) = 17/22.
    assert versus_mix(method, worked, whole) == pytest.approx((14 / 15 - 17 / 22,) * 3)
    assert gap_closed(method, worked, whole) == pytest.approx((1, 1, 1))


def test_a_method_that_costs_less_than_every_scale_has_no_baseline(worked):
    cheap = spend(worked, static(worked, 0.5)).plus(relative_cost=-0.1)
    for versus in (versus_static, versus_mix):
        assert np.isnan(versus(cheap, worked, resample(2, 20))).all()


def test_resamples_without_a_baseline_are_left_out(worked):
    # The method costs 0.15 on the first image and 0.45 on the second: of the resamples, those of the first alone are cheaper
    # than any scale.
    cost = Measures.of(0, 0, 0, relative_cost=[-0.1, 0.2]).values
    method = Measures(spend(worked, static(worked, 0.5)).values + cost)
    resamples = np.array([[1, 0], [0.5, 0.5], [0, 1]])
    for versus in (versus_static, versus_mix):
        assert versus(method, worked, resamples)[1:] == versus(method, worked, resamples[1:])[1:]
        assert np.isfinite(versus(method, worked, resamples)).all()


def test_no_gap_has_no_share(random_table):
    single = random_table(5, 1)
    assert np.isnan(gap_closed(spend(single, np.ones((5, 1))), single, resample(5, 10))).all()


def test_a_gap_of_rounding_has_no_share(worked):
    # Both images gain the same, so that the oracle is the random policy but for the slack of its budget.
    matched, predicted = np.array([[0, 3], [0, 3]]), np.full((2, 2), 3)
    outcomes = replace(worked, matched=matched, predicted=predicted, true=predicted)
    method = spend(outcomes, random_mix(outcomes, 0.5)).plus(relative_cost=0.1)
    assert np.isnan(gap_closed(method, outcomes, resample(2, 20))).all()


def test_different_images_cannot_be_paired(worked, random_table):
    with pytest.raises(DataError, match=r"needs 2 images everywhere, found \[2, 3\]"):
        versus_static(spend(worked, static(worked, 1.0)), random_table(3, 2), resample(2))
