import pickle
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from dld_spotter.budget import cost
from dld_spotter.budget.cost import AreaCost, Counts, FlopCost
from dld_spotter.budget.latency import remembered
from dld_spotter.models.folding import folded
from dld_spotter.selection.baselines import FixedScale, RandomScale
from dld_spotter.selection.gumbel import GumbelSelector
from dld_spotter.selection.selector import Selector
from tests.small import BACKBONE, CHARSET, SPOTTER, make_spotter

CONF = Path(__file__).parents[2] / "conf"
SCALES = (0.3, 0.5, 1.0)
SEVEN = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0]


def conv(inputs, outputs, kernel, height, width):
    """Multiply-adds count 2; height and width of the output."""
    area = kernel * kernel if isinstance(kernel, int) else kernel[0] * kernel[1]
    return 2 * inputs * outputs * area * height * width


def backbone_flops(height, width, embedding_size, hidden_sizes, depths, **_):
    """ResNet of basic blocks: stem at stride 2, pooling, four stages at strides 4 to 32."""
    total = conv(3, embedding_size, 7, height // 2, width // 2)
    for stage, ((inputs, outputs), depth) in enumerate(zip(pairwise([embedding_size, *hidden_sizes]), depths, strict=True)):
        h, w = height // 2 ** (stage + 2), width // 2 ** (stage + 2)
        total += conv(inputs, outputs, 3, h, w) + (2 * depth - 1) * conv(outputs, outputs, 3, h, w)
        if stage or inputs != outputs:
            total += conv(inputs, outputs, 1, h, w)
    return total


def dense_flops(height, width, channels=16, head=8, backbone=BACKBONE):
    levels = [(height // s, width // s) for s in (4, 8, 16, 32)]
    lateral = sum(conv(c, channels, 1, *size) for c, size in zip(backbone["hidden_sizes"], levels, strict=True))
    smooth = sum(conv(channels, channels, 3, *size) for size in levels[:3])
    heads = conv(channels, head, 3, *levels[0]) + conv(head, 8, 1, *levels[0])
    return backbone_flops(height, width, **backbone) + lateral + smooth + heads


def word_flops(channels, widths, hidden, classes, steps=7, rows=8, columns=32):
    first, second, third = widths
    convolutions = (
        conv(3, channels // 2, 3, 2 * rows, 2 * columns)
        + conv(channels // 2, channels, 3, rows, columns)
        + conv(channels, channels, 1, rows, columns)
        + conv(channels, first, 3, rows // 2, columns)
        + conv(first, second, 3, rows // 4, columns)
        + conv(second, third, (2, 3), 1, columns)
    )
    lstm = 2 * columns * 2 * 4 * hidden * (third + hidden)
    attention = (
        steps * 2 * 4 * hidden * 2 * hidden  # recurrence
        + 2 * columns * 2 * 2 * hidden * hidden  # keys and values
        + 2 * steps * 2 * columns * hidden  # weights and what they pick
        + steps * 2 * (2 * hidden * hidden + hidden * classes)  # output
    )
    return convolutions + lstm + attention + 2 * columns * 2 * hidden * classes


@pytest.fixture(scope="module")
def flops():
    return FlopCost(make_spotter())


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96), (320, 640)])
def test_image_by_hand(flops, height, width):
    assert flops.cost(height, width) * 1e9 == pytest.approx(dense_flops(height, width), rel=1e-12)


def test_stages_add_up_and_name_the_parts(flops):
    stages = flops.stages(70, 90, words=4)
    assert sum(stages.values()) == pytest.approx(flops.cost(70, 90, words=4), rel=1e-9)
    assert stages["Backbone"] * 1e9 == pytest.approx(backbone_flops(96, 96, **BACKBONE), rel=1e-12)
    assert set(stages) == {
        *("Backbone", "FeaturePyramid", "TextMapHead"),
        *("Recognizer.encoder", "Recognizer.attention", "Recognizer.ctc"),
    }
    ctc = conv(24, len(CHARSET), 1, 1, 32)
    assert stages["Recognizer.ctc"] * 1e9 == pytest.approx(4 * ctc, rel=1e-12)


def test_deeper_backbone_by_hand():
    settings = {"embedding_size": 16, "hidden_sizes": [24, 32, 40, 48], "depths": [2, 2, 1, 3], "layer_type": "basic"}
    spotter = instantiate(SPOTTER | {"backbone": SPOTTER["backbone"] | {"settings": settings}}, _convert_="all")
    assert FlopCost(spotter).cost(64, 64) * 1e9 == pytest.approx(dense_flops(64, 64, backbone=settings), rel=1e-12)


def test_word_by_hand(flops):
    expected = word_flops(16, SPOTTER["widths"], SPOTTER["hidden"], len(CHARSET))
    assert flops.per_word * 1e9 == pytest.approx(expected, rel=1e-12)
    assert flops.cost(64, 64, 10) - flops.cost(64, 64) == pytest.approx(10 * expected / 1e9)


def test_a_vocabulary_costs_what_weighing_its_spellings_does_at_most(flops):
    spotter = make_spotter(vocabulary="english")
    hidden, classes, columns, steps = SPOTTER["hidden"], len(CHARSET), 32, 7
    keys_and_values = 2 * columns * 2 * 2 * hidden * hidden
    text = steps * 2 * (4 * hidden * 2 * hidden + 2 * columns * hidden + 2 * hidden * hidden + hidden * classes)
    weighing = FlopCost(spotter).per_word - flops.per_word
    assert weighing * 1e9 == pytest.approx(keys_and_values + 5 * text, rel=1e-9)
    stages = FlopCost(spotter).stages(64, 96, words=3)
    assert sum(stages.values()) == pytest.approx(FlopCost(spotter).cost(64, 96, words=3), rel=1e-9)


def test_padding_costs_what_it_computes(flops):
    assert flops.cost(33, 64) == flops.cost(64, 64) == flops.cost(64, 33)
    assert flops.cost(1, 1) == flops.cost(32, 32) > 0
    assert flops.cost(32, 64) == flops.cost(64, 32)


def test_one_count_serves_every_size_of_a_convolutional_spotter(flops, monkeypatch):
    counted = {size: flops.dense(*size) for size in ((32, 32), (96, 160), (320, 64))}
    monkeypatch.delattr(FlopCost, "dense")
    assert {size: flops.cost(*size) for size in counted} == pytest.approx(counted, rel=1e-12)


def test_what_grows_faster_than_the_image_is_counted_once_for_each_size(monkeypatch, tmp_path):
    counts = []
    monkeypatch.setattr(cost, "_known", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        FlopCost, "dense", lambda _, height, width: counts.append((height, width)) or float(height * width) ** 2
    )
    flops = FlopCost(make_spotter())
    counts.clear()
    assert [flops.cost(*size) for size in ((96, 96), (90, 70), (32, 64))] == [96.0**4, 96.0**4, (32 * 64) ** 2]
    assert counts == [(96, 96), (32, 64)]


@pytest.mark.parametrize("copied", [lambda model: pickle.loads(pickle.dumps(model)), deepcopy])
@pytest.mark.parametrize("kind", [FlopCost, AreaCost])
def test_copies_count_the_same(kind, copied):
    model = kind(make_spotter())
    before = model.cost(64, 96, 2)
    assert copied(model).cost(64, 96, 2) == before
    assert copied(model).cost(128, 96, 2) == model.cost(128, 96, 2) > before


def test_relative_costs(flops):
    sizes = torch.tensor([[640, 320], [100, 50]])
    relative = flops.relative(sizes, SCALES)
    assert relative.shape == (2, 3)
    assert relative.dtype == torch.float32
    assert relative[:, 2].tolist() == [1, 1]
    assert (relative.diff(dim=1) > 0).all()
    assert float(relative[0, 1]) == pytest.approx(0.25)
    assert float(relative[1, 0]) == pytest.approx(flops.cost(30, 15) / flops.cost(100, 50)), "32 x 32 over 128 x 64"
    assert float(relative[1, 0]) == pytest.approx(1 / 8)


def test_words_cost_the_same_at_every_scale(flops):
    words = torch.tensor([0, 40])
    relative = flops.relative(torch.tensor([[320, 320]] * 2), SCALES, words)
    full, half, spent = flops.cost(320, 320), flops.cost(160, 160), 40 * flops.per_word
    assert float(relative[0, 1]) == pytest.approx(half / full)
    assert float(relative[1, 1]) == pytest.approx((half + spent) / (full + spent))


def test_no_image_and_one_pixel(flops):
    assert flops.relative(torch.zeros(0, 2, dtype=torch.int64), SCALES).shape == (0, 3)
    assert flops.relative(torch.tensor([[1, 1]]), SCALES).tolist() == [[1, 1, 1]]


def test_the_spotter_is_left_alone():
    spotter = make_spotter().train()
    before = {name: value.clone() for name, value in spotter.state_dict().items()}
    FlopCost(spotter).cost(64, 64)
    assert spotter.training
    for name, value in spotter.state_dict().items():
        assert torch.equal(value, before[name])


def test_area():
    area = AreaCost(make_spotter())
    assert area.cost(64, 96) == 64 * 96 / 1e6
    assert area.cost(65, 1, words=9) == 96 * 32 / 1e6
    relative = area.relative(torch.tensor([[640, 960]]), (0.25, 0.5, 1.0))
    torch.testing.assert_close(relative, torch.tensor([[160 * 256 / (640 * 960), 0.25, 1.0]]))


def test_selector_costs_under_one_percent_of_the_tiny_spotter():
    shared = {"charset": {"_target_": "dld_spotter.core.charset.Charset", "characters": "abc"}, "max_length": 25, "shrink": 0.7}
    tiny = OmegaConf.merge(shared, {"spotter": OmegaConf.load(CONF / "spotter" / "tiny.yaml")}).spotter
    full = FlopCost(instantiate(tiny, _convert_="all")).cost(640, 640)
    selector = OmegaConf.merge(OmegaConf.load(CONF / "selector" / "gumbel.yaml"), {"scales": SEVEN, "gamma": 0.1})
    del selector.defaults
    selector = instantiate(selector, _convert_="all")
    selector.thumbnail = OmegaConf.load(CONF / "train.yaml").thumbnail
    assert 0 < selector.gflops < 0.01 * full


def seeing(side: int, selector: Selector) -> Selector:
    """A selector that sees thumbnails of so many pixels."""
    selector.thumbnail = side
    return selector


def test_selector_by_hand():
    selector = seeing(64, GumbelSelector(SCALES, 0.1, [0.5, 1.0], channels=(4, 6, 8, 10), hidden=12))
    convolutions = [conv(a, b, 3, 64 // 2**i, 64 // 2**i) for i, (a, b) in enumerate(pairwise((3, 4, 6, 8, 10)), start=1)]
    linear = 2 * 2 * 10 * 12 + 2 * (12 + 2) * 2 * len(SCALES)  # pooled features, then hidden ones beside height and width
    assert selector.gflops * 1e9 == pytest.approx(sum(convolutions) + linear)
    assert FixedScale(SCALES, 0.1, [1.0], 0.5).gflops == RandomScale(SCALES, 0.1, [1.0]).gflops == 0


def test_a_selector_costs_the_same_once_it_is_folded():
    selector = seeing(64, GumbelSelector(SCALES, 0.1, [0.5, 1.0], channels=(4, 6, 8, 10), hidden=12))
    alone = folded(selector).gflops
    assert alone == selector.gflops > 0
    assert selector.training, "counting leaves it alone"


@pytest.mark.parametrize("process", ["same", "next"])
def test_spotters_that_differ_in_their_weights_alone_are_counted_once(process, monkeypatch, tmp_path):
    monkeypatch.setattr(cost, "_known", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, second, other = make_spotter(1), make_spotter(2), make_spotter(1, hidden=SPOTTER["hidden"] + 1)
    expected = FlopCost(first).cost(64, 96, 3)
    if process == "next":
        cost._known.clear()
    with patch.object(FlopCost, "count", side_effect=AssertionError):
        assert FlopCost(second).cost(64, 96, 3) == expected
        with pytest.raises(AssertionError):
            FlopCost(other)


def test_a_spotter_with_a_part_that_cannot_be_kept_is_counted_each_time():
    spotter = make_spotter(1)
    expected = FlopCost(spotter).cost(64, 96, 3)
    spotter.scorer = lambda score: score
    assert FlopCost(spotter).cost(64, 96, 3) == expected


class Scorer(torch.nn.Identity):
    """A part of somebody else."""


def test_counts_are_kept_for_the_package_as_it_is_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(cost, "_known", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    foreign = make_spotter(1)
    foreign.scorer = Scorer()
    FlopCost(foreign)
    assert not (tmp_path / "dld_spotter" / "flops.json").exists()
    FlopCost(make_spotter(1))
    assert (tmp_path / "dld_spotter" / "flops.json").exists()
    cost._known.clear()
    monkeypatch.setattr(cost, "_sources", lambda: "another version")
    with patch.object(FlopCost, "count", side_effect=AssertionError), pytest.raises(AssertionError):
        FlopCost(make_spotter(1))


def test_so_many_records_are_kept_the_latest(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for number in range(5):
        remembered("counts.json", Counts, str(number), lambda: Counts(1.0, None, 2.0), 3)
    asked = []
    for number in (4, 3, 2, 1):
        assert remembered("counts.json", Counts, str(number), lambda: asked.append(0) or Counts(0, 0, 0), 3)
    assert len(asked) == 1


def test_a_class_that_is_defined_anew_is_counted_anew(monkeypatch):
    def defined(times):
        class Again(type(make_spotter())):
            def detect_maps(self, images):
                return [super(Again, self).detect_maps(images) for _ in range(times)][-1]

        Again.__qualname__ = "Again"
        return Again

    costs = []
    for times in (1, 2):
        spotter = make_spotter()
        spotter.__class__ = defined(times)
        monkeypatch.setitem(globals(), "Again", type(spotter))
        costs.append(FlopCost(spotter).cost(64, 96))
    assert costs[1] == pytest.approx(2 * costs[0])
