"""What an exported spotter needs beside its graphs; whole exports are in ``tests/integration/test_onnx.py``."""

import json
import os

import numpy as np
import pytest
import torch

from dld_spotter.budget.cost import FlopCost
from dld_spotter.core.errors import CheckpointError, ConfigError
from dld_spotter.core.words import Word
from dld_spotter.inference.agreement import Agreement, compare_words
from dld_spotter.inference.graphs import export_selector, export_spotter
from dld_spotter.inference.loading import DynamicSpotter
from dld_spotter.inference.onnx_backend import FORMAT, META, SELECTOR, OnnxSpotter, read_meta
from dld_spotter.selection.baselines import FixedScale
from dld_spotter.selection.gumbel import GumbelSelector
from dld_spotter.selection.quality import QualitySelector
from tests.small import SCALES, THUMBNAIL, make_spotter

FACTORS = (0.3, 1.0, 3.0)
SELECTORS = {"heads": GumbelSelector, "losses": QualitySelector}


@pytest.mark.parametrize("rule", SELECTORS)
def test_selector_chooses_as_in_torch(rule, tmp_path):
    """By the graph and the rule alone; both of a reader's other graphs are left out."""
    torch.manual_seed(0)
    selector = SELECTORS[rule](SCALES, 0.1, FACTORS, channels=[4, 4, 4, 4], hidden=8).eval()
    if rule == "losses":
        selector.table.uniform_()  # before it has seen a word, all scales promise the same
    gammas = (*selector.gammas, None) if rule == "heads" else (*selector.gammas, None, 0.0, 2.0, 50.0)
    reader = DynamicSpotter(make_spotter().eval(), selector, THUMBNAIL, device="cpu")
    exported = object.__new__(OnnxSpotter)
    exported.meta = {
        "selector": export_selector(selector, THUMBNAIL, tmp_path),
        "thumbnail": THUMBNAIL,
        "stride": 32,
        "gflops": {"per_pixel": FlopCost(reader.spotter).cost(64, 64) / 64**2, "per_word": 0.0},
    }
    exported._selector = _session(tmp_path / SELECTOR)
    rng = np.random.default_rng(0)
    chosen = set()
    for side in (40, 90, 200, 420):
        image = rng.integers(0, int(rng.integers(20, 256)), (side, 2 * side, 3), dtype=np.uint8)
        for gamma in gammas:
            scale = reader.choose(image, gamma)
            assert exported.choose(image, gamma) == scale
            chosen.add(scale)
    assert len(chosen) > 1
    with pytest.raises(ConfigError, match="gamma=-1"):
        exported.check_gamma(-1)


def _session(path):
    import onnxruntime

    return onnxruntime.InferenceSession(path)


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        (None, r"meta\.json does not exist"),
        ("{", "cannot be read"),
        *((meta, f"format {FORMAT}") for meta in ('{"format": 99}', "[]")),
    ],
)
def test_bad_meta_is_told(tmp_path, meta, words):
    if meta is not None:
        (tmp_path / META).write_text(meta)
    with pytest.raises(CheckpointError, match=words):
        read_meta(tmp_path)


def test_selectors_that_learn_nothing_have_no_graph(tmp_path):
    with pytest.raises(ConfigError, match="FixedScale"):
        export_selector(FixedScale(SCALES, 0.1, FACTORS, 0.5), THUMBNAIL, tmp_path)


def test_other_families_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="Linear"):
        export_spotter(torch.nn.Linear(1, 1), tmp_path)


def test_words_are_counted_where_sides_differ():
    word = Word(np.array([[0, 0], [9, 0], [9, 4], [0, 4]], np.float32), "cat", 0.9)
    far = Word(word.polygon + 50, "dog", 0.5)
    assert compare_words([], []) == (0, 0, 0, 0)
    assert compare_words([word, far], [far, word]) == (2, 2, 2, 2)
    assert compare_words([word], []) == compare_words([], [word]) == (1, 0, 0, 0)
    assert compare_words([word], [Word(word.polygon + 0.6, "cut", 0.9005)]) == (1, 0, 0, 1)
    assert Agreement().shares() == {"polygons": 1, "texts": 1, "scores": 1}


META_FACTS = {
    "format": FORMAT,
    "charset": {"characters": "abc", "fold_case": False},
    "stride": 32,
    "scales": [0.5, 1.0],
    "postprocess": {"threshold": 0.5, "levels": [0.6, 0.8]},
    "full_resolution_crops": True,
    "min_score": 0.75,
    "max_length": 25,
    "vocabulary": None,
    "thumbnail": 128,
    "gflops": {"per_pixel": 1e-5, "per_word": 0.1, "selector": 0},
    "provenance": {"training": {"model": {"student": {"_target_": "dld_spotter.models.spotter.TextMapSpotter"}}}},
    "selector": {"rule": "losses", "scales": [0.5, 1.0], "gammas": [0.1]},
}


def test_a_meta_of_plain_values_is_taken(tmp_path):
    for selector in (META_FACTS["selector"], None):
        (tmp_path / META).write_text(json.dumps(META_FACTS | {"selector": selector}))
        assert read_meta(tmp_path)["selector"] == selector


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"charset": {"characters": 5}}, r"charset\.characters=5, expected a text"),
        ({"charset": {"fold_case": True}}, r"lacks charset\.characters"),
        ({"charset": {"characters": "a", "_index": {}}}, "_index"),
        ({"charset": ["a"]}, "charset"),
        ({"postprocess": {"shell": "ls"}}, r"unknown postprocess\.'shell'"),
        ({"postprocess": {"threshold": "0.5"}}, r"postprocess\.threshold='0.5', expected a number"),
        ({"postprocess": {"points": 10**9}}, r"postprocess\.points"),
        ({"stride": 0}, "stride=0"),
        ({"thumbnail": 10**6}, "thumbnail=1000000"),
        ({"scales": "all"}, "scales='all'"),
        ({"gflops": {"per_pixel": 1}}, r"lacks gflops\.per_word"),
        ({"gflops": {"per_pixel": -1, "per_word": 0, "selector": 0}}, r"gflops\.per_pixel=-1"),
        ({"selector": {"rule": "shell"}}, r"selector\.rule='shell'"),
        ({"selector": 3}, "selector=3"),
        ({"provenance": {}}, r"lacks provenance\.training"),
        ({"provenance": {"training": {"_target_": "os.system"}}}, "_target_"),
        ({"vocabulary": "${oc.env:HOME}"}, "interpolation"),
        ({"min_score": float("nan")}, "min_score=nan"),
    ],
)
def test_a_meta_of_anything_else_is_told(tmp_path, change, words):
    (tmp_path / META).write_text(json.dumps(META_FACTS | change))
    with pytest.raises(CheckpointError, match=words) as caught:
        read_meta(tmp_path)
    assert "\n" not in str(caught.value)
    assert META in str(caught.value)


def test_a_meta_without_a_key_is_told(tmp_path):
    for key in META_FACTS:
        (tmp_path / META).write_text(json.dumps({name: value for name, value in META_FACTS.items() if name != key}))
        with pytest.raises(CheckpointError, match=key):
            read_meta(tmp_path)


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, '{"format": ' + "[" * 40 + "]" * 40 + "}"])
def test_a_meta_that_only_costs_is_told(tmp_path, text):
    (tmp_path / META).write_text(text)
    with pytest.raises(CheckpointError, match=META):
        read_meta(tmp_path)


def test_a_meta_is_a_file(tmp_path):
    os.mkfifo(tmp_path / META)
    with pytest.raises(CheckpointError, match="no file of at most"):
        read_meta(tmp_path)
