from dataclasses import replace

import pytest
import torch
from lightning import Trainer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from dld_spotter.budget.cost import AreaCost
from dld_spotter.core.batches import ScaleChoice
from dld_spotter.core.errors import ConfigError
from dld_spotter.losses.detection import DetectionLoss
from dld_spotter.losses.distillation import Context, Distillation, RoIFeatures, SequenceBeams, TextMap, TokenKL
from dld_spotter.losses.objective import Objective
from dld_spotter.losses.recognition import RecognitionLoss
from dld_spotter.selection.baselines import FixedScale, RandomScale
from dld_spotter.selection.drs import DRSObjective
from dld_spotter.selection.gumbel import GumbelSelector
from dld_spotter.selection.objective import Evidence
from dld_spotter.training.components import Frozen, Optimization, ScaleSelection, StageLosses
from dld_spotter.training.modules import STATISTICS, DLDModule, TeacherModule
from tests.data.samples import box, sample
from tests.small import SCALES, make_batch, make_spotter, needs_half_precision

FACTORS = (0.3, 1.0, 3.0)
TERMS = {"roi": RoIFeatures, "context": Context, "sequence": SequenceBeams, "token": TokenKL, "text_map": TextMap}
SELECTION_TERMS = {"accuracy", "cost"}
WEIGHTS = dict.fromkeys(("detection", "recognition", *TERMS, *SELECTION_TERMS), 1.0)


def shared():
    """What modules of both stages take."""
    return {
        "losses": StageLosses(DetectionLoss(), RecognitionLoss(), Objective(WEIGHTS)),
        "optimization": Optimization(
            lambda groups: torch.optim.AdamW(groups, lr=1e-2),
            lambda optimizer, max_lr, total_steps: LambdaLR(optimizer, lambda step: 1.0),
        ),
        "provenance": {"format": 1},
    }


def make_selector(scales=SCALES):
    torch.manual_seed(2)
    return GumbelSelector(scales, 0.1, FACTORS, (4, 6, 8, 10), 12)


def make_selection(selector):
    """What teaches a selector; None for one that does not learn."""
    return DRSObjective("kl", detection=1.0) if selector.trainable else None


def make_module(selector=None, terms=TERMS, frozen=STATISTICS, **options):
    """A module whose logged values are kept in ``module.logged``; ``options`` are of the selection."""
    teacher, student = make_spotter(1), make_spotter(1)
    selector = selector or make_selector()
    objective = options.pop("selection", make_selection(selector))
    selection = ScaleSelection(selector, objective, AreaCost(student), **options)
    distillation = Distillation({name: term() for name, term in terms.items()})
    return recorded(DLDModule(teacher, student, selection, distillation, **shared(), frozen=frozen))


def recorded(module):
    module.logged = {}
    module.log = lambda name, value, **_: module.logged.update({name: float(value)})
    module.log_dict = lambda values, **_: module.logged.update({name: float(value) for name, value in values.items()})
    return module


def steps(module, batch, count=2, seed=0):
    """Train without a trainer; returns the losses."""
    torch.manual_seed(seed)
    optimizer = module.optimization.optimizer(module.parameter_groups())
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = module.training_step(batch, 0)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def costs_of(module, batch):
    return module.cost_model.relative(batch.views[1.0].sizes, module.selector.scales)


def snapshot(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def statistics(state):
    return {name: value for name, value in state.items() if "running_" in name or "num_batches" in name}


def changed(before, module):
    return {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}


def test_a_step_moves_everything_but_the_teacher(batch):
    module = make_module()
    teacher, student, selector = snapshot(module.teacher), snapshot(module.student), snapshot(module.selector)
    steps(module, batch)
    assert not changed(teacher, module.teacher), "the teacher is bit-identical"
    idle = {"neck.smooth.1.1.bias", "neck.smooth.2.1.bias"}  # zero, and no word is large enough for these levels
    assert changed(student, module.student) | idle == {name for name, _ in module.student.named_parameters()}
    assert changed(selector, module.selector) == set(selector)


def test_the_trainer_leaves_the_teacher_alone(batch):
    """The trainer keeps the modes that it finds: nobody calls train() for us."""
    module = make_module()
    del module.log, module.log_dict
    teacher, frozen = snapshot(module.teacher), statistics(snapshot(module.student))
    trainer = Trainer(
        max_steps=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=1,
    )
    loader = DataLoader([batch], batch_size=None)
    trainer.fit(module, loader, loader)
    assert trainer.global_step == 2
    assert not changed(teacher, module.teacher)
    for name, value in frozen.items():
        assert torch.equal(module.student.state_dict()[name], value)


@pytest.mark.parametrize("freeze", [True, False])
def test_modes(freeze):
    module = make_module(frozen=Frozen(normalization=freeze))
    for _ in range(2):
        assert not any(part.training for part in module.teacher.modules())
        assert not any(parameter.requires_grad for parameter in module.teacher.parameters())
        assert module.student.training
        assert module.selector.training
        norms = [part for part in module.student.modules() if isinstance(part, torch.nn.BatchNorm2d)]
        assert {part.training for part in norms} == {not freeze}
        module.eval()
        assert not any(part.training for part in module.modules())
        module.train()


def test_a_student_starts_from_the_teacher_that_was_trained_meanwhile(batch):
    """The stage is built before the teacher is trained, in place."""
    module = make_module()
    before, selector = snapshot(module.teacher), snapshot(module.selector)
    steps(recorded(TeacherModule(module.teacher, **shared())), batch)
    trained = snapshot(module.teacher)
    assert changed(before, module.teacher)
    assert not changed(before, module.student)
    module.setup("fit")
    assert not changed(trained, module.student)
    assert not changed(selector, module.selector)
    assert not any(parameter.requires_grad for parameter in module.teacher.parameters())
    assert not any(part.training for part in module.teacher.modules())
    assert module.student.training
    steps(module, batch)
    assert changed(trained, module.student)
    assert not changed(trained, module.teacher)


def test_a_student_of_another_shape_starts_from_nothing():
    student = make_spotter(2, hidden=10)
    selection = ScaleSelection(RandomScale(SCALES, 0.1, [1.0]), None, AreaCost(student))
    module = DLDModule(make_spotter(1), student, selection, Distillation({}), **shared(), frozen=Frozen())
    before = snapshot(student)
    module.setup("fit")
    assert not changed(before, student)


@pytest.mark.parametrize("terms", [{}, TERMS])
def test_the_teacher_is_asked_only_where_something_is_compared_with_it(batch, terms):
    module = make_module(terms=terms, selector=RandomScale(SCALES, 0.1, (1.0,)))
    asked = []
    module.teacher.register_forward_hook(lambda *_: asked.append(True))
    steps(module, batch, 1)
    assert bool(asked) == bool(terms)


def test_statistics_of_the_student(batch):
    for freeze in (True, False):
        module = make_module(frozen=Frozen(normalization=freeze))
        before = statistics(snapshot(module.student))
        steps(module, batch, 1)
        moved = [name for name, value in before.items() if not torch.equal(module.student.state_dict()[name], value)]
        assert bool(moved) != freeze


@pytest.mark.parametrize("precision", [torch.float32, pytest.param(torch.bfloat16, marks=needs_half_precision)])
def test_every_parameter_receives_a_gradient(precision):
    batch = make_batch(
        [sample(256, 256, [box(9, 9, 80, 20), box(9, 40, 200, 70), box(9, 120, 220, 120)], ["cat", "dog", "face"])]
    )
    module = make_module(make_selector(SCALES[-1:]))
    batch = replace(batch, views={1.0: batch.views[1.0]})
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        loss = module.training_step(batch, 0)
    assert loss.dtype == torch.float32
    loss.backward()
    for name, parameter in module.student.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_every_parameter_of_the_selector_receives_a_gradient(batch):
    module = make_module()
    module.training_step(batch, 0).backward()
    for name, parameter in module.selector.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
    assert all(parameter.grad is not None for parameter in module.student.parameters())
    assert all(parameter.grad is None for parameter in module.teacher.parameters())


def test_only_the_selection_terms_train_the_selector(batch):
    module = make_module()
    module.objective = Objective(WEIGHTS | dict.fromkeys(SELECTION_TERMS, 0))
    module.training_step(batch, 0).backward()
    assert all(parameter.grad is None for parameter in module.selector.parameters())
    module = make_module()
    module.objective = Objective(dict.fromkeys(WEIGHTS, 0) | dict.fromkeys(SELECTION_TERMS, 1))
    module.training_step(batch, 0).backward()
    assert all(parameter.grad is None for parameter in module.student.parameters())


def test_cost_alone_drives_to_the_cheapest_scale(batch):
    module = make_module(terms={}, lr=1e-2)
    module.objective = Objective(dict.fromkeys(WEIGHTS, 0) | {"cost": 1})
    steps(module, batch, 40)
    choices = module.eval().selector(batch.thumbnails, batch.views[1.0].sizes, costs_of(module, batch))
    assert {int(index) for choice in choices for index in choice.index} == {0}


def test_seeds_repeat_and_differ(batch):
    runs = [
        (steps(module, batch, 3, seed), snapshot(module))
        for module, seed in ((make_module(), 0), (make_module(), 0), (make_module(), 9))
    ]
    assert runs[0][0] == runs[1][0]
    assert all(torch.equal(value, runs[1][1][name]) for name, value in runs[0][1].items())
    assert runs[0][0] != runs[2][0]


def test_terms_are_logged_by_name(batch):
    module = make_module()
    loss = float(module.training_step(batch, 0).detach())
    names = {"detection", "recognition", *TERMS} | SELECTION_TERMS
    assert {f"train/{name}" for name in names} | {"train/loss", "loss"} == set(module.logged)
    assert sum(module.logged[f"train/{name}"] for name in names) == pytest.approx(loss, rel=1e-5)
    assert module.chosen.shape == (3,)


def test_a_selection_that_cannot_teach_the_selector_is_refused():
    other = DRSObjective()
    other.name = "another"
    for objective in (None, other):
        with pytest.raises(ConfigError, match=r"cannot teach a GumbelSelector; leave it out, selector= brings its own"):
            make_module(selection=objective)


@pytest.mark.parametrize(
    "selector", [FixedScale(SCALES, 0.1, FACTORS, 0.5), RandomScale(SCALES, 0.1, FACTORS)], ids=["fixed", "random"]
)
def test_selectors_that_do_not_learn(batch, selector):
    module = make_module(selector, terms={})
    losses = steps(module, batch)
    assert all(loss == loss for loss in losses)
    assert not {f"train/{name}" for name in SELECTION_TERMS} & set(module.logged)
    assert len(module.parameter_groups()) == 1
    if isinstance(selector, FixedScale):
        assert module.chosen.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "pages",
    [
        [sample(70, 90)],
        [sample(1, 1)],
        [sample(1, 1), sample(64, 90)],
        [sample(1, 1, [box(0, 0, 1, 1)], ["a"])],
        [sample(64, 90, [box(4, 4, 60, 20)], ["cat"], ignore=[True])],
        [sample(64, 120, [box(4, 4, 110, 20)], ["abcdefabcdef"])],
    ],
    ids=["no word", "one pixel", "two sizes", "word of a pixel", "ignored", "too long"],
)
def test_unusual_batches_have_finite_losses(pages):
    batch = make_batch(pages)
    module = make_module()
    assert all(map(torch.isfinite, torch.tensor(steps(module, batch))))
    assert all(value.isfinite().all() for value in snapshot(module).values())
    assert all(parameter.grad is not None for group in module.parameter_groups() for parameter in group["params"])
    module.eval()
    module.validation_step(batch, 0)
    teacher = recorded(TeacherModule(make_spotter(), **shared()))
    assert all(map(torch.isfinite, torch.tensor(steps(teacher, batch))))


@pytest.mark.parametrize("index", [[0, 1, 2], [2, 2, 2], [1, 0, 1], [2, 0, 0]])
def test_words_are_read_in_their_places(batch, index):
    """One forward pass per scale gives what every image gives alone."""
    module = make_module().eval()
    index = torch.tensor(index)
    found, recognition, order = module.read_at(index, batch)
    assert sorted(order.tolist()) == list(range(len(batch.labels)))
    alone = []
    for image, k in enumerate(index.tolist()):
        view = batch.views[SCALES[k]].select(torch.tensor([image]))
        words = (batch.image_index == image).nonzero()[:, 0]
        output = module.student(view, batch.boundaries[words], torch.zeros_like(words), batch.labels[words])
        alone.append(module.detection_loss(output.detection, view.targets))
        for place, word in enumerate(words.tolist()):
            at = order.tolist().index(word)
            torch.testing.assert_close(recognition.logits[at], output.recognition.logits[place], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(recognition.roi[at], output.recognition.roi[place], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found["detection"], torch.cat(alone).mean(), atol=1e-4, rtol=1e-4)


def test_distillation_compares_the_same_words(batch):
    """Student and teacher are equal and every scale shows the reference: nothing differs, whatever the order of the words."""
    module = make_module(RandomScale(SCALES, 0.1, [1.0]), terms={"roi": RoIFeatures, "token": TokenKL, "text_map": TextMap})
    index = torch.tensor([2, 0, 1])
    module.selector.forward = lambda *_: [ScaleChoice(torch.eye(3)[index], index)]
    assert module.read_at(index, batch)[2].tolist() == [2, 3, 4, 0, 1]
    module.training_step(replace(batch, views=dict.fromkeys(SCALES, batch.views[1.0])), 0)
    assert module.logged["train/roi"] == pytest.approx(0, abs=1e-6)
    assert module.logged["train/token"] == pytest.approx(0, abs=1e-6)
    assert module.logged["train/text_map"] == pytest.approx(0, abs=1e-6), "each image beside its own map"
    read = module.student(batch.views[1.0], batch.boundaries, batch.image_index, batch.labels).recognition
    expected = module.recognition_loss(read, batch.labels).mean().item()
    assert module.logged["train/recognition"] == pytest.approx(expected, rel=1e-4)
    module.training_step(batch, 0)
    assert module.logged["train/roi"] > 1e-4


def test_reading_everywhere_matches_reading_at_one_scale(batch):
    module = make_module()
    logits, detection = module.selection_objective.read_everywhere(SCALES, Evidence(module.student, batch, None, None, 1.0))
    assert logits.shape[:2] == (3, 5)
    assert detection.shape == (3, 3)
    assert not logits.requires_grad
    for k in range(3):
        found, recognition, order = module.read_at(torch.full((3,), k), batch)
        torch.testing.assert_close(logits[k][order], recognition.logits.detach(), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(detection[:, k].mean(), found["detection"].detach(), atol=1e-4, rtol=1e-4)


def test_the_selector_has_its_own_learning_rate():
    groups = make_module(lr=0.5).parameter_groups()
    optimizer = torch.optim.AdamW(groups, lr=1e-2)
    assert [group["lr"] for group in optimizer.param_groups] == [1e-2, 0.5]
    module = make_module()
    learnt = {id(p) for group in module.parameter_groups() for p in group["params"]}
    assert learnt == {id(p) for p in module.parameters() if p.requires_grad}


def test_teacher_stage_learns_one_batch(batch):
    batch = replace(batch, views={1.0: batch.views[1.0]})
    module = recorded(TeacherModule(make_spotter(), **shared()))
    losses = steps(module, batch, 40)
    assert losses[-1] < 0.7 * losses[0]
    assert set(module.logged) == {"train/detection", "train/recognition", "train/loss", "loss"}


def test_teacher_stage_averages_its_views(batch):
    module = recorded(TeacherModule(make_spotter(), **shared())).eval()
    both = float(module.training_step(batch, 0).detach())
    single = [float(module.training_step(replace(batch, views={s: batch.views[s]}), 0).detach()) for s in SCALES]
    assert both == pytest.approx(sum(single) / 3, rel=1e-5)
