"""Training in two processes: one result, different samples and noise, equal weights."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from dld_spotter.inference.checkpoint import load_checkpoint
from dld_spotter.tradeoff import TradeOff
from tests.data.samples import box, sample
from tests.integration.runs import SMALL

REPOSITORY = Path(__file__).parents[2]
TWO = ("trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp")
TRAINING, TESTING = 40, 3


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photos of which every other one holds no word."""
    root = tmp_path_factory.mktemp("photos")
    for split, number in (("train", TRAINING), ("test", TESTING)):
        for folder in ("images", "gts"):
            (root / split / folder).mkdir(parents=True)
        for i in range(number):
            polygons = [box(8, 8, 50, 20)] * (i % 2)
            Image.fromarray(sample(96, 96, polygons).image).save(root / split / "images" / f"{split}_{i}.jpg")
            (root / split / "gts" / f"gt_{split}_{i}.txt").write_text("8,8,58,8,58,28,8,28,cat\n" * (i % 2))
    return root


def train(root, folder, *overrides, flags=()):
    options = (f"data.root={root}", "data=icdar2015", "data.train.transforms.size=96", "data.batch_size=1", *overrides)
    recorder = ("+callbacks.recorder._target_=tests.integration.recorder.Recorder", f"+callbacks.recorder.folder={folder}")
    line = [sys.executable, "-m", "dld_spotter.train", *flags, *SMALL, *TWO, *options, *recorder, f"paths.output_dir={folder}"]
    folder.mkdir(exist_ok=True)
    return subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def two(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    ended = train(photos, folder, "trainer.limit_train_batches=5", "trainer.limit_val_batches=1.0")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended, folder


def seen(folder, stage):
    return [json.loads((folder / f"{stage}_{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["teacher", "distillation"])
def test_processes_share_the_weights_and_nothing_else(two, stage):
    first, second = seen(two[1], stage)
    assert first["world"] == second["world"] == 2
    assert first["start"] == second["start"] != first["end"] == second["end"]
    assert len(first["train"]) == len(second["train"]) == 5
    assert not set(first["train"]) & set(second["train"])
    assert first["noise"] != second["noise"]


@pytest.mark.slow
def test_shares_are_measured_by_all_processes_though_one_has_no_words(two):
    metrics = pd.read_csv(two[1] / "metrics.csv")
    (last,) = metrics.dropna(subset="shares/roi").to_dict("records")
    assert min(last["shares/detection"], last["shares/roi"]) > 0
    first, second = (process["weights"] for process in seen(two[1], "distillation"))
    assert first == second
    assert first["roi"] == pytest.approx(last["weights/roi"]) != 1


@pytest.mark.slow
def test_every_validation_image_is_read_once(two):
    first, second = seen(two[1], "distillation")
    names = first["validation"] + second["validation"]
    assert len(names) == len(set(names)) > 0


@pytest.mark.slow
def test_the_first_process_alone_writes_and_reports(two):
    ended, folder = two
    assert ended.stdout.count("everything is in") == ended.stdout.count("distillation stage:") == 1
    assert "Traceback" not in ended.stderr
    assert TradeOff.read(folder / "tradeoff.json").images == TESTING
    assert sorted(path.name for path in folder.glob("*.csv")) == ["metrics.csv"]
    assert pd.read_csv(folder / "metrics.csv")["val/hmean"].notna().sum() == 2
    files = {path.name for path in (folder / "checkpoints").iterdir()}
    assert files == {"best.ckpt", "last.ckpt", "student.ckpt", "teacher", "teacher.ckpt"}
    load_checkpoint(folder / "checkpoints" / "student.ckpt").policy()


@pytest.mark.slow
def test_every_job_of_a_sweep_starts_its_processes(photos, tmp_path):
    overrides = ("stages.distillation.epochs=0", "trainer.limit_train_batches=1", "seed=1,2")
    ended = train(photos, tmp_path, *overrides, flags=["--multirun"])
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert [job.name for job in sorted(tmp_path.glob("*/tradeoff.json"))] == ["tradeoff.json"] * 2
    assert ended.stdout.count("in 2 processes") == 2


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [{0}, {1}, {0, 1}])
def test_an_error_in_training_ends_all_processes_with_one_sentence(photos, tmp_path, ranks):
    fault = ("+callbacks.fault._target_=tests.integration.recorder.Fault", f"+callbacks.fault.ranks={sorted(ranks)}")
    ended = train(photos, tmp_path, *fault)
    assert (ended.returncode, ended.stderr) == (1, "error: img_7.jpg is damaged\n"), ended.stdout
