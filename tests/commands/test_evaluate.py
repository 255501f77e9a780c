"""Scoring and measuring a checkpoint on files, as a user does."""

import json
import zipfile
from importlib import import_module
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from PIL import Image

from dld_spotter import evaluate, measure
from dld_spotter.config.entry import ROOT
from dld_spotter.core.errors import ConfigError
from dld_spotter.evaluation.scoring import ScoreConfig, score
from dld_spotter.tradeoff import Outcomes, TradeOff
from tests.small import SCALES
from tests.trained import GAMMAS, make_checkpoint


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("images", "gts"):
        (tmp_path / name).mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(rng.integers(0, 255, (70, 90, 3), dtype=np.uint8)).save(tmp_path / "images" / f"img_{number}.png")
        (tmp_path / "gts" / f"gt_img_{number}.txt").write_text("5,5,60,5,60,30,5,30,cat\n")
    return tmp_path


def config(name: str, photos: Path, *overrides: str) -> DictConfig:
    checkpoint = make_checkpoint(photos / "small.ckpt")
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        given = [f"ckpt={checkpoint}", "data=icdar2015", f"data.root={photos}", "data.workers=0", "resamples=20", "images=2"]
        return compose(name, overrides=[*given, *overrides])


def test_evaluation_says_what_was_asked_and_what_was_spent(photos: Path):
    evaluate.run(config("evaluate", photos, "task=detection", f"gamma={GAMMAS[2]}"), photos / "out")
    found = json.loads((photos / "out" / "evaluation.json").read_text())
    unasked = dict.fromkeys(("scale", "budget", "budget_gflops", "budget_ms", "max_cost"))
    assert found["requested"] == {"gamma": GAMMAS[2]} | unasked
    assert found["spent"]["budget"] == found["relative_cost"]
    assert (found["dataset"], found["task"], found["images"], found["method"]) == ("icdar2015", "detection", 2, "dynamic")
    assert found["relative_cost"] > 0
    assert found["gflops"] > 0


def test_evaluation_tells_how_far_scores_can_be_believed(photos: Path):
    evaluate.run(config("evaluate", photos, "task=detection", "scale=1.0"), photos / "out")
    found = json.loads((photos / "out" / "evaluation.json").read_text())
    bins, counted = found["reliability"]["bins"], zipfile.ZipFile(photos / "out" / "predictions.zip")
    assert (
        sum(one["predictions"] for one in bins) == sum(len(counted.read(name).splitlines()) for name in counted.namelist()) > 0
    )
    right = sum(one["predictions"] * one["right"] for one in bins)
    assert right == pytest.approx(found["recall"] * 2)  # of one true word in each of two images
    apart = sum(one["predictions"] * abs(one["score"] - one["right"]) for one in bins)
    assert found["reliability"]["error"] == pytest.approx(apart / sum(one["predictions"] for one in bins))
    assert Image.open(photos / "out" / "reliability.png").size[0] > 300


def test_reports_name_the_vocabulary(photos: Path):
    for name in ("none", "english"):
        evaluate.run(config("evaluate", photos, "scale=0.3", f"vocabulary={name}"), photos / name)
        assert json.loads((photos / name / "evaluation.json").read_text())["vocabulary"] == name
        measure.run(config("measure", photos, "parts=[student]", f"vocabulary={name}"), photos / name)
        assert ("vocabulary english" in TradeOff.read(photos / name / "tradeoff.json").spotter) == (name == "english")


@pytest.mark.parametrize("command", ["demo", "evaluate", "export", "fit_operating_points", "measure", "predict"])
def test_every_command_that_reads_takes_a_vocabulary(photos: Path, command: str):
    module = import_module(f"dld_spotter.{command}")
    act = getattr(module, "run", None) or getattr(module, command)
    folders = [photos] if "folder" in signature(act).parameters else []
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        known = {"predict": [f"input={photos / 'images'}"], "export": [f"out={photos}"]}.get(command, [])
        given = compose(command, overrides=[f"vocabulary={photos / 'absent.txt'}", *known])
    with pytest.raises(ConfigError, match=r"vocabulary=.*absent\.txt cannot be read"):
        act(given, *folders)


def test_predictions_score_as_the_evaluation_did(photos: Path):
    evaluate.run(config("evaluate", photos, "task=detection", "scale=1.0"), photos / "out")
    found = json.loads((photos / "out" / "evaluation.json").read_text())
    with zipfile.ZipFile(photos / "out" / "predictions.zip") as archive:
        assert sorted(archive.namelist()) == ["res_img_0.txt", "res_img_1.txt"]
    (photos / "gts" / "gt_img_2.txt").unlink()  # the image that was left out
    again = score(ScoreConfig(str(photos / "gts"), str(photos / "out" / "predictions.zip"), task="detection"))
    assert again["hmean"] == pytest.approx(found["hmean"], abs=1e-9)


def test_fates_add_up_to_the_evaluation(photos: Path):
    given = ["data=scenes", "~data.root", "scale=1.0", "explain=true", "examples=2"]
    evaluate.run(config("evaluate", photos, *given), photos / "out")
    evaluation, fates = (json.loads((photos / "out" / f"{name}.json").read_text()) for name in ("evaluation", "fates"))
    assert (fates["total"]["hmean"], fates["images"]) == (pytest.approx(evaluation["hmean"]), evaluation["images"])
    assert sum(cost["words"] for cost in fates["costs"]) == fates["counts"]["true"] == len(fates["words"]) > 0
    false = fates["counts"]["predicted"] - fates["counts"]["matched"]
    assert sum(cost["false"] for cost in fates["costs"]) == len(fates["false_predictions"]) == false
    assert all(isinstance(word["box"], str) for word in fates["words"])
    assert {word["fate"] for word in fates["words"]} <= {cost["fate"] for cost in fates["costs"]}
    for name in ("fates.png", "fates_examples.png"):
        with Image.open(photos / "out" / name) as picture:
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 50


def test_predictions_for_curved_words_keep_every_point(photos: Path):
    evaluate.run(config("evaluate", photos, "protocol=totaltext", "task=detection", "scale=1.0"), photos / "out")
    found = json.loads((photos / "out" / "evaluation.json").read_text())
    with zipfile.ZipFile(photos / "out" / "predictions.zip") as archive:
        assert sorted(archive.namelist()) == ["img_0.txt", "img_1.txt"]
        line = archive.read("img_0.txt").decode().splitlines()[0]
    assert line.partition(",####")[0].count(",") + 1 == 2 * 16
    (photos / "gts" / "gt_img_2.txt").unlink()
    settings = ScoreConfig(str(photos / "gts"), str(photos / "out" / "predictions.zip"), task="detection", protocol="totaltext")
    assert score(settings)["hmean"] == pytest.approx(found["hmean"], abs=1e-9)


def test_words_of_a_reader_of_polygons_keep_every_point(photos: Path):
    words = [{"polygon": [[5, 5], [30, 3], [60, 5], [60, 30], [30, 28], [5, 30]], "text": "cat"}]
    lines = [
        json.dumps({"image": f"images/img_{number}.png", "split": split, "words": words})
        for number, split in enumerate(("test", "validation", "train"))
    ]
    labels, truth = photos / "labels.jsonl", photos / "truth.jsonl"
    labels.write_text("\n".join(lines))
    truth.write_text(lines[0])
    evaluate.run(config("evaluate", photos, "data=jsonl", f"data.root={labels}", "task=detection", "scale=1.0"), photos / "out")
    found = json.loads((photos / "out" / "evaluation.json").read_text())
    with zipfile.ZipFile(photos / "out" / "predictions.zip") as archive:
        line = archive.read("img_0.txt").decode().splitlines()[0]
    assert line.partition(",####")[0].count(",") + 1 == 2 * 16
    again = score(ScoreConfig(str(truth), str(photos / "out" / "predictions.zip"), task="detection"))
    assert again["hmean"] == pytest.approx(found["hmean"], abs=1e-9)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["gamma=0.7"], "choose one of"),
        (["gamma=0.1", "scale=0.5"], "exclude each other"),
        (["scale=4.5"], "at most 4"),
        (["scale=0"], "above 0"),
        (["explain=img_1"], "explain=img_1 must be true or false"),
        (["explain=true", "examples=-1"], "examples=-1 must be a whole number"),
    ],
)
def test_impossible_requests_are_refused(photos: Path, overrides: list[str], sentence: str):
    with pytest.raises(ConfigError, match=sentence):
        evaluate.run(config("evaluate", photos, *overrides), photos / "out")


def test_any_scale_can_be_asked_for(photos: Path):
    evaluate.run(config("evaluate", photos, "scale=0.77"), photos / "out")
    found = json.loads((photos / "out" / "evaluation.json").read_text())
    assert (found["method"], found["scale"], found["requested"]["scale"]) == ("static", 0.77, 0.77)


def test_a_checkpoint_without_selector_reads_at_full_resolution(photos: Path):
    make_checkpoint(photos / "alone.ckpt", selector=False)
    evaluate.run(config("evaluate", photos, f"ckpt={photos / 'alone.ckpt'}"), photos / "out")
    found = json.loads((photos / "out" / "evaluation.json").read_text())
    assert (found["method"], found["scale"], found["relative_cost"]) == ("static", 1.0, pytest.approx(1.0))
    for key in ("gamma", "budget"):
        with pytest.raises(ConfigError, match="needs a selector"):
            evaluate.run(config("evaluate", photos, f"ckpt={photos / 'alone.ckpt'}", f"{key}=0.1"), photos / "out")


def test_measuring_leaves_the_table_and_the_trade_off(photos: Path):
    measure.run(config("measure", photos, "task=detection"), photos / "out")
    table = Outcomes.load(photos / "out" / "outcomes_student.npz")
    assert (table.scales, len(table.names)) == (SCALES, 2)
    assert len(TradeOff.read(photos / "out" / "tradeoff.json").select("dynamic")) == len(GAMMAS)
    assert (photos / "out" / "tradeoff.png").stat().st_size > 10_000


def test_measuring_an_absent_part_is_refused(photos: Path):
    with pytest.raises(ConfigError, match="teacher"):
        measure.run(config("measure", photos, "parts=[teacher]"), photos / "out")
