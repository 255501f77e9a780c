"""What every family of spotters promises; a family is tested by being listed in ``conf/spotter``.

That a budget is held and that every stage of training runs is tried in ``tests/integration/test_families.py``.
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch.utils.flop_counter import FlopCounterMode

from dld_spotter.budget.cost import FlopCost
from dld_spotter.config.assembly import create
from dld_spotter.config.entry import ROOT
from dld_spotter.core.batches import SpottingBatch
from dld_spotter.core.charset import END
from dld_spotter.core.errors import ConfigError
from dld_spotter.data.collate import Collate
from dld_spotter.inference.checkpoint import load_checkpoint, save_checkpoint
from dld_spotter.losses.detection import DetectionLoss
from dld_spotter.losses.recognition import RecognitionLoss
from dld_spotter.models.contract import Spotter
from dld_spotter.training.modules import mean_or_zero
from tests.data.samples import box, sample, turned_box

FAMILIES = sorted(path.stem for path in (ROOT / "conf" / "spotter").glob("*.yaml"))
HEAVY = ("resnet50", "small", "two_stage_resnet50")
"""They differ from others in widths alone, and are built without memory."""
SLOWER = ("two_stage_resnet50",)
"""What they cost is not linear in the area, and each size takes its count."""
UNEXPORTED = ("two_stage_resnet50", "two_stage_tiny")
"""What claims no export says so in a sentence."""
WORDS = 4


def configuration(name: str) -> dict:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [f"spotter@model.teacher={name}", f"spotter@model.student={name}"])
    return OmegaConf.to_container(config.model.student, resolve=True)


@pytest.fixture(scope="module", params=[name for name in FAMILIES if name not in HEAVY])
def family(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def built(family) -> Spotter:
    """Untrained; tests that change it take a new one."""
    torch.manual_seed(0)
    return create(configuration(family)).eval()


def batch_for(spotter: Spotter, first_only: bool = False) -> SpottingBatch:
    """Two images with words of several sizes and aspect ratios, and one without."""
    words = [box(8, 8, 60, 14), turned_box(120, 72, 150, 58, 6), box(4, 120, 240, 120)]
    many = sample(256, 256, words, ["cat", "word", "LONG"])
    one = sample(64, 96, [box(10, 20, 60, 20)], ["dog"], name="one")
    collate = Collate(spotter.charset, (0.5, 1.0), **spotter.target_settings)
    return collate([many] if first_only else [many, sample(50, 70, name="none"), one])


def forward(spotter: Spotter, batch: SpottingBatch, scale: float = 1.0):
    return spotter(batch.view(scale), batch.boundaries, batch.image_index, batch.labels)


def losses(spotter: Spotter, batch: SpottingBatch, scale: float = 1.0) -> dict[str, torch.Tensor]:
    output = forward(spotter, batch, scale)
    detection = spotter.detection_loss(output.detection, batch.views[scale].targets, DetectionLoss()).mean()
    return {"detection": detection, "recognition": mean_or_zero(RecognitionLoss()(output.recognition, batch.labels))}


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """All tensors of what a family detects words in."""
    if isinstance(value, torch.Tensor):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from tensors(getattr(value, field.name))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors(item)


def test_there_are_families():
    assert {"tiny", "ppocr_small", "two_stage_tiny", *HEAVY} <= set(FAMILIES)


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_what_comes_out_is_finite_and_of_the_promised_shape(built, scale):
    batch = batch_for(built)
    output = forward(built, batch, scale)
    if built.has_text_map:
        height, width = batch.views[scale].images.shape[2:]
        expected = (3, height // built.map_stride, width // built.map_stride)
        assert output.detection.text.shape == batch.views[scale].targets.text.shape == expected
        assert output.detection.threshold is None or output.detection.threshold.shape == expected
    maps = list(tensors(output.detection))
    assert maps
    assert all(len(values) == 3 and values.isfinite().all() for values in maps)
    judged = built.detection_loss(output.detection, batch.views[scale].targets, DetectionLoss())
    assert judged.shape == (3,)
    assert judged.isfinite().all()
    read = output.recognition
    assert (read.logits is not None) == built.has_attention
    assert len(read.roi) == len(read.context) == len(read.ctc_logits) == WORDS
    assert read.context.shape[1] == read.ctc_logits.shape[1]
    classes = len(built.charset)
    assert read.ctc_logits.shape[2] == classes
    assert read.logits is None or read.logits.shape == (*batch.labels.shape, classes)
    for values in (read.roi, read.context, read.logits, read.ctc_logits):
        assert values is None or values.isfinite().all()


@pytest.mark.parametrize("words", [WORDS, 0])
def test_every_parameter_has_a_gradient(family, words):
    torch.manual_seed(1)
    spotter = create(configuration(family)).train()
    for parameter in spotter.parameters():
        if not parameter.any():  # residual blocks begin as the identity, which hides what is behind them
            torch.nn.init.normal_(parameter, std=0.1)
    batch = batch_for(spotter)
    if not words:
        batch = Collate(spotter.charset, (0.5, 1.0), **spotter.target_settings)([sample(64, 96), sample(50, 70, name="none")])
    sum(losses(spotter, batch).values()).backward()
    for name, parameter in spotter.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any() or not words, name


def test_each_loss_falls_on_one_image(family):
    torch.manual_seed(2)
    spotter = create(configuration(family)).train()
    batch = batch_for(spotter, first_only=True)
    optimizer = torch.optim.Adam(spotter.parameters(), lr=1e-3)
    before = {name: loss.item() for name, loss in losses(spotter, batch).items()}
    for _ in range(12):
        optimizer.zero_grad()
        sum(losses(spotter, batch).values()).backward()
        optimizer.step()
    after = {name: loss.item() for name, loss in losses(spotter, batch).items()}
    assert all(after[name] < 0.95 * before[name] for name in before), (before, after)


@torch.no_grad()
def test_a_batch_gives_what_its_images_and_words_give_alone(built):
    batch = batch_for(built)
    together, view = forward(built, batch), batch.views[1.0]
    for word, image in enumerate(batch.image_index.tolist()):
        alone = built(view.select(torch.tensor([image])), batch.boundaries[word, None], torch.tensor([0]), batch.labels[:1])
        columns = alone.recognition.context.shape[1]
        for name in ("context", "ctc_logits"):
            one, many = getattr(alone.recognition, name)[0], getattr(together.recognition, name)[word]
            torch.testing.assert_close(one, many[:columns], atol=1e-3, rtol=1e-3)
        own_maps, all_maps = tensors(alone.detection), tensors(together.detection.select(torch.tensor([image])))
        for one, many in zip(own_maps, all_maps, strict=True):
            torch.testing.assert_close(one, many, atol=1e-3, rtol=1e-3)
        found, score = (values[word] for values in built.recognizer.read(together.recognition.context))
        own, own_score = (values[0] for values in built.recognizer.read(alone.recognition.context))
        assert built.charset.decode(found.tolist()) == built.charset.decode(own.tolist())
        if built.charset.decode(own.tolist()):
            torch.testing.assert_close(score, own_score, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_factors_bring_words_into_a_view(built):
    batch = batch_for(built)
    view = batch.views[0.5]
    scaled = forward(built, replace(batch, views={0.5: view}), 0.5).recognition
    plain = type(view)(view.images, view.sizes, torch.ones(3, 2))
    inside = batch.boundaries * view.factors[batch.image_index][:, None, None]
    other = built(plain, inside, batch.image_index, batch.labels).recognition
    torch.testing.assert_close(scaled.ctc_logits, other.ctc_logits, atol=1e-4, rtol=1e-4)


def test_images_without_words_are_read(built):
    assert [len(words) for words in built.spot(batch_for(built).view(1.0).select(torch.tensor([1])))] in ([0], [1], [2])
    assert built.recognize([], []) == []


def test_words_that_are_given_are_read_at_their_place(built):
    """As of a backend, and of a second pass: what is detected is a map at stride 2, and proposals, in pixels of the view."""
    view = batch_for(built).view(0.5)
    detections = built.detect(view, keep_all=True)
    height, width = view.images.shape[2:]
    for row, found in enumerate(detections):
        assert found.probability.shape == (height // 2, width // 2)
        assert ((found.probability >= 0) & (found.probability <= 1)).all()
        assert found.size == tuple(view.sizes[row].tolist())
        assert found.proposals.boundaries.shape[1:2] + found.proposals.boundaries.shape[3:] == (2, 2)
    word = box(10, 20, 60, 20)
    given = [found.at([word] if row == 2 else []) for row, found in enumerate(detections)]
    words = built.recognize(given, [found.all for found in given])
    assert [len(read) for read in words[:2]] == [0, 0]
    for read in words[2]:  # an untrained reader may write nothing
        np.testing.assert_allclose(read.polygon[[0, -1]], word[[0, -1]], atol=1e-3)


@torch.no_grad()
def test_texts_are_weighed_as_beams_are_scored(built):
    context = forward(built, batch_for(built)).recognition.context
    labels, scores = built.beams(context, 3)
    assert labels.shape[:2] == scores.shape == (WORDS, 3)
    assert (scores.diff(dim=1) <= 0).all()
    assert ((labels == END).sum(2) <= 1).all()
    tried = torch.arange(WORDS).repeat_interleave(3)
    weighed = built.weigh(context, tried, labels.flatten(0, 1)).view(WORDS, 3)
    if built.has_attention:
        torch.testing.assert_close(weighed, scores, atol=1e-3, rtol=1e-3)
    else:  # a beam knows some of the ways to write a text, and the forward algorithm all of them
        assert (weighed >= scores - 1e-3).all()


@torch.no_grad()
def test_what_is_saved_reads_the_same(built, family, tmp_path: Path):
    facts = {"format": 1, "model": {"student": configuration(family)}, "scales": [0.5, 1.0], "thumbnail": 64}
    save_checkpoint(tmp_path / "saved.ckpt", {"student": built}, facts)
    loaded, batch = load_checkpoint(tmp_path / "saved.ckpt").spotter(), batch_for(built)
    assert type(loaded) is type(built)
    expected, found = (forward(spotter, batch).recognition.ctc_logits for spotter in (built, loaded))
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)  # saved in half precision


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOWER)) for name in FAMILIES])
def test_what_it_costs_is_counted(name):
    with torch.device("meta"):
        spotter = create(configuration(name))
    cost = FlopCost(spotter)
    if name not in SLOWER:  # every second cell of a map is not exactly a quarter of them
        assert cost.per_cell is not None
    assert cost.cost(320, 640) == pytest.approx(cost.dense(320, 640), rel=1e-6)
    assert cost.cost(640, 640) - cost.fixed > 1.9 * (cost.cost(320, 640) - cost.fixed) > 0
    assert cost.cost(320, 640, 5) == pytest.approx(cost.cost(320, 640) + 5 * cost.per_word)
    assert 0.01 < cost.per_word < 3
    assert sum(cost.stages(320, 640, 2).values()) == pytest.approx(cost.cost(320, 640, 2), rel=1e-6)


def test_reading_costs_what_is_counted(built):
    """Masks are counted with their words, and regions that a box head judges as if there were as many as there may be."""
    batch, cost = batch_for(built), FlopCost(built)
    view = batch.view(1.0).select(torch.tensor([0]))
    with FlopCounterMode(display=False) as counter:
        built.detect(view)
    height, width = view.images.shape[2:]
    assert 0.5 * cost.cost(height, width) < counter.get_total_flops() / 1e9 <= cost.cost(height, width, 100) * (1 + 1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_export_is_claimed_or_refused_in_a_sentence(name):
    if name not in UNEXPORTED and name in HEAVY:
        return  # the same graphs as those of narrower ones
    torch.manual_seed(0)
    with torch.device("meta" if name in UNEXPORTED else "cpu"):
        spotter = create(configuration(name)).eval()
    if name in UNEXPORTED:
        with pytest.raises(ConfigError, match=r"export knows no graphs of TwoStageSpotter; give the checkpoint of another"):
            spotter.graphs()
    else:
        graphs = spotter.graphs()
        assert graphs.detector.outputs[0] == "text"
        with torch.no_grad():
            text = graphs.detector.module(*graphs.detector.inputs.values())[0]
        assert ((text >= 0) & (text <= 1)).all()
