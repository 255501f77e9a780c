"""The page about adding a spotter is tried: the family that it shows is trained, counted, saved and reads for a budget."""

import re
import sys
import types
from math import inf

import numpy as np
import pytest
import torch

from dld_spotter.budget.cost import FlopCost
from dld_spotter.budget.operating_points import OperatingPoints
from dld_spotter.config.entry import ROOT
from dld_spotter.core.errors import ConfigError
from dld_spotter.data.collate import Collate
from dld_spotter.inference import provenance
from dld_spotter.inference.checkpoint import load_checkpoint, save_checkpoint
from dld_spotter.inference.predictor import Predictor
from dld_spotter.inference.rules import number
from dld_spotter.inference.torch_backend import TorchBackend
from dld_spotter.losses.detection import DetectionLoss
from dld_spotter.losses.distillation import Context, Distillation, RoIFeatures, SequenceBeams, TextMap, TokenKL
from dld_spotter.models.ppocr.reading import PPOCRWordRecognizer
from dld_spotter.selection.policy import OperatingPointPolicy
from dld_spotter.selection.second_pass.rule import SecondPassRule
from dld_spotter.training.components import ScaleSelection
from dld_spotter.training.modules import DLDModule, TeacherModule
from tests.data.samples import box, sample
from tests.small import CHARSET, MAX_LENGTH, SCALES, THUMBNAIL
from tests.training.test_modules import make_selection, make_selector, recorded, shared, steps

MODULE = "toy_family"
(CODE,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "add-a-spotter.md").read_text("utf-8"), re.DOTALL)
CHARSET_CONFIG = {"_target_": "dld_spotter.core.charset.Charset", "characters": CHARSET.characters}
RECOGNIZER_CONFIG = {
    "_target_": "dld_spotter.models.ppocr.reading.PPOCRWordRecognizer",
    "charset": CHARSET_CONFIG,
    "stages": [16, 16, 24],
    "channels": 16,
}
CONFIG = {"_target_": f"{MODULE}.CellSpotter", "charset": CHARSET_CONFIG, "recognizer": RECOGNIZER_CONFIG, "channels": 16}


@pytest.fixture(scope="module")
def toy():
    """The page's code as a module."""
    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = module
    exec(compile(CODE, "docs/add-a-spotter.md", "exec"), module.__dict__)
    yield module
    del sys.modules[MODULE]


def build(toy, seed: int = 0, **options):
    torch.manual_seed(seed)
    return toy.CellSpotter(CHARSET, PPOCRWordRecognizer(CHARSET, (16, 16, 24), 16), **({"channels": 16} | options))


@pytest.fixture
def words(toy):
    two = sample(64, 96, [box(8, 8, 40, 14), box(50, 40, 40, 14)], ["cat", "dog"], name="two")
    collate = Collate(CHARSET, SCALES, thumbnail=THUMBNAIL, max_length=MAX_LENGTH, **build(toy).target_settings)
    return collate([two, sample(50, 70), sample(90, 64, [box(4, 30, 50, 20)], ["bed"], name="one")])


def test_it_learns_as_a_teacher_and_as_a_student(toy, words):
    module = recorded(TeacherModule(build(toy), **shared()))
    losses = steps(module, words, 12)
    assert losses[-1] < 0.9 * losses[0]
    assert {"train/detection", "train/recognition"} <= module.logged.keys()
    teacher, student, selector = build(toy, 1), build(toy, 2), make_selector()
    selection = ScaleSelection(selector, make_selection(selector), FlopCost(student))
    terms = {"roi": RoIFeatures(), "context": Context(), "sequence": SequenceBeams(), "token": TokenKL()}
    module = recorded(DLDModule(teacher, student, selection, Distillation(terms), **shared()))
    steps(module, words, 1)
    assert {f"train/{name}" for name in ("detection", "recognition", *terms)} <= module.logged.keys()
    assert all(np.isfinite(value) for value in module.logged.values())


def test_text_maps_that_it_lacks_are_not_compared(toy):
    student = build(toy)
    selection = ScaleSelection(make_selector(), make_selection(make_selector()), FlopCost(student))
    with pytest.raises(ConfigError, match=r"text_map compares text maps, and a CellSpotter has none; give distillation="):
        DLDModule(build(toy), student, selection, Distillation({"text_map": TextMap()}), **shared())


def test_its_cost_is_that_of_its_two_convolutions(toy):
    cost = FlopCost(build(toy))
    per_cell = 2 * (3 * 16 * 16 * 16 + 16 * 3)
    assert cost.cost(64, 96) == pytest.approx(4 * 6 * per_cell / 1e9)
    assert cost.cost(64, 96, 2) == pytest.approx(cost.cost(64, 96) + 2 * cost.per_word)


def test_words_that_it_finds_lie_where_it_says(toy, words):
    """A network whose weights say: everywhere the same, but that a middle lies in bright cells alone."""
    spotter = build(toy, min_score=0.0).eval()
    with torch.no_grad():
        for parameter in spotter.network.parameters():
            parameter.zero_()
        spotter.network[0].weight[0] = 1 / (3 * 16 * 16)
        spotter.network[2].weight[0, 0] = 20
        spotter.network[2].bias.copy_(torch.tensor([-10.0, np.log(3.0), 0.0]))
    image = np.zeros((64, 96, 3), np.uint8)
    image[16:32, 48:64] = 255
    (found,) = TorchBackend(spotter).detect([image], 1.0, keep_all=True)
    assert found.probability.shape == (32, 48)
    assert found.probability[8:16, 24:32].min() > 0.99
    (polygon,) = found.polygons()
    np.testing.assert_allclose([polygon.min(0), polygon.max(0)], [[32, 16], [80, 32]], atol=1e-3)


def test_a_checkpoint_of_it_reads_for_a_budget_once_it_is_on_the_list(toy, tmp_path, monkeypatch):
    spotter, name = build(toy).eval(), f"{MODULE}.CellSpotter"
    rules = {
        "charset": provenance.CHARSET,
        "recognizer": provenance.PPOCR_RECOGNIZER,
        "channels": provenance.WIDTH,
        "min_score": number(0, 1),
    }
    monkeypatch.setitem(provenance.ARGUMENTS, name, rules)
    monkeypatch.setitem(provenance.PARTS, "student", (*provenance.SPOTTERS, name))
    facts = {"format": 1, "model": {"student": CONFIG}, "scales": [0.5, 1.0], "thumbnail": THUMBNAIL}
    save_checkpoint(tmp_path / "toy.ckpt", {"student": spotter}, facts)
    loaded = load_checkpoint(tmp_path / "toy.ckpt").spotter()
    assert type(loaded) is toy.CellSpotter
    points = OperatingPoints((0.5, 1.0), (inf, inf), (0.0, -0.3), (0.25, 1.0), 9)
    predictor = Predictor(TorchBackend(loaded), OperatingPointPolicy(points), SecondPassRule())
    images = [np.full((128, 128, 3), 9 * k, np.uint8) for k in range(28)]
    spent = [predictor.read(image, budget=0.6).relative_cost for image in images]
    assert np.mean(spent) == pytest.approx(0.6, rel=0.1)


def test_maps_are_judged_by_the_family_alone(toy, words):
    spotter = build(toy)
    maps = spotter.detect_maps(words.views[1.0].images)[1]
    own = spotter.detection_loss(maps, words.views[1.0].targets, DetectionLoss())
    assert own.shape == (3,)
    for image in range(3):
        index = torch.tensor([image])
        alone = spotter.detection_loss(maps.select(index), words.views[1.0].targets.select(index), DetectionLoss())
        torch.testing.assert_close(alone[0], own[image])
