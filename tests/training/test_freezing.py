"""Training a part of a spotter alone."""

import pytest
import torch

from dld_spotter.core.errors import ConfigError
from dld_spotter.selection.baselines import RandomScale
from dld_spotter.training.components import Frozen
from dld_spotter.training.modules import TeacherModule
from tests.data.samples import box, sample
from tests.small import SCALES, make_batch, make_spotter
from tests.training.test_modules import changed, make_module, recorded, shared, snapshot, steps


@pytest.fixture
def batch():
    return make_batch([sample(96, 128, [box(10, 10, 60, 20), box(20, 50, 80, 30)], ["cat", "dog"])])


@pytest.mark.parametrize("stage", ["teacher", "distillation"])
def test_frozen_parts_stay_as_they_are(batch, stage):
    parts = ("backbone", "neck", "head")
    if stage == "teacher":
        module = recorded(TeacherModule(make_spotter(1), **shared(), frozen=Frozen(parts)))
    else:
        module = make_module(terms={}, selector=RandomScale(SCALES, 0.1, (1.0,)), frozen=Frozen(parts))
    learner = module.teacher if stage == "teacher" else module.student
    before = snapshot(learner)
    steps(module, batch, 2)
    moved = {name.split(".")[0] for name in changed(before, learner)}
    assert moved == {"recognizer"}


def test_a_frozen_recogniser_lets_gradients_through():
    module = TeacherModule(make_spotter(1), **shared(), frozen=Frozen(["recognizer"]))
    for mode in (False, True):  # cuDNN has no backward pass for an LSTM in evaluation mode
        module.train(mode)
        modes = {type(part): part.training for part in module.teacher.recognizer.modules()}
        assert modes[torch.nn.LSTM] == mode
        assert not modes[torch.nn.BatchNorm2d]


def test_a_selector_learns_alone(batch):
    module = make_module(terms={}, frozen=Frozen(["backbone", "neck", "head", "recognizer"]))
    student, selector = snapshot(module.student), snapshot(module.selector)
    steps(module, batch, 2)
    assert not changed(student, module.student)
    assert changed(selector, module.selector)


@pytest.mark.parametrize(
    ("parts", "words"), [(("bakcbone",), "not bakcbone"), (("backbone", "neck", "head", "recognizer"), "all")]
)
def test_what_cannot_be_frozen_is_named(parts, words):
    with pytest.raises(ConfigError, match=rf"stages\.\*\.freeze=.*{words}"):
        TeacherModule(make_spotter(1), **shared(), frozen=Frozen(parts))
