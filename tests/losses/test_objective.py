import pytest
import torch

from dld_spotter.core.errors import ConfigError
from dld_spotter.losses.objective import Objective


def test_weighted_sum():
    first, second = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    loss = Objective({"a": 0.5, "b": 2, "c": 9})({"a": first, "b": second})
    assert loss.item() == 7
    loss.backward()
    assert (first.grad, second.grad) == (0.5, 2)


def test_zero_switches_a_term_off_even_where_it_is_not_finite():
    assert Objective({"a": 1, "b": 0})({"a": torch.tensor(2.0), "b": torch.tensor(float("nan"))}) == 2


def test_everything_switched_off_is_refused():
    with pytest.raises(ConfigError, match=r"objective\.weights is 0 for each of a, b"):
        Objective({"b": 0, "a": 0, "c": 1})({"a": torch.zeros(()), "b": torch.zeros(())})


def test_unknown_terms_are_refused():
    with pytest.raises(ConfigError, match=r"objective\.weights .* roi, sequence; add"):
        Objective({"a": 1})({"a": torch.zeros(()), "sequence": torch.zeros(()), "roi": torch.zeros(())})


def test_shares_are_of_terms_that_are_named():
    weights = {"recognition": 1, "roi": 1, "token": 0}
    assert Objective(weights).shares == Objective(weights, None).shares == Objective(weights, {"roi": None}).shares == {}
    assert Objective(weights, {"roi": 0.3, "token": 1}).shares == {"roi": 0.3, "token": 1.0}


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ({"rio": 0.3}, r"objective\.shares\.rio is no term .*; name roi, token$"),
        ({"recognition": 0.3}, r"objective\.shares\.recognition is no term"),
        ({"roi": 0}, r"objective\.shares\.roi=0 must be a number above 0, such as 0.3; null keeps objective\.weights\.roi"),
        ({"roi": -0.1}, "must be a number above 0"),
        ({"roi": float("nan")}, "must be a number above 0"),
        ({"roi": "0,3"}, r"objective\.shares\.roi=0,3 must be"),
        ({"roi": True}, "must be a number above 0"),
        (0.3, r"objective\.shares=0\.3 must name terms"),
    ],
)
def test_shares_that_cannot_be_are_refused(shares, words):
    with pytest.raises(ConfigError, match=words):
        Objective({"recognition": 1, "token": 1, "roi": 1}, shares)


def test_shares_of_a_recognition_loss_that_is_left_out_are_refused():
    with pytest.raises(ConfigError, match=r"weights\.recognition=0 leaves out; give objective\.shares=null"):
        Objective({"recognition": 0, "roi": 1}, {"roi": 0.3})
    assert Objective({"recognition": 0, "roi": 1}).shares == {}
