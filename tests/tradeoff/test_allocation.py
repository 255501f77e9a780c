from itertools import product

import numpy as np
import pytest

from dld_spotter.core.errors import ConfigError
from dld_spotter.tradeoff import best_mix, chosen, hmean, oracle, random_mix, spend, static
from dld_spotter.tradeoff.outcomes import COST


def _reached(outcomes, allocation):
    totals = spend(outcomes, allocation).mean(0)
    return float(hmean(totals)), float(totals[COST])


def test_worked_example(worked):
    # Statics: 2*3/(4+8) = 1/2 and 2*7/(8+8) = 7/8; half of the images at each: 2*5/(6+8) = 5/7.
    assert _reached(worked, static(worked, 0.5)) == pytest.approx((1 / 2, 0.25))
    assert _reached(worked, static(worked, 1.0)) == pytest.approx((7 / 8, 1.0))
    assert _reached(worked, random_mix(worked, 0.625)) == pytest.approx((5 / 7, 0.625))
    # Knowing which image gains: 2*7/(7+8) at the same cost, and no budget buys more.
    assert _reached(worked, oracle(worked, 0.625)) == pytest.approx((14 / 15, 0.625))
    assert _reached(worked, oracle(worked, 1.0)) == pytest.approx((14 / 15, 0.625))
    # Half of that gain: the small text is drawn at the dear scale every other time, 2*5/(5.5+8).
    assert _reached(worked, oracle(worked, 0.4375)) == pytest.approx((10 / 13.5, 0.4375))


def test_random_mix_beats_every_distribution_on_a_grid(random_table):
    means = random_table(20, 4).totals.mean(0)
    grid = np.array([point for point in product(range(21), repeat=4) if sum(point) == 20]) / 20
    for budget in np.linspace(means[0, COST], 1, 9):
        mixes = grid @ means
        allowed = hmean(mixes)[mixes[:, COST] <= budget]
        weights = best_mix(means, np.asarray(budget))
        assert weights.sum() == pytest.approx(1)
        assert (weights @ means)[COST] <= budget + 1e-9
        assert allowed.max() <= hmean(weights @ means) + 1e-12
        # The grid is fine enough to come close, so the mix is not better than possible.
        assert hmean(weights @ means) <= allowed.max() + 0.02


def test_best_mix_leaves_out_what_does_not_pay(worked):
    worse = worked.totals.mean(0)[::-1].copy()
    worse[:, COST] = [0.25, 1.0]
    assert best_mix(worse, np.asarray(0.8)).tolist() == [1, 0]
    assert np.isnan(best_mix(worse, np.asarray(0.2))).all()


@pytest.mark.parametrize("seed", range(5))
def test_oracle_equals_brute_force(random_table, seed):
    outcomes = random_table(4, 3, seed)
    choices = np.array(list(product(range(3), repeat=4)))
    totals = np.stack([spend(outcomes, chosen(outcomes, choice)).mean(0) for choice in choices])
    cheapest = outcomes.relative_cost.min(1).mean()
    for budget in np.linspace(cheapest, 0.9, 7):
        cheap, dear = totals[totals[:, COST] <= budget + 1e-12], totals[totals[:, COST] > budget]
        # The optimum of the relaxed problem mixes at most two deterministic choices.
        share = (budget - cheap[:, None, COST]) / (dear[None, :, COST] - cheap[:, None, COST])
        mixed = (1 - share[..., None]) * cheap[:, None] + share[..., None] * dear[None]
        best = max(hmean(cheap).max(), hmean(mixed).max(initial=0))
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
