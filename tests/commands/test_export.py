"""What can go wrong before anything is exported; whole exports are in ``tests/integration/test_onnx.py``."""

import sys

import pytest

from dld_spotter.core.errors import CheckpointError
from dld_spotter.core.words import Word
from dld_spotter.export import Trial, check, compare, describe, main
from dld_spotter.inference.checkpoint import load_checkpoint
from dld_spotter.inference.loading import load
from dld_spotter.inference.predictor import Reading
from tests.data.samples import box
from tests.small import CHARACTERS, SCALES
from tests.trained import make_checkpoint


def trial(text="cat", scale=0.5):
    reading = Reading((Word(box(0, 0, 9, 4), text, 0.9),), scale, 1.0, 0.1, 0.5, 20, 10)
    return Trial([reading], [scale], 0.5, 0.1)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["ckpt=absent.ckpt"], 1, "absent.ckpt does not exist"),
        (["quantize=int4"], 2, "quantize=int4"),
        (["images=none"], 2, "images"),
        (["images=0"], 2, "images=0"),
        (["quantise=int8"], 2, "quantise"),
    ],
)
def test_mistakes_are_told_in_one_sentence(tmp_path, monkeypatch, capsys, arguments, status, words):
    monkeypatch.setattr(sys, "argv", ["export", f"out={tmp_path / 'exported'}", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    _, err = capsys.readouterr()
    assert end.value.code == status
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert words in err


def test_meta_says_what_the_graphs_do_not(tmp_path):
    path = make_checkpoint(tmp_path / "student.ckpt")
    predictor = load(path, device="cpu")
    meta = describe(load_checkpoint(path), predictor)
    assert meta["charset"] == {"characters": CHARACTERS, "fold_case": False}
    assert meta["scales"] == list(SCALES)
    assert meta["postprocess"]["threshold"] == 0.05
    assert meta["provenance"]["part"] == "student"
    assert meta["gflops"]["selector"] == predictor.policy.gflops > 0
    pixels, words = 96 * 160, 3
    gflops = pixels * meta["gflops"]["per_pixel"] + words * meta["gflops"]["per_word"]
    assert gflops == pytest.approx(predictor.backend.cost(96, 160, words))


def test_disagreement_is_refused(tmp_path):
    check(trial(), trial(), tmp_path)
    with pytest.raises(CheckpointError, match="texts"):
        check(trial(), trial("cut"), tmp_path)
    with pytest.raises(CheckpointError, match="chooses other scales"):
        check(trial(), trial(scale=0.3), tmp_path)


def test_table_has_a_column_for_each():
    table = compare({"torch": trial(), "ONNX": trial("cut")}, {"ONNX": 1.0})
    assert [column.header for column in table.columns] == ["", "torch", "ONNX"]
    cells = dict(zip(table.columns[0].cells, table.columns[2].cells, strict=True))
    assert cells["texts equal"] == "0.00 %"
    assert cells["polygons within 0.5 px"] == "100.00 %"
