"""What a file says of itself is checked before it is used, and little is built from it."""

import importlib
import inspect
import os
from collections import OrderedDict
from copy import deepcopy
from math import inf
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from transformers import ResNetConfig

from dld_spotter import evaluate
from dld_spotter.budget.calibration import Calibration
from dld_spotter.config import assembly
from dld_spotter.config.entry import ROOT
from dld_spotter.core.errors import CheckpointError, ConfigError
from dld_spotter.inference.checkpoint import FORMAT, amend, load_checkpoint, save_checkpoint
from dld_spotter.inference.loading import load
from dld_spotter.inference.provenance import ARGUMENTS, BACKBONES, PARTS
from dld_spotter.models.backbone import Backbone, published_settings
from dld_spotter.models.vocabulary import Vocabulary
from tests.budget.test_candidates import CANDIDATES
from tests.small import BACKBONE, SCALES, SPOTTER, THUMBNAIL, make_spotter
from tests.trained import POINTS, make_checkpoint

FACTS = {"format": FORMAT, "model": {"student": SPOTTER}, "scales": list(SCALES), "thumbnail": THUMBNAIL}
CONF = ROOT / "conf"
WITH_POINTS = {"operating_points": POINTS.to_dict()}


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "whole.ckpt"
    save_checkpoint(path, {"student": make_spotter(1)}, FACTS)
    return torch.load(path, weights_only=True)["state_dict"]


@pytest.fixture
def write(state, tmp_path):
    """Write a checkpoint that says something else of itself."""

    def write(facts, weights=None) -> Path:
        path = tmp_path / "strange.ckpt"
        torch.save({"state_dict": state if weights is None else weights, "dld_spotter": facts}, path)
        return path

    return write


def assert_refused(action, *words):
    with pytest.raises(CheckpointError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    for word in ("strange.ckpt", *words):
        assert word in message


def touch(folder):
    """What runs a command where a configuration is built from it."""
    return {"_target_": "pathlib.Path.touch", "_args_": [{"_target_": "pathlib.Path", "_args_": [f"{folder}/executed"]}]}


@pytest.mark.parametrize(
    "key",
    ["thumbnail", "scales", "format", "calibration", "operating_points", "candidates", "second_pass", "ladder", "something"],
)
@pytest.mark.parametrize("nested", [False, True])
def test_nothing_is_built_from_any_value(write, tmp_path, key, nested):
    value = {"deep": [touch(tmp_path)]} if nested else touch(tmp_path)
    assert_refused(lambda: load(write(FACTS | {key: value}), device="cpu"), "_target_", key)
    assert not (tmp_path / "executed").exists()


def test_evaluate_builds_nothing_that_a_checkpoint_asks_for(write, tmp_path):
    path = write(FACTS | {"thumbnail": touch(tmp_path)})
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("evaluate", overrides=[f"ckpt={path}", "data=scenes"])
    assert_refused(lambda: evaluate.run(config, tmp_path / "out"), "thumbnail")
    assert not (tmp_path / "executed").exists()


def nested(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


def multiplied(times):
    value = ["much"]
    for _ in range(times):
        value = [value] * 10
    return value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"thumbnail": "128"}, "thumbnail='128', expected a whole number"),
        ({"thumbnail": True}, "thumbnail=True, expected a whole number"),
        ({"thumbnail": 10**9}, "thumbnail=1000000000, expected a whole number from 1 to 4096"),
        ({"thumbnail": 2**60}, "thumbnail"),
        ({"thumbnail": "${oc.env:HOME}"}, "interpolation"),
        ({"thumbnail": "???"}, "interpolation"),
        ({"scales": "1.0"}, "scales='1.0', expected an ascending list"),
        ({"scales": []}, "scales"),
        ({"scales": [1.0, 0.5]}, "scales"),
        ({"scales": [0.5, float("nan"), 1.0]}, "scales"),
        ({"scales": [0.5, "1.0"]}, "scales"),
        ({"scales": [0.5, 1e9]}, "scales"),
        ({"model": [SPOTTER]}, "model"),
        ({"extra": {1: 2}}, "the key 1"),
        ({"extra": {"_partial_": True}}, "_partial_"),
        ({"extra": torch.zeros(2)}, "Tensor"),
        ({"extra": b"bytes"}, "no plain value"),
        ({"extra": OrderedDict(a=1)}, "no plain value"),
        ({"extra": {"a${b}": 1}}, "the key"),
        ({"extra": nested(40)}, "levels"),
        ({"extra": multiplied(6)}, "values"),
        ({"extra": "x" * 300_000}, "300000 characters"),
        ({"operating_points": POINTS.to_dict() | {"images": inf}}, "OperatingPoints (expected int, found inf)"),
        ({"operating_points": POINTS.to_dict() | {"scales": ["wide"]}}, "OperatingPoints"),
        ({"operating_points": POINTS.to_dict() | {"run": "ls"}}, "unknown entry run"),
        ({"operating_points": 5}, "OperatingPoints"),
        (WITH_POINTS | {"candidates": 5}, "Candidates"),
        (WITH_POINTS | {"candidates": CANDIDATES.to_dict() | {"passes": [-1.0] * 4}}, "1 to 2 passes"),
        (WITH_POINTS | {"candidates": CANDIDATES.to_dict() | {"words": [float("nan")] * 4}}, "expected a number, found nan"),
        (WITH_POINTS | {"candidates": CANDIDATES.to_dict() | {"gflops": [1e9]}}, "columns of one length"),
        (WITH_POINTS | {"candidates": CANDIDATES.to_dict() | {"run": "ls"}}, "unknown entry run"),
        ({"second_pass": {"gains": {"tables": {"0.3": {"1.0": []}}}}}, "gains need a table"),
        ({"second_pass": {"context": inf}}, "SecondPassRule (expected int, found inf)"),
    ],
)
def test_plain_values_of_sane_size(write, change, words):
    path = write(FACTS | change)
    assert_refused(lambda: load(path, device="cpu"), words)


@pytest.mark.parametrize("key", ["scales", "thumbnail", "model"])
def test_what_every_checkpoint_says(write, key):
    path = write({name: value for name, value in FACTS.items() if name != key})
    assert_refused(lambda: load_checkpoint(path), f"lacks {key}")


@pytest.mark.parametrize("change", [{"images": inf}, {"gammas": ["low"]}, {"costs": []}, {"run": "ls"}])
def test_what_a_selector_spends_is_plain_too(tmp_path, change):
    path = make_checkpoint(tmp_path / "strange.ckpt")
    calibration = Calibration((0.05, 0.1, 0.3), (0.9, 0.5, 0.2), False, 9)
    amend(path, {"calibration": calibration.to_dict()})
    assert load(path, device="cpu").calibration == calibration
    amend(path, {"calibration": calibration.to_dict() | change})
    assert_refused(lambda: load(path, device="cpu"), "Calibration", "calibrate it again")


def changed(at, value):
    config = deepcopy(SPOTTER)
    *places, last = at.split(".")
    branch = config
    for place in places:
        branch = branch[place]
    branch[last] = value
    return config


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        ("_args_", [1], "_args_"),
        ("charset._partial_", True, "_partial_"),
        ("charset", {"_target_": "dld_spotter.data.synthetic.FontBook", "folder": "/"}, "FontBook"),
        ("charset", {"_target_": "dld_spotter.models.spotter.TextMapSpotter"}, "expected dld_spotter.core.charset.Charset"),
        ("charset._target_", "builtins.dict", "builtins.dict"),
        ("charset._target_", ["x"], "asks to build"),
        ("charset.characters", 5, "characters"),
        ("charset.characters", "aa", "repeated"),
        ("channels", 10**9, "student.channels is 1000000000"),
        ("channels", 16.0, "channels"),
        ("channels", 60_000, "another shape"),
        ("hidden", 60_000, "another shape"),
        ("crop_size", [8, 10**9], "crop_size"),
        ("strip", [8, 10**9], "crop_size"),  # as it was called
        ("layers", 10**6, "layers"),
        ("backbone.name", "timm_backbone", "backbone.name"),
        ("backbone.pretrained", "microsoft/resnet-18", "pretrained"),
        ("backbone.settings", {**BACKBONE, "hidden_sizes": [10**9] * 4}, "settings"),
        ("backbone.settings", {**BACKBONE, "hidden_sizes": [16, 16, 16, 50_000]}, "another shape"),
        ("backbone.settings", {**BACKBONE, "depths": [10**6, 1, 1, 1]}, "settings"),
        ("backbone.settings", {**BACKBONE, "depths": [200, 1, 1, 1]}, "lacks"),
        ("backbone.settings", {**BACKBONE, "attn_implementation": "some/kernel"}, "unknown"),
        ("postprocess", None, "postprocess"),
        ("postprocess.levels", [[0.6]], "levels"),
        ("vocabulary", "/dev/zero", "vocabulary=FILE"),
        ("vocabulary", "words.txt", "vocabulary=FILE"),
        ("vocabulary", 5, "vocabulary"),
    ],
)
def test_spotters_are_built_of_what_they_take(write, at, value, words):
    path = write(FACTS | {"model": {"student": changed(at, value)}})
    assert_refused(lambda: load(path, device="cpu"), words)


def test_a_part_is_what_it_is_called(write):
    path = write(FACTS | {"model": {"student": SPOTTER["charset"]}})
    assert_refused(lambda: load_checkpoint(path).spotter(), "student")


@pytest.mark.parametrize(
    "strange",
    [
        {"student.x": "text"},
        {5: torch.zeros(1)},
        {"student.x": torch.zeros(1).expand(10**6, 10**6)},
        {"student.x": torch.zeros(3).to_sparse()},
        {"student.x": torch.empty(10**6, 10**6, device="meta")},
    ],
    ids=["text", "number", "expanded", "sparse", "meta"],
)
def test_weights_are_tensors_by_name(write, state, strange):
    path = write(FACTS, state | strange)
    assert_refused(lambda: load(path, device="cpu"))


def test_only_a_regular_file_holds_words(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for source in ("/dev/zero", tmp_path / "pipe", tmp_path):
        with pytest.raises(ConfigError, match=r"vocabulary=.* is no file of at most"):
            Vocabulary.of(source)


def test_the_charset_that_loaders_take_over_is_plain(write):
    config = OmegaConf.create({"scales": None})
    assembly.adopt(config, load_checkpoint(write(FACTS)))
    assert config.charset == SPOTTER["charset"]
    assert (config.scales, config.thumbnail) == (list(SCALES), THUMBNAIL)
    assert_refused(lambda: assembly.adopt(config, load_checkpoint(write(FACTS | {"model": {"student": {}}}))), "student")


def found_targets(tree):
    """Every class that a plain configuration would build."""
    if isinstance(tree, dict):
        own = {tree["_target_"]} if "_target_" in tree else set()
        return own.union(*map(found_targets, tree.values()))
    return set().union(*map(found_targets, tree)) if isinstance(tree, list) else set()


def test_every_class_that_conf_builds_of_a_model_is_on_the_list():
    files = [path for group in ("spotter", "selector", "charset") for path in (CONF / group).glob("*.yaml")]
    assert len(files) > 8
    found = set()
    for path in files:
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        found |= found_targets(content)
    assert found == set(ARGUMENTS)


def test_the_list_names_the_arguments_of_its_classes():
    for name, rules in ARGUMENTS.items():
        module, _, attribute = name.rpartition(".")
        cls = getattr(importlib.import_module(module), attribute)
        assert set(inspect.signature(cls).parameters) == set(rules), name
        assert not issubclass(cls, Path | torch.utils.data.Dataset)
    assert set().union(*PARTS.values()) < set(ARGUMENTS)
    assert "timm_backbone" not in BACKBONES


def test_published_weights_are_kept_as_settings(tmp_path, monkeypatch):
    """A checkpoint of a training that began with them asks nobody for them."""
    config = ResNetConfig(**BACKBONE, id2label={0: "cat"})
    Backbone("resnet", BACKBONE).body.save_pretrained(tmp_path / "published")
    config.save_pretrained(tmp_path / "published")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        given = [f"+model.student.backbone.pretrained={tmp_path / 'published'}", "model.student.backbone.settings=null"]
        facts = assembly.provenance(compose("train", overrides=given))
    kept = facts["model"]["student"]["backbone"]
    assert kept["pretrained"] is None
    assert {key: kept[key] for key in ("name", "settings")} == published_settings(str(tmp_path / "published"))
    monkeypatch.setattr("transformers.AutoBackbone.from_pretrained", None)
    build = Backbone(kept["name"], kept["settings"])
    own = {name: value.shape for name, value in Backbone("resnet", BACKBONE).state_dict().items()}
    assert {name: value.shape for name, value in build.state_dict().items()} == own
