"""Shares of the gradient in real trainings of a few seconds."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from lightning import Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.strategies import FSDPStrategy
from torch.utils.data import DataLoader

from dld_spotter.core.errors import ConfigError
from dld_spotter.losses.objective import Objective
from dld_spotter.selection.baselines import FixedScale, RandomScale
from dld_spotter.training.balancing import GradientShares
from dld_spotter.training.components import Optimization
from dld_spotter.training.modules import TeacherModule
from tests.data.samples import sample
from tests.small import SCALES, make_batch, make_spotter
from tests.training.test_modules import TERMS, WEIGHTS, make_module, shared, snapshot

SKD = {name: TERMS[name] for name in ("roi", "context", "sequence")}
SHARES = {"roi": 0.3, "context": 0.2, "sequence": 0.4}


def module_of(shares, terms=SKD, weights=WEIGHTS, scale=0.5):
    """A student at a low scale, whose logged values go to the trainer."""
    module = make_module(FixedScale(SCALES, 0.1, (1.0,), scale), terms=terms)
    del module.log, module.log_dict
    module.optimization = Optimization(lambda groups: torch.optim.AdamW(groups, lr=2e-4), module.optimization.scheduler)
    torch.manual_seed(4)
    for parameter in module.teacher.parameters():  # hidden states of untrained weights hardly differ
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    module.objective = Objective(weights, shares)
    return module


class Watched(GradientShares):
    """Keeps which steps were measured, and what was logged."""

    def __init__(self, *given, **options):
        super().__init__(*given, **options)
        self.steps, self.logged = [], {}

    def measure(self, trainer, module, terms):
        self.steps.append(trainer.global_step)
        super().measure(trainer, module, terms)

    def on_train_end(self, trainer, module):
        super().on_train_end(trainer, module)
        self.logged = {name: float(value) for name, value in trainer.callback_metrics.items()}


def trainer_of(callbacks=(), logger=False, **options):
    quiet = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    defaults = {"max_steps": 12, "max_epochs": -1, "limit_val_batches": 0, "accelerator": "cpu", "gradient_clip_val": 5.0}
    return Trainer(callbacks=list(callbacks), logger=logger, **(quiet | defaults | options))


def fit(module, callback=None, *, data, ckpt_path=None, **options):
    torch.manual_seed(3)
    callback = callback or Watched(every=2)
    loader = DataLoader(data, batch_size=None)
    trainer_of([callback], **options).fit(module, loader, ckpt_path=ckpt_path, weights_only=True)
    return callback


def test_shares_are_near_those_asked_for_from_the_first_epoch_to_the_last(batch, tmp_path: Path):
    logger = CSVLogger(tmp_path, name="", version="")
    module = module_of(SHARES)
    callback = Watched(every=1, memory=0.5)  # on one batch, which is soon known by heart, norms change fast
    fit(module, callback, data=[batch] * 8, max_steps=32, logger=logger, log_every_n_steps=1)
    found = pd.read_csv(tmp_path / "metrics.csv").dropna(subset="shares/roi")
    assert len(found) == 4
    for epoch in found.to_dict("records"):
        assert {name: epoch[f"shares/{name}"] for name in SHARES} == pytest.approx(SHARES, rel=0.2)
    assert (found["shares/detection"] > 0).all()
    assert "weights/detection" not in found
    weights = {name: module.objective.weights[name] for name in SHARES}
    assert {name: callback.logged[f"weights/{name}"] for name in SHARES} == pytest.approx(weights)
    assert all(weight != 1 for weight in weights.values())
    assert {name: module.objective.weights[name] for name in WEIGHTS if name not in SHARES} == dict.fromkeys(
        set(WEIGHTS) - set(SHARES), 1.0
    )


def test_shares_hold_in_the_first_step(batch):
    module = module_of(SHARES)
    callback = fit(module, data=[batch], max_steps=1)
    assert {name: callback.logged[f"shares/{name}"] for name in SHARES} == pytest.approx(SHARES, rel=1e-4)


def test_without_shares_weights_are_those_of_the_config_and_measuring_changes_nothing(batch):
    measured, bare = module_of(None), module_of(None)
    callback = fit(measured, data=[batch] * 3, max_steps=3, callback=Watched(every=1))
    torch.manual_seed(3)
    trainer_of(max_steps=3).fit(bare, DataLoader([batch] * 3, batch_size=None))
    assert measured.objective.weights == WEIGHTS
    assert all(torch.equal(value, snapshot(bare)[name]) for name, value in snapshot(measured).items())
    assert {f"shares/{name}" for name in SKD} <= set(callback.logged)
    assert not any(name.startswith("weights/") for name in callback.logged)


@pytest.mark.parametrize(
    ("every", "accumulate", "expected"),
    [(50, 1, [0, 1, 2, 4, 8, 16]), (4, 1, [0, 1, 2, 4, 8, 12, 16]), (1, 1, list(range(18))), (4, 3, [0, 1, 2, 4, 8, 12, 16])],
)
def test_steps_that_are_measured(batch, every, accumulate, expected):
    module = module_of(None, terms={})
    callback = Watched(every=every)
    fit(module, callback, data=[batch] * (6 * accumulate), max_steps=18, accumulate_grad_batches=accumulate)
    assert callback.steps == expected


@pytest.mark.parametrize("weights", [{}, {"sequence": 0.0}])
def test_a_run_that_is_interrupted_ends_as_the_undisturbed_one(batch, tmp_path: Path, weights):
    """In the middle of an epoch, between two measurements."""
    build = lambda: module_of(SHARES, weights=WEIGHTS | weights)  # noqa: E731
    data = [batch] * 6  # this loader, unlike that of a run, begins anew
    whole = build()
    undisturbed = fit(whole, Watched(every=4), data=data, max_steps=12)
    first = build()
    trainer = trainer_of([Watched(every=4)], max_steps=7)
    torch.manual_seed(3)
    trainer.fit(first, DataLoader(data, batch_size=None))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    second = build()
    resumed = fit(second, Watched(every=4), data=data, ckpt_path=tmp_path / "last.ckpt", max_steps=12)
    assert resumed.steps == [8]
    assert second.objective.weights == whole.objective.weights != WEIGHTS
    assert resumed.balance.state_dict() == undisturbed.balance.state_dict()
    assert resumed.logged == undisturbed.logged
    assert ("weights/sequence" in resumed.logged) == (not weights), "what is switched off stays off"
    for name, value in snapshot(whole).items():
        torch.testing.assert_close(snapshot(second)[name], value, rtol=0, atol=0)


def test_terms_that_a_run_lacks_are_ignored(batch, caplog):
    module = module_of(SHARES, terms={})
    callback = fit(module, data=[batch], max_steps=2)
    assert module.objective.weights == WEIGHTS
    assert {name for name in callback.logged if name.startswith("shares/")} == {"shares/detection"}
    assert not any(name.startswith("weights/") for name in callback.logged)
    assert "gradient" not in caplog.text


def test_a_term_without_gradient_is_named_once_and_keeps_its_weight(batch, caplog):
    """The student reads the reference with the teacher's weights, so that their features are one; selectors have no share."""
    module = make_module(RandomScale(SCALES[-1:], 0.1, (1.0,)), terms=SKD)
    del module.log, module.log_dict
    module.objective = Objective(WEIGHTS | {"roi": 7.0}, {"roi": 0.3, "sequence": 0.3})
    module.optimization = Optimization(lambda groups: torch.optim.SGD(groups, lr=0.0), module.optimization.scheduler)
    callback = fit(module, Watched(every=1), data=[batch], max_steps=3)
    assert module.objective.weights["roi"] == 7.0
    assert callback.logged["shares/roi"] < 1e-3
    assert module.objective.weights["sequence"] != 1.0
    assert caplog.text.count("roi gives next to no gradient") == 1
    assert "its weight stays 7" in caplog.text


def test_a_selectors_terms_have_no_share(batch, caplog):
    module = make_module(terms={})
    del module.log, module.log_dict
    module.objective = Objective(WEIGHTS, {"accuracy": 0.3})
    fit(module, data=[batch], max_steps=1)
    assert module.objective.weights == WEIGHTS
    assert "accuracy gives next to no gradient" in caplog.text


def test_batches_without_words_are_no_measurement():
    module = module_of(SHARES)
    callback = fit(module, Watched(every=1), data=[make_batch([sample(64, 96)])], max_steps=2)
    assert module.objective.weights == WEIGHTS
    assert not callback.balance.measured


def test_the_teacher_stage_is_not_measured(batch):
    module = TeacherModule(make_spotter(1), **shared())
    callback = fit(module, data=[batch], max_steps=1)
    assert (callback.steps, callback.state_dict()) == ([], {})


def test_a_divided_model_is_refused_where_shares_are_asked_for():
    trainer = type("T", (), {"strategy": FSDPStrategy()})()
    for refused, module in ((True, module_of(SHARES)), (False, module_of(SHARES, terms={})), (False, module_of(None))):
        callback = GradientShares()
        if refused:
            with pytest.raises(ConfigError, match=r"where the model is divided; give objective\.shares=null"):
                callback.on_train_start(trainer, module)
        else:
            callback.on_train_start(trainer, module)
        assert callback.hook is None


@pytest.mark.parametrize(("setting", "value"), [("every", 0), ("every", 2.5), ("memory", 1.0), ("memory", -0.1)])
def test_settings_that_cannot_be_are_refused(setting, value):
    with pytest.raises(ConfigError, match=rf"callbacks\.shares\.{setting}={value} must be"):
        GradientShares(**{setting: value})
