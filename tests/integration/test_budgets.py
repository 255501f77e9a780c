"""From a training to budgets: the calibration travels in the checkpoints, and commands spend what was asked for."""

import json

import pytest
import torch
from PIL import Image

from dld_spotter.budget.calibration import Calibration
from dld_spotter.budget.cost import FlopCost
from dld_spotter.inference.checkpoint import amend, load_checkpoint
from dld_spotter.selection.survey import calibrate
from tests.data.samples import box, sample
from tests.integration.runs import SCENES, run, train
from tests.small import make_batch

SMALL_SCENES = tuple(option for option in SCENES if option.startswith("data.test"))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    ended = train(folder, "scales=[0.3,0.5,0.7,1.0]", "data.validation.length=12")
    assert ended.status == 0, ended.stderr
    return folder / "checkpoints"


@pytest.fixture(scope="module")
def student(checkpoints, tmp_path_factory):
    """The student of that run with a selector for which scales differ, as after more than two steps."""
    path = tmp_path_factory.mktemp("student") / "student.ckpt"
    content = torch.load(checkpoints / "student.ckpt", weights_only=True)
    preferences = torch.eye(4)[[3, 2, 0]]  # the three heads take 1.0, 0.7 and 0.3
    for name, value in {"out.weight": 0, "out.bias": preferences.flatten()}.items():
        content["state_dict"][f"selector.network.{name}"][:] = value
    content["state_dict"]["selector.of_size.weight"][:] = 0
    torch.save(content, path)
    whole = load_checkpoint(path)
    images = [sample(96, 128, [box(8, 8, 20, 6 + 4 * i)], ["cat"], name=f"{i}") for i in range(12)]
    known = calibrate(whole.policy(), [make_batch(images, (1.0,))], FlopCost(whole.spotter()))
    amend(path, {"calibration": known.to_dict()})
    return path, known


def evaluate(checkpoint, folder, *overrides):
    ended = run(
        "evaluate",
        *(f"ckpt={checkpoint}", "data=scenes", *SMALL_SCENES, "data.test.length=40", "data.workers=0"),
        *(f"paths.output_dir={folder}", "resamples=20", "device=cpu", *overrides),
    )
    assert ended.status == 0, ended.stderr
    return json.loads((folder / "evaluation.json").read_text()), ended


def test_every_checkpoint_of_the_selected_weights_knows_what_it_spends(checkpoints):
    known = load_checkpoint(checkpoints / "student.ckpt").provenance["calibration"]
    calibration = Calibration.from_dict(known, "student.ckpt")
    best = load_checkpoint(checkpoints / "best.ckpt")
    assert best.provenance["calibration"] == calibration.to_dict()
    assert {"teacher", "student", "selector"} == set(best.parts())
    assert calibration.images == 12
    assert 0 < calibration.low <= calibration.high < 1.2


def test_evaluation_spends_what_was_asked_for(student, tmp_path):
    checkpoint, calibration = student
    budget = round((calibration.low + calibration.high) / 2, 3)
    found, ended = evaluate(checkpoint, tmp_path, f"budget={budget}")
    assert found["requested"]["budget"] == budget
    assert found["spent"]["budget"] == pytest.approx(budget, rel=0.1)
    assert f"budget={budget:g}: " in ended.stdout


def test_predictions_end_with_what_was_spent(student, tmp_path):
    checkpoint, _ = student
    for number in range(3):
        Image.fromarray(sample(96, 128 + number, [box(8, 8, 50, 20)], ["cat"]).image).save(tmp_path / f"{number}.png")
    options = [f"ckpt={checkpoint}", f"input={tmp_path}", f"out={tmp_path / 'words.jsonl'}", "draw=false", "device=cpu"]
    ended = run("predict", *options, "budget=1", f"paths.output_dir={tmp_path}")
    assert ended.status == 0, ended.stderr
    assert "of full resolution spent per image" in ended.stderr


@pytest.mark.parametrize(("batch", "kept"), [(1, 4), (3, 4)])
def test_predictions_that_were_cut_off_go_on_to_the_same_end(student, tmp_path, batch, kept):
    """Photos of one batch are decided on together: where it was cut off, those that are left must not know of the others."""
    checkpoint, calibration = student
    for number in range(10):
        image = sample(96, 128 + 8 * number, [box(8, 8, 50 + 5 * number, 20)], ["cat"]).image
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    budget = round((calibration.low + calibration.high) / 2, 3)
    options = [f"ckpt={checkpoint}", f"input={tmp_path}", "draw=false", "device=cpu", f"batch={batch}", f"budget={budget}"]
    out, lines = tmp_path / "words.jsonl", []
    for _ in range(2):
        ended = run("predict", *options, f"out={out}", f"paths.output_dir={tmp_path}/run")
        assert ended.status == 0, ended.stderr
        found = [json.loads(line) | {"seconds": 0} for line in out.read_text().splitlines()]
        assert len(found) == 10
        lines.append(found)
        out.write_text("".join(out.read_text().splitlines(keepends=True)[:kept]))
    assert lines[0] == lines[1]
    assert len({line["scale"] for line in lines[0]}) > 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("budget=0.5", "gamma=0.1"), "gamma=0.1 and budget=0.5 exclude each other"),
        (("budget=0.0001",), "budget=0.0001 cannot be met"),
    ],
)
def test_what_cannot_be_is_a_sentence(checkpoints, tmp_path, options, sentence):
    ended = run("evaluate", f"ckpt={checkpoints / 'student.ckpt'}", *SMALL_SCENES, f"paths.output_dir={tmp_path}", *options)
    assert ended.status == 2
    assert sentence in ended.error


def test_measuring_tells_the_selection_bias_of_the_oracle(checkpoints, tmp_path):
    ended = run(
        "measure",
        *(f"ckpt={checkpoints / 'student.ckpt'}", *SMALL_SCENES, "images=4", "data.workers=0", "jitter=1", "resamples=20"),
        *(f"paths.output_dir={tmp_path}", "device=cpu", "task=detection"),
    )
    assert ended.status == 0, ended.stderr
    rows = json.loads((tmp_path / "oracle_bias.json").read_text())["student"]
    assert rows
    assert rows[0].keys() == {"budget", "hmean", "again", "bias", "share"}
    assert (tmp_path / "outcomes_student_again.npz").is_file()
