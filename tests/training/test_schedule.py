"""The learning rate over a stage."""

import numpy as np
import pytest
import torch

from dld_spotter.training.schedule import one_cycle


def rates(steps: int, share: float) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule, found = one_cycle(optimizer, [1.0], steps, share), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(found) < steps:
            schedule.step()
    return found


@pytest.mark.parametrize("steps", [*range(1, 41), 200])
def test_stages_of_any_length_have_a_schedule(steps: int):
    found = rates(steps, 0.1)
    assert np.isfinite(found).all()
    assert 0 < min(found) <= max(found) <= 1.0
    if steps >= 20:
        assert max(found) == pytest.approx(1.0, rel=0.05)


def test_ten_steps_of_which_one_is_the_warm_up_lie_between_nine_and_eleven():
    nine, ten, eleven = (np.array(rates(steps, 0.1)[1:9]) for steps in (9, 10, 11))
    assert (ten >= nine - 1e-6).all()
    assert (ten <= eleven + 0.05).all()
