"""Whole commands for each family of ``conf/spotter``, chosen by one override: trained, measured, read for a budget."""

import json
from math import inf

import pytest
from PIL import Image

from dld_spotter.budget.cost import FlopCost
from dld_spotter.budget.operating_points import OperatingPoints
from dld_spotter.inference.checkpoint import amend, load_checkpoint
from tests.data.samples import box, sample
from tests.integration.runs import SCENES, Ended, run
from tests.models.test_contract import FAMILIES, HEAVY, UNEXPORTED

SIDES = (96, 128)
TEST = tuple(option for option in SCENES if option.startswith("data.test"))
SMALL = ("debug=tiny", "scales=[0.5,1.0]", "thumbnail=32", "max_length=6", "trainer.precision=32-true")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[name for name in FAMILIES if name not in HEAVY])
def family(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(family, tmp_path_factory):
    """A run of both stages, on a handful of images."""
    folder = tmp_path_factory.mktemp(family)
    succeeded(run("train", f"spotter={family}", *SMALL, *SCENES, f"paths.output_dir={folder}"))
    return folder


@pytest.fixture(scope="module")
def student(folder):
    """Its student, with two scales to choose from."""
    path = folder / "checkpoints" / "student.ckpt"
    cost = FlopCost(load_checkpoint(path).spotter())
    half = cost.cost(*(side // 2 for side in SIDES)) / cost.cost(*SIDES)
    amend(path, {"operating_points": OperatingPoints((0.5, 1.0), (inf, inf), (0.0, -0.3), (half, 1.0), 9).to_dict()})
    return path, half


def succeeded(ended: Ended) -> Ended:
    assert ended.status == 0, ended.stderr
    return ended


def test_every_stage_of_training_leaves_its_weights(folder):
    assert {"teacher.ckpt", "student.ckpt", "best.ckpt", "last.ckpt"} <= {p.name for p in (folder / "checkpoints").iterdir()}
    points = json.loads((folder / "tradeoff.json").read_text())["points"]
    assert {point["method"] for point in points} >= {"static", "dynamic"}
    rows = (folder / "metrics.csv").read_text()
    assert all(f"train/{term}" in rows for term in ("detection", "recognition", "roi", "context", "sequence"))


def test_a_budget_is_held(student, tmp_path):
    checkpoint, half = student
    budget = round((half + 1) / 2, 3)
    succeeded(
        run(
            "evaluate",
            *(f"ckpt={checkpoint}", "data=scenes", *TEST, "data.test.length=40", "data.workers=0", "resamples=20"),
            *(f"paths.output_dir={tmp_path}", "device=cpu", f"budget={budget}"),
        )
    )
    found = json.loads((tmp_path / "evaluation.json").read_text())
    assert found["spent"]["budget"] == pytest.approx(budget, rel=0.1)


def test_it_is_measured_at_every_scale_and_reads_twice(student, tmp_path):
    checkpoint, _ = student
    given = (
        f"ckpt={checkpoint}",
        "data=scenes",
        *TEST,
        "data.test.length=3",
        "data.workers=0",
        "scales=[0.5,1.0]",
        "device=cpu",
    )
    succeeded(run("measure", *given, f"paths.output_dir={tmp_path}"))
    points = json.loads((tmp_path / "tradeoff.json").read_text())["points"]
    assert [point["scale"] for point in points if point["method"] == "static"] == [0.5, 1.0]
    Image.fromarray(sample(96, 128, [box(8, 8, 40, 14)], ["cat"]).image).save(tmp_path / "photo.png")
    read = tmp_path / "read.jsonl"
    twice = (f"input={tmp_path / 'photo.png'}", f"out={read}", "scale=0.5", "two_pass=true", "draw=false", "device=cpu")
    succeeded(run("predict", f"ckpt={checkpoint}", *twice, f"paths.output_dir={tmp_path}"))
    assert json.loads(read.read_text())["scale"] == 0.5


def test_an_export_is_written_or_refused_in_a_sentence(student, family, tmp_path):
    pytest.importorskip("onnx")
    ended = run("export", f"ckpt={student[0]}", f"out={tmp_path}", "images=2")
    if family in UNEXPORTED:
        assert ended.error == "error: export knows no graphs of TwoStageSpotter; give the checkpoint of another spotter"
    else:
        succeeded(ended)
        assert (tmp_path / "meta.json").is_file()
