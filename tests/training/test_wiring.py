"""What the default run is composed of, which weights are kept, and that each setting reaches what it is for.

``tests/mutants.py`` breaks each of these in turn and sees that a fast test fails.
"""

from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hydra import compose, initialize_config_dir
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from dld_spotter import train
from dld_spotter.budget.cost import FlopCost
from dld_spotter.config import assembly
from dld_spotter.config.entry import ROOT
from dld_spotter.core.batches import Recognition
from dld_spotter.inference.checkpoint import save_checkpoint
from dld_spotter.inference.engines import rapidocr
from dld_spotter.inference.engines.ppocr import usable_threads
from dld_spotter.losses.distillation import SequenceBeams
from dld_spotter.selection.drs import DRSObjective
from dld_spotter.selection.gumbel import GumbelSelector
from dld_spotter.selection.objective import Evidence
from dld_spotter.training.balancing import GradientShares
from dld_spotter.training.callbacks import TemperatureSchedule
from dld_spotter.training.checkpoints import BestCheckpoint
from dld_spotter.training.processes import Processes
from tests.integration.runs import SCENES, SMALL
from tests.small import SCALES
from tests.training.test_modules import make_module, make_selector, recorded


def composed(*overrides: str):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", [*overrides])


def small(*overrides: str):
    return composed(*SMALL, *SCENES, "stages.teacher.checkpoint=null", *overrides)


def test_the_default_run_is_the_papers_method_with_its_control():
    config = composed()
    selector, objective = assembly.create(config.selector), assembly.create(config.selection)
    assert isinstance(selector, GumbelSelector)
    assert {0.1, 0.3} <= set(selector.gammas)
    assert selector.gumbel_temperature == 5.0
    assert isinstance(objective, DRSObjective)
    assert (objective.objective, objective.detection) == ("kl", 0.0)
    assert config.control is True
    assert not config.model.student.full_resolution_crops
    assert (config.stages.teacher.epochs, config.cost._target_) == (0, "dld_spotter.budget.cost.FlopCost")


def test_reading_the_words_is_part_of_what_a_scale_costs(batch):
    module = make_module()
    module.cost_model = FlopCost(module.student)
    found = module.costs(batch)
    counts, cost = [len(words) for words in batch.instances], module.cost_model.cost
    for row, count, (height, width) in zip(found, counts, batch.views[1.0].sizes.tolist(), strict=True):
        sizes = [(max(1, round(height * scale)), max(1, round(width * scale))) for scale in SCALES]
        expected = torch.tensor([cost(*size, count) / cost(height, width, count) for size in sizes])
        torch.testing.assert_close(row, expected)
    assert max(counts) > 0
    asked = []
    module.selection_objective.register_forward_pre_hook(lambda _, given: asked.append(given[1].costs))
    module.training_step(batch, 0)
    torch.testing.assert_close(asked[0], found)


def test_the_default_run_distils_all_three_terms_and_clips_and_cools():
    config = composed()
    assert set(config.distillation.terms) == {"roi", "context", "sequence"}
    assert all(config.objective.weights[term] > 0 for term in ("roi", "context", "sequence", "detection", "recognition"))
    assert config.trainer.gradient_clip_val > 0
    callbacks = [assembly.create(callback) for callback in config.callbacks.values()]
    (cooling,) = (callback for callback in callbacks if isinstance(callback, TemperatureSchedule))
    assert (cooling.decay, cooling.epochs) == (0.965, 50)
    assert cooling.temperature(5.0, 1 / 50) == pytest.approx(5.0 * 0.965), "an epoch of the paper's 50"


@pytest.mark.parametrize("distillation", ["sequential", "token", "none"])
def test_the_default_run_holds_a_share_of_the_gradient_for_each_term(distillation):
    config = composed(f"distillation={distillation}")
    objective = assembly.create(config.objective)
    assert {name: objective.shares[name] for name in config.distillation.terms} == dict.fromkeys(config.distillation.terms, 0.3)
    callbacks = [assembly.create(callback) for callback in config.callbacks.values()]
    assert [callback.every for callback in callbacks if isinstance(callback, GradientShares)] == [50]


@pytest.mark.parametrize(
    ("overrides", "followed"),
    [
        ([], {"roi", "sequence"}),
        (["distillation=none"], set()),
        (["objective.shares=null"], set()),
        (["objective.shares.roi=null", "objective.weights.roi=3"], {"sequence"}),
    ],
)
def test_weights_follow_the_shares_in_a_training(tmp_path: Path, overrides, followed):
    config = small("trainer.limit_val_batches=0", "trainer.limit_train_batches=1", "max_length=12", *overrides)
    torch.manual_seed(0)
    module = assembly.build_dld_module(config, assembly.build_teacher(config))
    trainer = assembly.build_trainer(config, [], tmp_path, 1)
    trainer.fit(module, datamodule=assembly.build_data(config))
    moved = {name for name, weight in module.objective.weights.items() if weight != config.objective.weights[name]}
    assert moved - {"context"} == followed  # hidden states of untrained weights hardly depend on what they are of
    shares = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("shares/")}
    assert {f"shares/{name}" for name in config.distillation.terms} | {"shares/detection"} == set(shares)
    assert {name: shares[f"shares/{name}"] for name in followed} == pytest.approx(dict.fromkeys(followed, 0.3), rel=1e-4)


def test_the_epoch_of_the_highest_value_is_kept(tmp_path: Path):
    trainer = assembly.build_trainer(small(), [], tmp_path, 1)
    (best,) = [c for c in trainer.callbacks if isinstance(c, ModelCheckpoint) and c.monitor]
    assert (best.monitor, best.mode) == ("val/value", "max")


def test_the_stages_get_their_learning_rates_and_statistics_stay():
    config = small("stages.distillation.lr=0.003", "stages.distillation.selector_lr=0.07")
    module = assembly.build_dld_module(config, assembly.build_teacher(config))
    module.trainer = SimpleNamespace(estimated_stepping_batches=20)
    built = module.configure_optimizers()
    assert [group["max_lr"] for group in built["optimizer"].param_groups] == [0.003, 0.07]
    assert built["lr_scheduler"]["interval"] == "step"
    module.train()
    assert not any(part.training for part in module.student.modules() if isinstance(part, nn.BatchNorm2d))


def test_the_teacher_stage_sees_one_view_and_the_other_all_of_them():
    config = small()
    for stage, views in (("teacher", 1), ("distillation", len(config.scales))):
        data = assembly.build_data(config, stage)
        assert len(data.train_collate([data.train[0]]).views) == views


def test_every_pass_has_images_of_its_own():
    data = assembly.build_data(small("data.workers=0"))
    loader = data.train_dataloader()
    seen = []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        seen.append(set(loader.sampler))
    assert seen[0].isdisjoint(seen[1])


def test_after_a_stage_its_module_holds_the_weights_of_the_best_epoch(tmp_path: Path, monkeypatch):
    config = small()
    module = assembly.build_teacher_module(config, assembly.build_teacher(config))
    name = next(iter(module.teacher.state_dict()))

    kept = BestCheckpoint(tmp_path, monitor="val/value")
    kept.best_model_path, kept.best_model_score = str(tmp_path / "best.ckpt"), torch.tensor(0.5)

    class Trainer:
        """Writes the best epoch's weights, and then goes on to worse ones."""

        checkpoint_callbacks = (kept,)

        def fit(self, module, **_):
            with torch.no_grad():
                module.teacher.state_dict()[name].fill_(1.0)
                save_checkpoint(tmp_path / "best.ckpt", {"teacher": module.teacher}, assembly.provenance(config))
                module.teacher.state_dict()[name].fill_(2.0)

    monkeypatch.setattr(assembly, "build_trainer", lambda *_: Trainer())
    processes = Processes()
    monkeypatch.setattr(processes, "launching", lambda _: nullcontext())
    score, path = train.fit(config, module, tmp_path, [], None, processes)
    assert (score, path) == (0.5, tmp_path / "best.ckpt")
    assert module.teacher.state_dict()[name].eq(1.0).all()


def test_the_sequences_are_the_teachers_and_the_student_is_to_give_them():
    asked: list[tuple[str, torch.Tensor]] = []

    class Reader:
        """Tells who was asked what."""

        def __init__(self, name: str) -> None:
            self.name = name

        def beams(self, context, count):
            asked.append((f"{self.name} beams", context))
            return torch.full((2, count, 3), 4), torch.zeros(2, count)

        def weigh(self, context, words, labels):
            asked.append((f"{self.name} weighs", context))
            return torch.zeros(len(words))

    roi, ctc = torch.zeros(2, 1, 1, 1), torch.zeros(2, 1, 5)
    student, teacher = (Recognition(roi, torch.full((2, 1, 1), value), None, ctc) for value in (1.0, 2.0))
    SequenceBeams()(student, teacher, torch.zeros(2, 3, dtype=torch.int64), (Reader("student"), Reader("teacher")))
    assert [(what, float(context.mean())) for what, context in asked] == [("teacher beams", 2.0), ("student weighs", 1.0)]


def test_a_step_trains_for_every_cost_weight(batch, monkeypatch):
    module = recorded(make_module())
    scales = len(SCALES)
    one_hot = torch.eye(scales)

    def choose(thumbnails, sizes, costs, temperature):
        return [SimpleNamespace(index=torch.full((len(thumbnails),), head % scales), one_hot=one_hot) for head in range(3)]

    monkeypatch.setattr(module.selector, "forward", choose)
    seen: Counter[int] = Counter()
    torch.manual_seed(0)
    for _ in range(12):
        module.training_step(batch, 0)
        seen.update(module.chosen.tolist())
    assert set(seen) == set(range(3))


def test_the_cost_of_a_head_is_multiplied_by_its_factor(batch):
    module = make_module()
    with torch.no_grad():
        teacher = module.ask_teacher(batch)
    costs = module.cost_model.relative(batch.views[1.0].sizes, module.selector.scales)
    evidence = Evidence(module.student, batch, teacher.recognition, costs, 1.0)
    totals = []
    for factors in ((1.0, 2.0, 3.0), (2.0, 4.0, 6.0)):
        selector = make_selector()
        selector.factors = factors
        torch.manual_seed(1)
        totals.append(float(DRSObjective("kl", detection=1.0)(selector, evidence)["cost"].detach()))
    assert totals[1] == pytest.approx(2 * totals[0])


def test_each_group_is_clipped_by_itself(batch):
    module = make_module()
    optimizer = module.optimization.optimizer(module.parameter_groups())
    module.training_step(batch, 0).backward()
    student, selector = (group["params"] for group in optimizer.param_groups)
    norms = lambda parts: torch.stack([p.grad.norm() for p in parts if p.grad is not None]).norm()  # noqa: E731
    for parameter in selector:
        parameter.grad = torch.full_like(parameter, 1e3)
    for parameter in student:
        if parameter.grad is not None:
            parameter.grad *= 0.5 / norms(student)
    before = float(norms(student))
    module.configure_gradient_clipping(optimizer, 2.0, "norm")
    assert float(norms(student)) == pytest.approx(before)  # below the limit, whatever the selector's is
    assert float(norms(selector)) == pytest.approx(2.0, rel=1e-3)
    module.configure_gradient_clipping(optimizer, 0.01, "value")
    assert max(float(p.grad.abs().max()) for p in selector) <= 0.0101
    module.configure_gradient_clipping(optimizer, None, None)


def test_an_engine_is_told_its_threads(monkeypatch, tmp_path: Path):
    given = {}

    def pipeline(params):
        given.update(params)
        return lambda *_, **__: None

    monkeypatch.setattr(rapidocr, "import_module", lambda _: SimpleNamespace(RapidOCR=pipeline))
    monkeypatch.setattr(rapidocr, "model_files", dict)
    monkeypatch.setattr(rapidocr.RapidOCR, "missing", classmethod(lambda cls: None))
    for threads in (1, 2):
        rapidocr.RapidOCR(threads=threads)
        assert given["EngineConfig.onnxruntime.intra_op_num_threads"] == usable_threads(threads)


def gradients(batch, temperature: float) -> dict[str, torch.Tensor]:
    """What one step teaches the student, with the terms of a composed run on a small module."""
    config = composed("distillation=token", f"distillation.temperature={temperature}")
    terms = {name: (lambda term=term: assembly.create(term)) for name, term in config.distillation.terms.items()}
    module = make_module(terms=terms)
    torch.manual_seed(0)
    for parameter in module.student.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))  # one that equals its teacher learns nothing from it
    torch.manual_seed(1)
    module.training_step(batch, 0).backward()
    assert not any(parameter.grad is not None for parameter in module.teacher.parameters())
    return {name: parameter.grad for name, parameter in module.student.named_parameters() if parameter.grad is not None}


def test_the_temperature_of_distillation_changes_training(batch):
    """The command line's setting reaches the gradients of what is distilled, and nothing else does."""
    one, same, four = gradients(batch, 1.0), gradients(batch, 1.0), gradients(batch, 4.0)
    assert all(torch.equal(one[name], same[name]) for name in one)
    changed = {name.partition(".")[0] for name in one if not torch.allclose(one[name], four[name], rtol=1e-3, atol=1e-7)}
    assert "recognizer" in changed
    assert "head" not in changed, "the text map is not distilled here"
