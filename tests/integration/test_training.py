"""Whole runs of training: what they leave, that they repeat, and that a sweep ends in one trade-off."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from dld_spotter.inference.checkpoint import load_checkpoint
from dld_spotter.inference.loading import load
from dld_spotter.tradeoff import Outcomes, TradeOff
from tests.integration import wandb_file
from tests.integration.runs import Ended, train

PROMISED = [
    "checkpoints/best.ckpt",
    "checkpoints/last.ckpt",
    "checkpoints/teacher.ckpt",
    "config.yaml",
    "metrics.csv",
    "tradeoff.json",
    "tradeoff.png",
]


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """One run: how it ended, and its folder."""
    folder = tmp_path_factory.mktemp("single")
    return train(folder, "objective.weights.cost=0.3", "control=true"), folder


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Three runs over the cost weight, the middle one of which cannot work, logged to W&B offline."""
    folder = tmp_path_factory.mktemp("costs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        kept = "logger.wandb.checkpoint=true"
        return train(folder, "logger=wandb", kept, "objective.weights.cost=0.03,-1,0.3", multirun=True), folder


def test_leaves_what_it_promises(single):
    ended, folder = single
    assert ended.status == 0, ended.stderr
    assert [name for name in PROMISED if not (folder / name).is_file()] == []
    assert str(folder) in ended.stdout


def test_metrics_name_every_term(single):
    metrics = pd.read_csv(single[1] / "metrics.csv")
    terms = ["detection", "recognition", "accuracy", "cost", "roi", "context", "sequence", "loss"]
    assert {f"train/{term}" for term in terms} | {"val/hmean", "scale/0.5", "scale/1"} <= set(metrics.columns)
    assert {f"shares/{term}" for term in ("detection", "roi", "context", "sequence")} <= set(metrics.columns)
    assert metrics["train/loss"].notna().any()
    assert metrics["train/loss"].dropna().map(torch.tensor).map(torch.isfinite).all()


def test_tradeoff_holds_every_method(single):
    result = TradeOff.read(single[1] / "tradeoff.json")
    assert result.images == 4
    for model in ("teacher", "control", "student"):
        assert {point.scale for point in result.select("static", model)} == {0.5, 1.0}
    for model in ("control", "student"):
        assert {point.gamma for point in result.select("dynamic", model)} == {0.15, 0.3, 0.45}
    assert result.select("random_mix", "student")
    assert result.select("oracle", "student")
    names = ("hmean", "vanilla", "control", "best_static", "random", "oracle")
    rows = json.loads((single[1] / "comparison.json").read_text("utf-8"))
    assert [row["gamma"] for row in rows] == [0.15, 0.3, 0.45]
    assert all(isinstance(row[name], float) for row in rows for name in names)
    (head,) = [line for line in single[0].stdout.splitlines() if "vanilla" in line and "oracle" in line]
    assert head.split() == ["gamma", "cost", "vanilla", "control", "static", "random", "dynamic", "oracle", "of", "teacher"]


@pytest.mark.parametrize("name", ["best", "last", "teacher", "student", "control", "control/best"])
def test_checkpoints_can_be_read_with(single, name):
    predictor = load(single[1] / "checkpoints" / f"{name}.ckpt", device="cpu")
    assert (predictor.policy is None) == (name == "teacher")
    assert predictor.read(np.zeros((64, 96, 3), np.uint8)).scale in (0.5, 1.0)


def test_the_selector_is_evaluated_on_the_thumbnails_that_it_learnt_from(single):
    """A dynamic point costs a decision on a thumbnail of 32 pixels beside reading, not of the usual 128."""
    selector = load(single[1] / "checkpoints" / "student.ckpt", device="cpu").policy
    assert selector.thumbnail == 32
    once = Outcomes.load(single[1] / "outcomes_student.npz")
    with np.load(single[1] / "dynamic_student.npz", allow_pickle=False) as followed:
        gflops = followed["totals"][..., 4]
    own = np.abs(gflops[:, :, None] - once.gflops[None] - selector.gflops).min(-1)
    np.testing.assert_allclose(own, 0, atol=1e-9)


def test_the_control_is_trained_as_long_and_becomes_another(single):
    checkpoints = single[1] / "checkpoints"
    student, control = (torch.load(checkpoints / name, weights_only=True) for name in ("last.ckpt", "control/last.ckpt"))
    assert student["global_step"] == control["global_step"] == 2
    parts = [{k: v for k, v in each["state_dict"].items() if k.startswith("student.")} for each in (student, control)]
    assert any(not torch.equal(value, parts[1][name]) for name, value in parts[0].items())
    logged = pd.read_csv(checkpoints / "control" / "metrics.csv")
    assert {"train/recognition", "train/accuracy", "val/value"} <= set(logged.columns)
    assert not {"train/roi", "train/context", "train/sequence"} & set(logged.columns)


def test_teacher_is_what_the_student_learnt_from(single):
    checkpoints = single[1] / "checkpoints"
    trained, kept = (load_checkpoint(checkpoints / name).weights("teacher") for name in ("last.ckpt", "teacher.ckpt"))
    best = load_checkpoint(checkpoints / "teacher" / "best.ckpt").weights("teacher")
    for name, value in trained.items():
        torch.testing.assert_close(value, best[name], rtol=0, atol=0)
        torch.testing.assert_close(value, kept[name], rtol=1e-3, atol=1e-5)


def test_same_seed_gives_the_same_run_even_within_a_sweep(single, sweep):
    """The third job has the configuration of the single run, after two others in the same process."""
    first, second = single[1], sweep[1] / "2"
    one, two = (load_checkpoint(folder / "checkpoints" / "last.ckpt").state for folder in (first, second))
    assert one.keys() == two.keys()
    assert [name for name in one if not torch.equal(one[name], two[name])] == []
    pd.testing.assert_frame_equal(*(pd.read_csv(folder / "metrics.csv") for folder in (first, second)))


def test_another_seed_gives_another_run(single, tmp_path):
    train(tmp_path, "objective.weights.cost=0.3", "seed=2")
    one, two = (load_checkpoint(folder / "checkpoints" / "last.ckpt") for folder in (single[1], tmp_path))
    for part in ("teacher", "student", "selector"):
        first, second = one.weights(part), two.weights(part)
        assert any(not torch.equal(first[name], second[name]) for name in first), part


def test_sweep_is_joined_without_the_job_that_failed(sweep):
    _, folder = sweep
    joined = TradeOff.read(folder / "tradeoff.json")
    assert {point.model for point in joined.points} == {"teacher", "student cost=0.03", "student cost=0.3"}
    assert len(joined.select("static", "teacher")) == 2
    own = TradeOff.read(folder / "2" / "tradeoff.json")
    assert [p.hmean for p in joined.select("dynamic", "student cost=0.3")] == [p.hmean for p in own.select("dynamic")]
    assert (folder / "tradeoff.png").is_file()


def test_sweep_names_the_job_that_failed_and_says_so_to_the_shell(sweep):
    ended, _ = sweep
    assert ended.status == 2
    assert "objective.weights.cost" in ended.error
    (line,) = [line for line in ended.stdout.splitlines() if line.startswith("job ")]
    assert line.startswith("job 1 failed")


def test_runs_of_a_sweep_are_one_group_with_their_settings(sweep):
    _, folder = sweep
    logs = sorted(folder.glob("*/wandb/offline-run-*/*.wandb"))
    assert [log.parents[2].name for log in logs] == ["0", "1", "2"]
    runs = [wandb_file.run_of(log) for log in logs]
    assert {(run["group"], run["project"]) for run in runs} == {(folder.name, "dld_spotter")}
    assert [run["config"]["objective"]["weights"]["cost"] for run in runs] == [0.03, -1, 0.3]


@pytest.fixture(scope="module")
def logged(sweep):
    """The offline run of the first job: its file, and what was logged under each name."""
    (log,) = sweep[1].glob("0/wandb/offline-run-*/*.wandb")
    found: dict[str, list] = {}
    for row in wandb_file.history(log):
        for name, value in row.items():
            found.setdefault(name, []).append(value)
    return log, found


def test_wandb_has_every_metric_that_the_csv_has(sweep, logged):
    metrics = pd.read_csv(sweep[1] / "0" / "metrics.csv").drop(columns=["epoch", "step"])
    for name in metrics:
        assert logged[1][name] == pytest.approx(metrics[name].dropna().tolist(), rel=1e-5), name
    assert {"train/token", "train/sequence"} & set(metrics)
    assert {"train/gumbel_temperature", "val/relative_cost"} <= set(metrics)


def test_wandb_has_a_histogram_of_scales_for_each_epoch(sweep, logged):
    metrics = pd.read_csv(sweep[1] / "0" / "metrics.csv")
    (counts,) = logged[1]["scales/values"]
    shares = [metrics[f"scale/{scale}"].dropna().item() for scale in ("0.5", "1")]
    assert [count / sum(counts) for count in counts] == pytest.approx(shares)
    (edges,) = logged[1]["scales/bins"]
    assert edges[0] < 0.5 < edges[1] < 1.0 < edges[2]


def test_wandb_has_the_points_of_the_tradeoff(sweep, logged):
    log, found = logged
    table = json.loads((log.parent / "files" / found["tradeoff/path"][0]).read_text("utf-8"))
    own = TradeOff.read(sweep[1] / "0" / "tradeoff.json")
    column = table["columns"].index("hmean")
    assert [row[column] for row in table["data"]] == [point.hmean for point in own.points]
    summary = {key: value for record in wandb_file.records(log) for key, value in wandb_file.summary_of(record).items()}
    (full,) = [point for point in own.select("static", "student") if point.scale == 1.0]
    assert summary["test/student full resolution/gflops"] == pytest.approx(full.gflops)


def test_wandb_shows_test_images_at_a_low_and_a_high_resolution(logged):
    log, found = logged
    table = json.loads((log.parent / "files" / found["readings/path"][0]).read_text("utf-8"))
    assert len(table["data"]) == 4
    assert table["columns"][:4] == ["image", "chosen scale", "picture at 0.5", "words at 0.5"]
    pictures = sorted((log.parent / "files" / "media" / "images").rglob("*.png"))
    assert len(pictures) == 4
    details = np.zeros(2)  # of all pictures: on a dark one, words that are drawn count for more than what it shows
    for path in pictures:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("L"), float)
        halves = np.split(pixels[: len(pixels) // 2, : pixels.shape[1] // 2 * 2], 2, axis=1)
        details += [np.abs(np.diff(half, axis=0)).mean() for half in halves]
    assert details[0] < details[1], "the left one shows fewer details"


def test_wandb_keeps_the_weights_where_that_is_asked_for(logged):
    artifacts = [record.artifact for record in wandb_file.records(logged[0]) if record.HasField("artifact")]
    (kept,) = [artifact for artifact in artifacts if artifact.type == "model"]
    assert [entry.path for entry in kept.manifest.contents] == ["student.ckpt"]


@pytest.mark.slow
def test_preset_sweeps_cost_by_temperature(tmp_path, monkeypatch):
    jobs = []
    monkeypatch.setattr("dld_spotter.train.train", lambda config, folder: jobs.append((config, folder)) or 0.0)
    ended = train(tmp_path, "sweep=cost_by_temperature")
    assert ended.status == 0, ended.stderr
    pairs = {(config.objective.weights.cost, config.distillation.terms.token.temperature) for config, _ in jobs}
    assert len(pairs) == len(jobs) == 9
    assert {tuple(config.selector.factors) for config, _ in jobs} == {(1.0,)}
    assert {folder.parent for _, folder in jobs} == {tmp_path}


MODULES = {"teacher": "TeacherModule", "distillation": "DLDModule", "control": "ControlModule"}


@pytest.mark.parametrize(
    "stage", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("teacher", "distillation")), "control"]
)
def test_resumes_the_interrupted_stage(tmp_path, monkeypatch, stage):
    """A run that dies after its first epoch of a stage goes on with the second."""
    longer = (f"stages.{'teacher' if stage == 'teacher' else 'distillation'}.epochs=2", f"control={stage == 'control'}".lower())
    kill_after_first_epoch(monkeypatch, MODULES[stage])
    with pytest.raises(Killed):
        train(tmp_path, *longer)
    monkeypatch.undo()
    checkpoints = tmp_path / "checkpoints"
    last = (checkpoints if stage == "distillation" else checkpoints / stage) / "last.ckpt"
    before = torch.load(last, weights_only=True)
    kept = ["teacher.ckpt", "student.ckpt"][: list(MODULES).index(stage)]
    weights = {name: load_checkpoint(checkpoints / name).state for name in kept}
    ended = train(tmp_path, *longer, f"resume={last}" if stage == "teacher" else "resume=auto")
    assert ended.status == 0, ended.stderr
    after = torch.load(last, weights_only=True)
    assert (before["global_step"], after["global_step"]) == (2, 4)
    assert (tmp_path / "tradeoff.json").is_file()
    logged = tmp_path if stage != "control" else checkpoints / "control"
    assert pd.read_csv(logged / "metrics.1.csv")["epoch"].max() == 0
    assert pd.read_csv(logged / "metrics.csv")["epoch"].max() == 1
    for name, state in weights.items():
        after = load_checkpoint(checkpoints / name).state
        assert all(torch.equal(after[key], value) for key, value in state.items()), name
    assert json.loads((tmp_path / "status.json").read_text("utf-8"))["score"] is not None


class Killed(BaseException):
    """Stands for a signal: nothing may catch it."""


def kill_after_first_epoch(monkeypatch, module: str) -> None:
    def kill(self) -> None:
        if self.current_epoch == 1:
            raise Killed

    monkeypatch.setattr(f"dld_spotter.training.modules.{module}.on_train_epoch_start", kill)


def assert_told(ended: Ended, status: int, *words: str) -> None:
    assert ended.status == status
    assert [word for word in words if word not in ended.error] == []


def test_resuming_from_elsewhere_is_refused(tmp_path, single):
    last = single[1] / "checkpoints" / "last.ckpt"
    assert_told(train(tmp_path, f"resume={last}"), 2, str(last), "paths.output_dir")
    assert_told(train(tmp_path, f"resume={tmp_path}/absent.ckpt"), 1, "absent.ckpt does not exist")


@pytest.mark.parametrize(
    ("override", "setting"),
    [
        ("scales=[0.7,1.0]", "scales"),
        ("model.student.channels=24", "model.student.channels=16, but this run has 24"),
        ("selector=random", "model.selector"),
        ("stages.distillation.epochs=2", "stages.distillation.epochs=1, but this run has 2"),
        ("data.train_collate.jitter=0.2", "data.train_collate.jitter=0.08, but this run has 0.2"),
    ],
)
def test_resuming_with_other_settings_is_refused(tmp_path, single, override, setting):
    folder = shutil.copytree(single[1], tmp_path / "run")
    same = ("objective.weights.cost=0.3", "control=true")
    ended = train(folder, *same, f"resume={folder / 'checkpoints' / 'last.ckpt'}", override)
    assert_told(ended, 2, setting, "interrupted run")


@pytest.mark.parametrize("override", ["trainer.limit_val_batches=0", "trainer.max_steps=1"])
def test_a_stage_that_is_not_validated_keeps_its_last_weights(tmp_path, override):
    ended = train(tmp_path, override)
    assert (ended.status, ended.stderr) == (0, "")
    checkpoints = tmp_path / "checkpoints"
    assert not (checkpoints / "best.ckpt").exists()
    last, kept = (load_checkpoint(checkpoints / name).weights("student") for name in ("last.ckpt", "student.ckpt"))
    for name, value in last.items():
        torch.testing.assert_close(kept[name], value, rtol=1e-3, atol=1e-5)
    assert (tmp_path / "tradeoff.json").is_file()


def test_the_plan_and_the_progress_are_told_line_by_line(single):
    lines = single[0].stdout.splitlines()
    assert lines[0].startswith("teacher (1 epochs from scratch), distillation (1 epochs), control (the same without")
    assert lines[0].endswith(str(single[1]))
    assert "teacher stage: 2 steps on cpu" in lines
    assert any(line.startswith("distillation: step 2 of 2, 0:00:00 left, loss ") for line in lines)
    assert any("val/hmean" in line for line in lines)


def test_tradeoff_is_plain_json(single):
    content = json.loads((single[1] / "tradeoff.json").read_text("utf-8"))
    assert {"dataset", "protocol", "task", "lexicon", "images", "spotter", "commit", "points"} == set(content)
