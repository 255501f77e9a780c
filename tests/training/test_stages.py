"""The order of the stages: what is refused before any of them, and what one takes over from the other."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from dld_spotter import train
from dld_spotter.config import assembly
from dld_spotter.config.entry import ROOT
from dld_spotter.core.errors import ConfigError
from dld_spotter.training.processes import Processes
from tests.integration.runs import SCENES, SMALL


@pytest.fixture
def stages(monkeypatch, tmp_path: Path):
    """Run the stages of a configuration with a stand-in for training; returns ``(stage, module)`` of each that was trained."""
    trained = []

    def fit(config, module, **_):
        module.setup("fit")
        trained.append((module.stage, module, {name: value.clone() for name, value in module.state_dict().items()}))
        with torch.no_grad():
            for parameter in module.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.5)
        return 0.25, None

    def run(*overrides: str):
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            config = compose("train", [*SMALL, *SCENES, f"paths.output_dir={tmp_path}", *overrides])
        torch.manual_seed(0)
        teacher = assembly.build_teacher(config)
        monkeypatch.setattr(train, "fit", fit)
        monkeypatch.setattr(train, "calibration", lambda *_: {})
        train.run_stages(config, tmp_path / "checkpoints", teacher, [], None, Processes())
        return trained

    run.trained = trained
    return run


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("stages.distillation.freeze=[bakcbone]", "not bakcbone"),
        ("selection.samples=0", "selection.samples"),
        ("distillation.terms.sequence.beams=0", "beams"),
        ("selector.gumbel_temperature=0", "gumbel_temperature"),
        ("selector.factors=[]", "factors"),
    ],
)
def test_what_the_distillation_stage_refuses_is_told_before_the_teacher_stage(stages, override, words):
    with pytest.raises(Exception, match=words) as error:
        stages(override)
    assert isinstance(error.value.__cause__ or error.value, ConfigError)  # Hydra wraps what it builds
    assert stages.trained == []


def test_each_module_is_built_once_and_the_student_takes_over_what_the_teacher_has_learnt(stages, monkeypatch):
    built = []
    build = assembly.build_dld_module
    monkeypatch.setattr(assembly, "build_dld_module", lambda *given: built.append(build(*given)) or built[-1])
    (first, module, before), (second, distillation, start) = stages()
    assert (first, second) == ("teacher", "distillation")
    assert built == [distillation]
    assert distillation.teacher is module.teacher
    for name, value in distillation.teacher.state_dict().items():
        assert torch.equal(value, start[f"teacher.{name}"]), "the teacher stays as the first stage has left it"
        assert torch.equal(start[f"student.{name}"], start[f"teacher.{name}"])
    (name, *_) = (name for name, _ in distillation.student.named_parameters())
    torch.testing.assert_close(start[f"student.{name}"], before[f"teacher.{name}"] + 0.5)


def test_without_a_distillation_stage_there_is_no_module_for_it(stages, monkeypatch):
    monkeypatch.setattr(assembly, "build_dld_module", lambda *_: pytest.fail("built"))
    assert [stage for stage, *_ in stages("stages.distillation.epochs=0")] == ["teacher"]


def test_the_control_begins_as_the_student_did_and_nothing_compares_it_with_the_teacher(stages):
    (_, teacher, _), (first, student, start), (second, control, same) = stages("control=true")
    assert (first, second) == ("distillation", "control")
    assert set(student.distillation.words) == {"roi", "context", "sequence"}
    assert len(control.distillation) == 0
    assert control.teacher is student.teacher is teacher.teacher
    assert same.keys() == start.keys()
    assert all(torch.equal(value, start[name]) for name, value in same.items()), "weights of student and selector"
    assert {id(part) for part in control.student.parameters()}.isdisjoint(map(id, student.student.parameters()))
    assert control.objective is not student.objective
    assert control.selector_lr == student.selector_lr


@pytest.mark.parametrize("override", ["control=false", "distillation=none"])
def test_without_a_wish_or_a_distillation_there_is_no_control(stages, override):
    assert [stage for stage, *_ in stages("control=true", override)] == ["teacher", "distillation"]


def test_a_control_that_is_neither_true_nor_false_is_refused(stages):
    with pytest.raises(ConfigError, match=r"control=maybe must be true, .* or false"):
        stages("control=maybe")


def test_the_control_sees_the_images_of_the_student():
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [*SMALL, *SCENES])
    batches = []
    for stage in ("distillation", "control"):
        loader = assembly.build_data(config, stage).train_dataloader()
        loader.sampler.set_epoch(1)
        batches.append(next(iter(loader)))
    first, second = batches
    assert first.names == second.names
    assert first.views.keys() == second.views.keys()
    assert all(torch.equal(view.images, second.views[scale].images) for scale, view in first.views.items())
