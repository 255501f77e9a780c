import json
from itertools import pairwise, product

import numpy as np
import pytest

from dld_spotter.budget.calibration import Calibration
from dld_spotter.budget.controller import BudgetController
from dld_spotter.core.errors import CheckpointError, ConfigError, DataError
from dld_spotter.tradeoff import allocate, decide

SCALES = np.array([0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0])


def photos(images, seed, height=24.0, spread=0.8, words=12.0):
    """Losses and costs of photos whose words are of one height each: read the better the higher, 8 pixels being the middle."""
    rng = np.random.default_rng(seed)
    heights = height * np.exp(spread * rng.standard_normal((images, 1)))
    read = 1 / (1 + (8 / (heights * SCALES)) ** 4)
    losses = -rng.poisson(words, (images, 1)) / 12 * read + 0.05 * rng.standard_normal(read.shape)
    return losses, SCALES**2 * rng.normal(1, 0.03, (images, 1))


def at(values, index):
    return np.take_along_axis(values, index[:, None], 1)[:, 0]


@pytest.fixture(scope="module")
def calibration():
    return Calibration.of(*photos(200, seed=1))


def test_two_images_by_hand():
    # The first gives up its costly scale at a cost weight of 0.4 / 0.8 = 0.5, the second at 0.08 / 0.8 = 0.1.
    losses, costs = np.array([[0.4, 0.0], [0.08, 0.0]]), np.array([[0.2, 1.0], [0.2, 1.0]])
    calibration = Calibration.of(losses, costs, overhead=0.01)
    assert (calibration.low, calibration.high) == pytest.approx((0.21, 1.01))
    assert calibration.gamma_for(1.0) == pytest.approx(0.1, rel=0.05)
    assert calibration.gamma_for(0.61) == pytest.approx(np.sqrt(0.1 * 0.5), rel=0.01)
    assert calibration.gamma_for(0.21) == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("budget", [0.12, 0.2, 0.3, 0.5])
def test_the_calibrated_weight_spends_the_budget_on_images_like_those(calibration, budget):
    losses, costs = photos(4000, seed=2)
    assert at(costs, decide(losses, costs, calibration.gamma_for(budget))).mean() == pytest.approx(budget, rel=0.08)


def test_a_lower_budget_has_a_higher_weight(calibration):
    gammas = [calibration.gamma_for(budget) for budget in np.linspace(calibration.low, 1, 30)]
    assert all(low >= high for low, high in pairwise(gammas))
    assert gammas[0] > gammas[-1] > 0


def test_what_the_decision_does_not_know_is_counted():
    losses, costs = photos(200, seed=3)
    known, real = Calibration.of(losses, costs), Calibration.of(losses, costs, spent=costs + 0.1, overhead=0.02)
    assert real.low == pytest.approx(known.low + 0.12)
    assert real.gamma_for(0.42) == pytest.approx(known.gamma_for(0.3), rel=0.02)


def test_heads_are_chosen_whole():
    spent = np.array([[0.7, 0.9], [0.3, 0.5], [0.35, 0.55]])  # a head of a higher weight may have learnt to spend more
    calibration = Calibration.of_heads((0.05, 0.1, 0.3), spent)
    assert [calibration.gamma_for(budget) for budget in (1.0, 0.8, 0.79, 0.44, 0.4)] == [0.05, 0.05, 0.3, 0.1, 0.1]
    with pytest.raises(ConfigError, match=r"from 0\.4 to 0\.8"):
        calibration.gamma_for(0.39)


def test_one_scale():
    calibration = Calibration.of(np.zeros((3, 1)), np.full((3, 1), 0.5))
    assert calibration.costs == (0.5,)
    assert calibration.gamma_for(0.5) == calibration.gamma_for(1.0) > 0


@pytest.mark.parametrize("budget", [0.05, 0.0, -1.0, 30.0, float("nan"), float("inf")])
def test_budgets_that_cannot_be_met_name_the_range(calibration, budget):
    with pytest.raises(ConfigError, match=rf"budget={budget:g} cannot be met.*from 0\.\d+ to ") as error:
        calibration.gamma_for(budget)
    named = float(str(error.value).partition("lies from ")[2].split()[0])
    assert named == pytest.approx(calibration.low, abs=1e-3)
    assert calibration.gamma_for(named) > 0


def test_plain_values_come_back(calibration):
    assert Calibration.from_dict(json.loads(json.dumps(calibration.to_dict())), "a.ckpt") == calibration
    for damaged in ({}, {**calibration.to_dict(), "costs": [1.0]}, {**calibration.to_dict(), "gammas": "x"}):
        with pytest.raises(CheckpointError, match=r"a\.ckpt holds a damaged or older Calibration .*; calibrate it again"):
            Calibration.from_dict(damaged, "a.ckpt")


@pytest.mark.parametrize(
    ("gammas", "costs"), [((), ()), ((0.2, 0.1), (0.5, 0.4)), ((0.1, 0.2), (0.4, 0.5)), ((0.0, 0.1), (0.5, 0.4))]
)
def test_curves_that_cannot_be_are_refused(gammas, costs):
    with pytest.raises(DataError, match="ascending cost weights"):
        Calibration(gammas, costs)


@pytest.mark.parametrize("seed", range(5))
def test_allocation_equals_brute_force_but_for_one_image(seed):
    rng = np.random.default_rng(seed)
    losses, costs = rng.random((4, 3)), np.sort(rng.uniform(0.05, 1, (4, 3)), 1)
    choices = np.array(list(product(range(3), repeat=4)))
    total, mean = losses[range(4), choices].sum(1), costs[range(4), choices].mean(1)
    for budget in np.linspace(mean.min(), mean.max(), 7):
        index = allocate(losses, costs, budget)
        assert at(costs, index).mean() <= budget + 1e-9
        best = total[mean <= budget + 1e-9].min()
        assert best - 1e-12 <= at(losses, index).sum() <= best + np.ptp(losses, axis=1).max()


def test_allocation_spends_what_there_is():
    losses, costs = photos(200, seed=4)
    for budget in (0.15, 0.3, 0.5):
        assert budget - 1 / 200 <= at(costs, allocate(losses, costs, budget)).mean() <= budget + 1e-9
    alike = allocate(np.tile([1.0, 0.0], (10, 1)), np.tile([0.2, 1.0], (10, 1)), 0.6)
    assert alike.sum() == 5  # one cost weight for all of them: half change scales
    with pytest.raises(ConfigError, match=r"budget=0\.05 cannot be met"):
        allocate(losses, costs, 0.05)


STREAMS = {
    "like those of the calibration": {},
    "smaller text": {"height": 14.0},
    "larger text": {"height": 40.0},
    "thrice the words": {"words": 36.0},
    "a third of the words": {"words": 4.0},
    "all alike": {"spread": 0.2},
}


def hold(calibration, budget, losses, costs, fulls=None):
    """Read a stream under a controller, in the unit of ``fulls``."""
    controller = BudgetController(calibration, budget)
    fulls = np.ones(len(losses)) if fulls is None else fulls
    index = np.zeros(len(losses), int)
    for i, full in enumerate(fulls):
        index[i] = (losses[i] + controller.gamma(full) * costs[i]).argmin()
        controller.record(costs[i, index[i]] * full)
    return controller, index


@pytest.mark.parametrize("budget", [0.15, 0.3, 0.5])
@pytest.mark.parametrize("stream", STREAMS)
def test_the_budget_holds_on_streams_unlike_the_calibration(calibration, stream, budget):
    losses, costs = photos(200, seed=5, **STREAMS[stream])
    controller, index = hold(calibration, budget, losses, costs)
    assert controller.mean == pytest.approx(budget, rel=0.02)
    # Not having seen the stream costs little beside an allocation that has.
    known = at(losses, allocate(losses, costs, budget)).mean()
    assert at(losses, index).mean() <= known + 0.05 * abs(known)


def test_without_control_the_same_streams_miss_it(calibration):
    losses, costs = photos(200, seed=5, height=14.0)
    spent = at(costs, decide(losses, costs, calibration.gamma_for(0.3))).mean()
    assert abs(spent / 0.3 - 1) > 0.05


def test_a_stream_that_changes(calibration):
    parts = [photos(200, 6), photos(200, 7, height=12.0), photos(200, 8, words=30.0)]
    losses, costs = (np.concatenate(values) for values in zip(*parts, strict=True))
    controller, _ = hold(calibration, 0.3, losses, costs)
    assert controller.mean == pytest.approx(0.3, rel=0.02)


def test_absolute_costs_of_images_that_differ_in_size(calibration):
    losses, costs = photos(300, 9)
    fulls = np.random.default_rng(9).uniform(2, 40, 300)
    controller, index = hold(calibration, 6.0, losses, costs, fulls)
    assert controller.mean == pytest.approx(6.0, rel=0.03)
    # A unit of relative cost is worth more in a large image.
    large = fulls > 21
    assert at(costs, index)[large].mean() < at(costs, index)[~large].mean()


def test_a_selector_of_few_heads_holds_a_budget_between_them():
    calibration = Calibration.of_heads((0.05, 0.1, 0.3), np.array([[0.8], [0.4], [0.2]]))
    controller = BudgetController(calibration, 0.3)
    spending = dict(zip(calibration.gammas, (0.85, 0.38, 0.19), strict=True))
    for _ in range(200):
        controller.record(spending[controller.gamma()])
    assert controller.mean == pytest.approx(0.3, rel=0.02)


def test_what_cannot_be_spent_is_not_saved_up_for_ever(calibration):
    controller = BudgetController(calibration, 0.5)
    for _ in range(5000):
        controller.gamma()
        controller.record(0.1)  # the images give no occasion
    assert controller.mean == pytest.approx(0.1)
    losses, costs = photos(1500, seed=10)
    later = []
    for row, cost in zip(losses, costs, strict=True):
        later.append(cost[(row + controller.gamma() * cost).argmin()])
        controller.record(later[-1])
    assert np.mean(later[:100]) > 0.55
    assert np.mean(later[-300:]) == pytest.approx(0.5, rel=0.1)
    assert sum(later) < 0.5 * (len(later) + 5000) / 3  # of what was saved, hardly anything is spent


def test_no_image_is_no_mean_and_no_budget_is_refused(calibration):
    assert np.isnan(BudgetController(calibration, 0.3).mean)
    with pytest.raises(ConfigError, match="above 0, found -1"):
        BudgetController(calibration, -1)
