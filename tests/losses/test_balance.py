"""Gradient norms and weights of a linear student, against what is worked out by hand."""

from concurrent.futures import ThreadPoolExecutor
from math import sqrt
from threading import Barrier

import pytest
import torch
from torch import nn

from dld_spotter.losses.balance import MOST, Balance, gradient_norms


@pytest.fixture
def student():
    """Two numbers that are read with, one that only finds, and one that does not learn."""
    parts = {"shared": [1.0, 2.0], "reading": [3.0], "finding": [4.0], "frozen": [5.0]}
    student = nn.ParameterDict({name: nn.Parameter(torch.tensor(values)) for name, values in parts.items()})
    student["frozen"].requires_grad_(False)
    return student


def terms_of(student):
    """``d recognition = (3, 4 | 12)``, ``d roi = (0.6, 0.8)``, ``d detection = (1, 0 | finding 7)``, ``d cost`` of nothing."""
    first, second = student["shared"]
    return {
        "recognition": 3 * first + 4 * second + 12 * student["reading"][0] + student["frozen"][0],
        "roi": 0.6 * first + 0.8 * second,
        "detection": first + 7 * student["finding"][0],
        "zero": 0 * second,
        "cost": torch.tensor(2.0, requires_grad=True) * 3,
        "constant": torch.tensor(1.0),
    }


@pytest.mark.parametrize("scale", [1.0, 2.0**16])
def test_norms_are_of_what_the_recognition_loss_reaches(student, scale):
    norms = gradient_norms(terms_of(student), student.values(), scale)
    assert {name: float(norm) for name, norm in norms.items()} == pytest.approx(
        {"recognition": 13.0, "roi": 1.0, "detection": 1.0, "zero": 0.0}  # without the 7 of what only finds
    )


def test_norms_of_several_processes_are_those_of_the_whole_batch():
    """The second has no words, so its recognition loss reaches nothing and it has no term ``roi``."""
    layer = nn.Linear(2, 1, bias=False)
    met, told = Barrier(2, timeout=20), {}

    def measure(place):
        def mean(values):
            told[place] = values
            met.wait()
            found = (told[0] + told[1]) / 2
            met.wait()
            return found

        inputs = torch.tensor([[3.0, 4.0], [0.0, 2.0]][place])
        terms = {"recognition": 0 * torch.ones((), requires_grad=True), "detection": layer(inputs).sum()}
        if place == 0:
            terms |= {"recognition": layer(inputs).sum(), "roi": 2 * layer(inputs).sum()}
        return gradient_norms(terms, layer.parameters(), names=["detection", "recognition", "roi", "token"], mean=mean)

    with ThreadPoolExecutor(2) as pool:
        first, second = ({name: float(norm) for name, norm in one.items()} for one in pool.map(measure, range(2)))
    assert first == second
    assert first == pytest.approx({"detection": sqrt(1.5**2 + 3**2), "recognition": 2.5, "roi": 5.0})


def test_measuring_leaves_the_gradients_of_the_step_alone(student):
    terms = terms_of(student)
    gradient_norms(terms, student.values())
    assert all(parameter.grad is None for parameter in student.values())
    (terms["recognition"] + terms["roi"]).backward()
    assert student["shared"].grad.tolist() == pytest.approx([3.6, 4.8])
    assert student["finding"].grad is None


def test_a_loss_that_reaches_nothing_has_no_shares(student):
    terms = terms_of(student) | {"recognition": torch.tensor(1.0)}
    assert {name: float(norm) for name, norm in gradient_norms(terms, student.values()).items()} == {"recognition": 0.0}


def test_gradients_are_in_single_precision_whatever_is_computed_around():
    layer = nn.Linear(64, 64, bias=False)
    inputs = torch.randn(32, 64)
    with torch.autocast("cpu", torch.bfloat16):
        loss = (layer(layer(inputs)).float() ** 2).mean()
        found = gradient_norms({"recognition": loss}, layer.parameters())["recognition"]
    loss.backward()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, layer.weight.grad.norm(), rtol=1e-6, atol=0)


def test_the_first_measurement_gives_the_share_at_once():
    balance = Balance({"roi": 0.3}, {"recognition": 2.0, "roi": 1.0, "detection": 1.0}, memory=0.8)
    assert balance.measure({"recognition": 13.0, "roi": 0.5, "detection": 13.0}) == []
    assert balance.weights == pytest.approx({"roi": 0.3 * 26 / 0.5})
    assert balance.told() == pytest.approx({"roi": 0.3, "detection": 0.5})
    assert balance.told() == {}, "each measurement is told once"


def test_weights_follow_the_exponential_means_of_the_norms():
    balance = Balance({"roi": 0.3}, {"recognition": 1.0, "roi": 1.0}, memory=0.75)
    balance.measure({"recognition": 8.0, "roi": 2.0})
    first = balance.weights["roi"]
    balance.told()
    balance.measure({"recognition": 4.0, "roi": 4.0})
    # Means from 0: 0.75 * 0.25 * 8 + 0.25 * 4 = 2.5 of recognition, 0.75 * 0.25 * 2 + 0.25 * 4 = 1.375 of the term.
    assert balance.weights["roi"] == pytest.approx(0.3 * 2.5 / 1.375)
    assert balance.told() == pytest.approx({"roi": first * 4 / 4}), "told with the weight that the steps before had"


def test_a_mean_share_is_the_share_of_the_mean_norms():
    balance = Balance({}, {"recognition": 1.0, "roi": 3.0}, memory=0.8)
    balance.measure({"recognition": 1.0, "roi": 1.0})
    balance.measure({"recognition": 9.0, "roi": 0.0})
    balance.measure({"recognition": 2.0})
    assert balance.told() == pytest.approx({"roi": 3 * 1 / 10}), "a step without the term does not count for it"
    assert balance.weights == {}


@pytest.mark.parametrize("memory", [0.0, 0.8, 0.99])
def test_shares_come_to_what_is_asked_for_as_the_norms_change(memory):
    balance = Balance({"roi": 0.3, "context": 0.1}, {"recognition": 1.0, "roi": 1.0, "context": 1.0}, memory)
    for step in range(2000):
        balance.measure({"recognition": 6.0 / sqrt(1 + step), "roi": 0.3 / sqrt(1 + step), "context": 0.1})
        if step == 1900:
            balance.told()
    assert balance.told() == pytest.approx({"roi": 0.3, "context": 0.1}, rel=0.05)


def test_a_term_without_gradient_keeps_its_weight_and_is_named():
    balance = Balance({"roi": 0.3, "context": 0.3}, {"recognition": 1.0, "roi": 2.0, "context": 1.0}, memory=0.8)
    assert balance.measure({"recognition": 4.0, "roi": 0.0, "context": 1.0}) == ["roi"]
    assert balance.weights == pytest.approx({"context": 1.2})
    balance.measure({"recognition": 4.0, "roi": 1.0})
    known = dict(balance.weights)
    assert balance.measure({"recognition": 4.0, "roi": 0.0}) == ["roi"]
    assert balance.weights == known
    assert balance.measure({"recognition": 0.0, "roi": 1.0}) == [], "a batch without words says nothing"
    assert balance.weights == known


def test_a_gradient_of_rounding_is_none_and_what_is_off_stays_off():
    weights = {"recognition": 1.0, "roi": 2.0, "token": 2.0, "context": 0.0, "sequence": 1.0}
    balance = Balance(dict.fromkeys(("roi", "token", "context", "sequence"), 0.3), weights, memory=0.5)
    norms = {"recognition": 1.0, "roi": 1e-6, "token": 1e9, "context": 1.0, "sequence": 0.31 / MOST}
    assert balance.measure(norms) == ["roi"]
    assert balance.weights == pytest.approx({"token": 0.3e-9, "sequence": 0.3 * MOST / 0.31})


def test_it_goes_on_from_what_a_checkpoint_keeps():
    norms = [{"recognition": 5.0 + k, "roi": 1.0 + k**2} for k in range(6)]
    through, first, second = (Balance({"roi": 0.3}, {"recognition": 1.0, "roi": 1.0}, 0.8) for _ in range(3))
    for one in norms:
        through.measure(one)
    for one in norms[:3]:
        first.measure(one)
    second.load_state_dict(first.state_dict())
    for one in norms[3:]:
        second.measure(one)
    assert second.state_dict() == through.state_dict()
