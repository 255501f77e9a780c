from types import SimpleNamespace

import pytest
import torch

from dld_spotter.core.errors import ConfigError, TrainingError
from dld_spotter.training.callbacks import (
    CostBudget,
    DistinctNoise,
    RefuseNothing,
    SameLength,
    ScaleHistogram,
    TemperatureSchedule,
)
from dld_spotter.training.modules import TeacherModule
from dld_spotter.training.wandb_run import RunLogger
from tests.data.samples import box, sample
from tests.expecting import Expecting
from tests.small import SCALES, make_batch, make_spotter
from tests.training.test_modules import make_module, shared


def trainer(step, total=1000):
    return SimpleNamespace(global_step=step, estimated_stepping_batches=total)


@pytest.mark.parametrize(("step", "expected"), [(0, 5.0), (20, 5.0 * 0.965), (500, 5.0 * 0.965**25), (1000, 5.0 * 0.965**50)])
def test_the_papers_schedule_is_mapped_onto_the_run(step, expected):
    module = make_module()
    TemperatureSchedule(floor=0.1).on_train_batch_start(trainer(step), module, None, 0)
    assert module.temperature == module.logged["train/gumbel_temperature"] == pytest.approx(expected)


def test_temperature_never_falls_below_the_floor():
    assert TemperatureSchedule(floor=0.5).temperature(5.0, 99.0) == 0.5


def test_other_modules_and_endless_runs():
    schedule, other = TemperatureSchedule(), TeacherModule(make_spotter(), **shared())
    schedule.on_train_batch_start(trainer(3), other, None, 0)
    assert other.temperature == 1.0, "nothing is drawn in the teacher stage"
    module = make_module()
    schedule.on_train_batch_start(trainer(3, float("inf")), module, None, 0)
    assert module.temperature == 5.0
    schedule.on_train_batch_start(trainer(0, 0), module, None, 0)
    assert module.temperature == 5.0


def test_the_selector_receives_the_temperature(batch):
    """In every draw it learns from, and in the one that says where to read."""
    module = make_module()
    module.temperature = 3.5
    seen = []
    sample = module.selector.sample
    module.selector.sample = lambda logits, temperature: seen.append(temperature) or sample(logits, temperature)
    module.training_step(batch, 0)
    assert seen == [3.5] * (module.selection_objective.samples + 1)


@pytest.mark.parametrize(("rank", "same"), [(0, True), (1, False), (2, False)])
def test_further_processes_draw_their_own_noise(rank, same):
    torch.manual_seed(7)
    alone = torch.rand(3)
    torch.manual_seed(7)
    DistinctNoise(7).on_train_start(SimpleNamespace(global_rank=rank), None)
    assert torch.equal(torch.rand(3), alone) is same


def test_a_schedule_of_another_length_is_not_resumed():
    check, checkpoint = SameLength(), {"lr_schedulers": [{"total_steps": 20, "last_epoch": 9}]}
    check.on_load_checkpoint(trainer(0, 20), None, checkpoint)
    check.on_load_checkpoint(trainer(0, 30), None, {"lr_schedulers": [{"last_epoch": 9}]})
    with pytest.raises(ConfigError, match="planned for 20 steps, but this run has 30"):
        check.on_load_checkpoint(trainer(0, 30), None, checkpoint)


def test_histogram_counts_an_epoch():
    module, histogram = make_module(), ScaleHistogram()
    for chosen in ([0, 0, 2], [2, 0, 0], [0, 2]):
        module.chosen = torch.tensor(chosen)
        histogram.on_train_batch_end(None, module, None, None, 0)
    logger, told = RunLogger({"project": "p"}), []
    logger.log_scales = lambda *given: told.append(given)
    end = SimpleNamespace(loggers=[logger], global_step=7)
    histogram.on_train_epoch_end(end, module)
    assert told == [([0.3, 0.5, 1.0], [5, 0, 3], 7)]
    assert module.logged == {"scale/0.3": 5 / 8, "scale/0.5": 0, "scale/1": 3 / 8}
    assert len(module.logged) == len(SCALES)
    histogram.on_train_batch_end(None, TeacherModule(make_spotter(), **shared()), None, None, 0)
    assert not histogram.counts, "the teacher stage chooses no scale"
    module.logged.clear()
    histogram.on_train_epoch_end(end, module)
    assert not module.logged


@pytest.mark.parametrize(
    ("words", "texts", "refused", "warned"), [(0, 0, True, False), (2, 0, False, True), (2, 2, False, False)]
)
def test_training_on_nothing_is_told(words, texts, refused, warned, caplog):
    boxes = [box(8, 8, 40, 14), box(8, 30, 40, 14)][:words]
    batch = make_batch([sample(64, 96, boxes, ["cat", "dog"][:texts] or ["ZZZ", "###"][:words])])
    strategy = SimpleNamespace(reduce=lambda counts, reduce_op: counts)
    trainer, module, check = SimpleNamespace(strategy=strategy), make_module(), RefuseNothing()
    assert (sum(map(len, batch.instances)), len(batch.labels)) == (words, texts)
    check.on_train_batch_end(trainer, module, None, batch, 0)
    if refused:
        with pytest.raises(TrainingError, match="1 training images of the first epoch hold no word"):
            check.on_train_epoch_end(trainer, module)
    else:
        check.on_train_epoch_end(trainer, module)
    assert ("none of the 2 words" in caplog.text) == warned
    caplog.clear()
    check.on_train_epoch_end(trainer, module)  # once is enough
    assert not caplog.text


def budgeted(budget, module, batches, count=300):
    """Let the cost weight follow a budget; returns the mean relative cost of the last hundred steps."""
    module.provenance = {"model": {"selector": {"gamma": 0.1}}}
    callback = CostBudget(budget)
    trainer = SimpleNamespace(strategy=SimpleNamespace(reduce=lambda value, reduce_op: value))
    callback.on_train_start(trainer, module)
    spent = []
    for step in range(count):
        callback.on_train_batch_end(trainer, module, None, batches[step % len(batches)], step)
        spent.append(module.logged["selector/relative_cost"])
    return callback, sum(spent[-100:]) / 100


@pytest.mark.parametrize("budget", [0.2, 0.5, 0.8])
def test_the_cost_weight_follows_a_budget(batch, budget):
    """A selector that has learnt that more is read of a larger view takes the scales that spend the budget in the mean."""
    module = make_module(Expecting(0.1, (0.3, 1.0, 3.0)))
    module.selector.learns_by = "drs"
    callback, spent = budgeted(budget, module, [batch])
    assert spent == pytest.approx(budget, abs=0.05)
    assert callback.gamma == module.objective.weights["cost"] == module.provenance["model"]["selector"]["gamma"]
    assert module.selector.gammas == tuple(round(callback.gamma * factor, 9) for factor in module.selector.factors)


def test_a_cost_weight_goes_on_after_an_interruption(batch):
    module = make_module()
    first, _ = budgeted(0.2, module, [batch], count=5)
    second = CostBudget(0.2)
    second.load_state_dict(first.state_dict())
    fresh = make_module()
    fresh.provenance = {"model": {"selector": {}}}
    second.on_train_start(None, fresh)
    assert fresh.objective.weights["cost"] == first.gamma != make_module().objective.weights["cost"]


def test_without_a_budget_the_cost_weight_stays(batch):
    module = make_module()
    before = dict(module.objective.weights), module.selector.gammas
    callback = CostBudget(None)
    callback.on_train_start(None, module)
    callback.on_train_batch_end(None, module, None, batch, 0)
    assert (dict(module.objective.weights), module.selector.gammas) == before


@pytest.mark.parametrize("budget", [0, -0.1, 1.5])
def test_a_budget_that_cannot_be_is_refused(budget):
    with pytest.raises(ConfigError, match="must be above 0"):
        CostBudget(budget)
