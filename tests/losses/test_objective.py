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
