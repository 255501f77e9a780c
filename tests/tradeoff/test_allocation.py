from itertools import product

import numpy as np
import pytest

from dld_spotter.core.errors import ConfigError
from dld_spotter.tradeoff import Measures, best_mix, chosen, oracle, random_mix, spend, static


def _reached(outcomes, allocation):
    mean = spend(outcomes, allocation).mean()
    return float(mean.hmean), float(mean.relative_cost)


def test_worked_example(worked):
    # Statics: 2*3/(4+8) = 1/2 and 2*7/(8+8) = 7/8; half of the images at each: 2*5/(6+8) = 5/7.
    assert _reached(worked, static(worked, 0.5)) == pytest.approx((1 / 2, 0.25))
    assert _reached(worked, static(worked, 1.0)) == pytest.approx((7 / 8, 1.0))
    assert _reached(worked, random_mix(worked, 0.625)) == pytest.approx((5 / 7, 0.625))
    # Knowing which image gains: 2*7/(7+8) at the same cost, and no budget buys more.
    assert _reached(worked, oracle(worked, 0.625)) == pytest.approx((14 / 15, 0.625))
    assert _reached(worked, oracle(worked, 1.0)) == pytest.approx((14 / 15, 0.625))
    # Half of that gain: the small text is drawn at the costly scale every other time, 2*5/(5.5+8).
    assert _reached(worked, oracle(worked, 0.4375)) == pytest.approx((10 / 13.5, 0.4375))


def test_random_mix_beats_every_distribution_on_a_grid(random_table):
    means = random_table(20, 4).measures.mean()
    grid = np.array([point for point in product(range(21), repeat=4) if sum(point) == 20]) / 20
    for budget in np.linspace(means.relative_cost[0], 1, 9):
        mixes = Measures(grid @ means.values)
        allowed = mixes.hmean[mixes.relative_cost <= budget]
        weights = best_mix(means, np.asarray(budget))
        assert weights.sum() == pytest.approx(1)
        best = means.mixed(weights)
        assert best.relative_cost <= budget + 1e-9
        assert allowed.max() <= best.hmean + 1e-12
        # The grid is fine enough to come close, so the mix is not better than possible.
        assert best.hmean <= allowed.max() + 0.02


def test_best_mix_leaves_out_what_does_not_pay(worked):
    mean = worked.measures.mean()[::-1]
    worse = Measures.of(mean.matched, mean.predicted, mean.true, relative_cost=[0.25, 1.0])
    assert best_mix(worse, np.asarray(0.8)).tolist() == [1, 0]
    assert np.isnan(best_mix(worse, np.asarray(0.2))).all()


@pytest.mark.parametrize("seed", range(5))
def test_oracle_equals_brute_force(random_table, seed):
    outcomes = random_table(4, 3, seed)
    choices = np.array(list(product(range(3), repeat=4)))
    means = Measures.stack(spend(outcomes, chosen(outcomes, choice)).mean() for choice in choices)
    cheapest = outcomes.relative_cost.min(1).mean()
    for budget in np.linspace(cheapest, 0.9, 7):
        cheap, costly = means[means.relative_cost <= budget + 1e-12], means[means.relative_cost > budget]
        # The optimum of the relaxed problem mixes at most two deterministic choices.
        low, high = cheap.relative_cost[:, None, None], costly.relative_cost[None, :, None]
        share = (budget - low) / (high - low)
        mixed = Measures((1 - share) * cheap.values[:, None] + share * costly.values[None])
        best = max(cheap.hmean.max(), mixed.hmean.max(initial=0))
        value, cost = _reached(outcomes, oracle(outcomes, budget))
        assert value == pytest.approx(best, abs=1e-7)
        assert cost <= budget * (1 + 1e-6)


def test_oracle_is_at_least_the_random_mix(random_table):
    outcomes = random_table(50, 6)
    for budget in np.linspace(outcomes.relative_cost[:, 0].mean(), 1, 8):
        assert _reached(outcomes, oracle(outcomes, budget))[0] >= _reached(outcomes, random_mix(outcomes, budget))[0] - 1e-12


def test_one_scale_and_no_words(random_table, worked):
    single = random_table(3, 1)
    budget = single.relative_cost.mean()
    np.testing.assert_array_equal(oracle(single, budget), np.ones((3, 1)))
    np.testing.assert_array_equal(random_mix(single, budget), np.ones((3, 1)))


def test_what_cannot_be_is_said(worked):
    with pytest.raises(ConfigError, match=r"scale=0\.7 was not measured; choose one of 0\.5, 1\.0"):
        static(worked, 0.7)
    for method in (oracle, random_mix):
        with pytest.raises(ConfigError, match=r"budget=0\.1 cannot be met; the cheapest choice costs 0\.25"):
            method(worked, 0.1)
