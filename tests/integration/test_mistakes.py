"""What goes wrong is told in one sentence, with the file and the line, and by the exit status."""

import resource
import subprocess
import sys

import pytest
from PIL import Image

from dld_spotter.tradeoff import TradeOff
from tests.data.samples import box, sample
from tests.integration.runs import SCENES, SMALL, run, train

WORD = "8,8,58,8,58,28,8,28,cat\n"


@pytest.fixture
def photos(tmp_path):
    """A data set in the form of ICDAR2015, ten images to train with and two to test with."""
    root = tmp_path / "photos"
    for split, number in (("train", 10), ("test", 2)):
        for folder in ("images", "gts"):
            (root / split / folder).mkdir(parents=True)
        for i in range(number):
            Image.fromarray(sample(96, 128, [box(8, 8, 50, 20)]).image).save(root / split / "images" / f"img_{i}.jpg")
            (root / split / "gts" / f"gt_img_{i}.txt").write_text(WORD)
    return root


def train_on(root, *overrides):
    crop = "data.train.transforms.size=96"
    return run("train", *SMALL, "data=icdar2015", f"data.root={root}", crop, f"paths.output_dir={root}/run", *overrides)


def cut(path):
    path.write_bytes(path.read_bytes()[:700])


def test_damaged_files_are_skipped_and_told(photos):
    for i in range(7):
        cut(photos / "train" / "images" / f"img_{i}.jpg")
    (photos / "test" / "gts" / "gt_img_1.txt").write_text(WORD + "1,2,3,cat\n")
    ended = train_on(photos, "stages.distillation.epochs=0")
    assert ended.status == 0, ended.stderr
    assert TradeOff.read(photos / "run" / "tradeoff.json").images == 1
    assert "7 of 10 entries were damaged and skipped" in ended.stdout
    assert f"{photos}/train/images/img_0.jpg cannot be read" in ended.stdout
    assert "1 of 2 entries were damaged and skipped" in ended.stdout
    assert f"{photos}/test/gts/gt_img_1.txt, line 2" in ended.stdout


def test_truncated_image_is_told_with_its_file(photos):
    for i in range(10):
        cut(photos / "train" / "images" / f"img_{i}.jpg")
    ended = train_on(photos, "data.strict=true")
    assert ended.status == 1
    assert f"{photos}/train/images/img_" in ended.error
    assert "truncated" in ended.error


def test_malformed_line_is_told_with_its_number(photos):
    for i in range(10):
        (photos / "train" / "gts" / f"gt_img_{i}.txt").write_text(WORD + "1,2,3,cat\n")
    ended = train_on(photos, "data.strict=true")
    assert ended.status == 1
    assert f"{photos}/train/gts/gt_img_" in ended.error
    assert "line 2" in ended.error
    assert "'1,2,3,cat'" in ended.error


def test_missing_folder(tmp_path):
    ended = train_on(tmp_path / "absent")
    assert ended.status == 1
    assert f"data.root={tmp_path}/absent" in ended.error


@pytest.mark.parametrize(
    ("override", "status", "words"),
    [
        ("objective.weights.cots=0.3", 2, "cots"),
        ("objective.weights.cost=cheap", 2, "cheap"),
        ("distillation=tokens", 2, "tokens"),
        ("selector.factors=[]", 2, "selector.factors"),
        ("scales=[1.0,0.5]", 2, "scales"),
        ("stages.teacher.checkpoint=absent.ckpt", 1, "absent.ckpt does not exist"),
        ("data.batch_size=3000", 2, "data.batch_size=3000"),
        ("trainer.max_steps=0", 2, "trainer.max_steps=0"),
        ("trainer.limit_train_batches=0", 2, "trainer.limit_train_batches=0"),
        ("trainer.strategy=fast", 2, "fast"),
        ("trainer.devices=0", 2, "devices=0"),
    ],
)
def test_mistaken_overrides(tmp_path, override, status, words):
    ended = train(tmp_path, override)
    assert ended.status == status
    assert words in ended.error


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    ended = train(tmp_path / "file" / "run")
    assert ended.status == 1
    assert f"{tmp_path}/file/run: Not a directory" in ended.error
    assert "paths.output_dir" in ended.error


@pytest.mark.parametrize("kibibytes", [20, 200])
@pytest.mark.slow
def test_a_full_disk(tmp_path, kibibytes):
    """The system refuses to let a file grow, first within Lightning's checkpoint, then in that of the next stage."""
    module = [sys.executable, "-m", "dld_spotter.train", *SMALL, *SCENES, f"paths.output_dir={tmp_path}"]
    limit = kibibytes * 1024
    ended = subprocess.run(
        module,
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1), ended.stderr
    assert ended.stderr.startswith("error: ")
    assert "free some space" in ended.stderr


def test_two_photos_of_one_name(photos):
    picture = photos / "test" / "images" / "img_1.jpg"
    picture.with_suffix(".png").write_bytes(picture.read_bytes())
    ended = train_on(photos, "stages.distillation.epochs=0")
    assert ended.status == 1
    assert "2 images of the data set have the name img_1" in ended.error


def test_shell_sees_status_and_sentence(tmp_path):
    line = [sys.executable, "-m", "dld_spotter.predict", f"input={tmp_path}/absent.jpg", f"paths.output_dir={tmp_path}"]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"error: input={tmp_path}/absent.jpg does not exist")
    assert len(ended.stderr.splitlines()) == 1
