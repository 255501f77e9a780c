"""What ``predict`` takes in and gives out: pages of PDF and TIFF, lines, text, hOCR, ALTO; and what it says of the rest."""

import json
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from dld_spotter.inference.many import notes_of
from dld_spotter.predict import main
from tests.data.samples import box, sample
from tests.inference.test_documents import reading_of
from tests.trained import make_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("predict") / "student.ckpt")


@pytest.fixture
def predict(checkpoint, tmp_path, monkeypatch, capsys):
    """Run the command; returns its exit status, stdout and stderr."""

    def run(*arguments):
        output = f"paths.output_dir={tmp_path / 'output'}"
        given = ["predict", f"ckpt={checkpoint}", "device=cpu", output, "scale=0.5", "draw=false", *arguments]
        monkeypatch.setattr(sys, "argv", given)
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return run


def picture(width=128):
    return Image.fromarray(sample(96, width, [box(8, 8, 50, 20)], ["cat"]).image)


def entries(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture
def folder(tmp_path):
    """A photo, a fax of two pages, and files that are none of them."""
    place = tmp_path / "photos"
    place.mkdir()
    picture().save(place / "a.png")
    picture(100).save(place / "fax.tif", save_all=True, append_images=[picture(110)])
    for name in ("b.heic", "c.txt", "d.txt", "._a.png"):
        (place / name).write_bytes(b"x")
    return place


def test_pages_are_read_one_by_one_and_gone_on_with(predict, folder, tmp_path):
    status, _, err = predict(f"input={folder}")
    out = tmp_path / "output" / "predictions.jsonl"
    found = [(entry["image"].rpartition("/")[2], entry.get("page"), entry["width"]) for entry in entries(out)]
    assert (status, found) == (0, [("a.png", None, 128), ("fax.tif", 1, 100), ("fax.tif", 2, 110)])
    assert "note: files of formats that are not read were left out: 1 .heic, 2 .txt" in err
    assert "3 of 3 images read" in err
    lines = out.read_text("utf-8").splitlines(keepends=True)
    out.write_text("".join(lines[:2]), "utf-8")
    assert "1 of 3 images read, 2 were there before" in predict(f"input={folder}")[2]
    assert [entry.get("page") for entry in entries(out)] == [None, 1, 2]


def test_pages_of_a_pdf_have_the_size_that_was_asked_for(predict, folder, tmp_path):
    pytest.importorskip("pypdfium2")
    picture().save(tmp_path / "paper.pdf", save_all=True, append_images=[picture()], resolution=64)  # 2 by 1.5 inches
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4")
    status, out, err = predict(f"input=[{tmp_path}/paper.pdf,{tmp_path}/broken.pdf]", "dpi=50", "out=-")
    assert [(entry["page"], entry["width"], entry["height"]) for entry in map(json.loads, out.splitlines())] == [
        (1, 100, 75),
        (2, 100, 75),
    ]
    assert (status, "broken.pdf cannot be read as a PDF" in err) == (1, True)
    assert "1 of 3 images could not be read" in err


def test_lines_hold_the_same_words(predict, folder, tmp_path):
    found = {}
    for output in ("words", "lines"):
        assert predict(f"input={folder}/a.png", f"output={output}", f"out={tmp_path / output}")[0] == 0
        (found[output],) = entries(tmp_path / output)
    words = [word for line in found["lines"]["lines"] for word in line["words"]]
    assert words == found["words"]["words"]
    assert all({"polygon", "text", "score", "block"} < set(line) for line in found["lines"]["lines"])


@pytest.mark.parametrize(("output", "suffix"), [("text", ".txt"), ("hocr", ".hocr"), ("alto", ".alto.xml")])
def test_documents_are_a_file_for_each_image(predict, folder, tmp_path, output, suffix):
    assert predict(f"input={folder}", f"output={output}")[0] == 0
    place = tmp_path / "output" / output
    names = sorted(path.name for path in place.iterdir())
    assert names == [f"a.png{suffix}", f"fax.tif-1{suffix}", f"fax.tif-2{suffix}"]
    if output != "text":
        assert all(ElementTree.parse(place / name).getroot() is not None for name in names)
    (place / names[1]).unlink()
    assert "1 of 3 images read, 2 were there before" in predict(f"input={folder}", f"output={output}")[2]


def test_text_on_standard_output_keeps_images_apart(predict, folder):
    status, out, _ = predict(f"input={folder}", "output=text", "out=-")
    assert (status, out.count("\f")) == (0, 2)
    assert out.endswith("\n")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["output=xml"], 2, "output=xml is unknown; give one of words, lines, text, hocr, alto"),
        (["output=hocr", "out=-"], 2, "one document for each of 3 images"),
        (["output=alto", "out={}/a.png"], 1, "a.png is a file"),
        (["tiles=maybe"], 2, "tiles=maybe is unknown"),
        (["tiles=false", "overlap=100"], 2, "overlap=100 is that of tiles, and tiles=false makes none; leave out one of them"),
        (["shards=4"], 2, "shards=4 acts with workers= alone; give both, or leave it out"),
        (["overlap=9999"], 2, "overlap=9999 must be from 0 to 640"),
        (["scale=9"], 2, "scale=9 must be above 0 and at most 4"),
    ],
)
def test_mistakes_are_told_in_one_sentence(predict, folder, arguments, status, words):
    found, out, err = predict(f"input={folder}", *(argument.format(folder) for argument in arguments))
    assert (found, out, len(err.splitlines())) == (status, "", 1)
    assert words in err


def test_turned_and_long_images_are_read_from_the_shell(predict, tmp_path):
    Image.fromarray(np.full((40, 3000, 3), 200, np.uint8)).save(tmp_path / "long.png")
    for rule, several in (("tiles=auto", True), ("tiles=false", False)):
        status, out, err = predict(f"input={tmp_path}/long.png", "orientation=true", rule, "out=-")
        (entry,) = map(json.loads, out.splitlines())
        assert (status, entry["pieces"] > 1, entry["turned"]) == (0, several, 0)
    assert "tiles=true" not in err  # made 2.3 times smaller


def test_what_was_lost_by_making_an_image_smaller_is_said():
    reading = reading_of([], 12000, 300)
    assert notes_of(reading) == []
    object.__setattr__(reading, "reduced", 9.375)
    assert notes_of(reading) == [
        "12000 x 300 pixels were made 9.4 times smaller, and small text is lost; tiles=true reads all of them"
    ]
