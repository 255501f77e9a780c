import io
import json
import os
import sys

import numpy as np
import pytest
from PIL import Image

from dld_spotter.core.errors import DataError
from dld_spotter.inference.inputs import find_images
from dld_spotter.inference.many import picture_paths
from dld_spotter.inference.writers import open_output
from dld_spotter.metrics.formats import read_annotations
from dld_spotter.predict import main
from tests.data.samples import box, sample
from tests.trained import make_checkpoint

KEYS = [
    "image",
    "width",
    "height",
    "scale",
    "second_pass",
    "relative_cost",
    "gflops",
    "seconds",
    "dropped",
    "pieces",
    "turned",
    "words",
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("predict") / "student.ckpt")


@pytest.fixture
def photos(tmp_path):
    """Two photos, one of them in a subfolder, and a file that is none."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for path, shape in ((folder / "a.png", (96, 128)), (folder / "more" / "b.jpg", (64, 80))):
        Image.fromarray(sample(*shape, [box(8, 8, 50, 20)], ["cat"]).image).save(path)
    (folder / "readme.txt").write_text("no photo")
    return folder


@pytest.fixture
def predict(checkpoint, tmp_path, monkeypatch, capsys):
    """Run the command; returns its exit status, stdout and stderr."""

    def run(*arguments):
        output = f"paths.output_dir={tmp_path / 'output'}"
        monkeypatch.setattr(sys, "argv", ["predict", f"ckpt={checkpoint}", "device=cpu", output, *arguments])
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return run


def read_lines(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_folder_becomes_json_lines_that_score_reads(predict, photos, tmp_path):
    status, out, err = predict(f"input={photos}", "scale=0.5")
    assert (status, out) == (0, "")
    assert "1 of 1 images read" in err
    file = tmp_path / "output" / "predictions.jsonl"
    (entry,) = read_lines(file)
    assert list(entry) == KEYS
    assert (entry["image"], entry["width"], entry["height"], entry["scale"]) == (str(photos / "a.png"), 128, 96, 0.5)
    assert entry["words"]
    for word in entry["words"]:
        assert list(word) == ["polygon", "text", "score"]
        assert np.array(word["polygon"]).shape[1] == 2
        assert 0 <= word["score"] <= 1
    assert len(read_annotations(file, "end_to_end", "rrc").images["a"]) == len(entry["words"])


def test_photos_are_read_in_batches(predict, photos, tmp_path):
    for number in range(3):
        Image.fromarray(sample(96, 128, [box(8, 8 + 20 * number, 50, 20)], ["cat"]).image).save(photos / f"c{number}.png")
    (photos / "d.png").write_bytes(b"no image")
    lines = {}
    for batch in (1, 3):
        out = tmp_path / f"{batch}.jsonl"
        assert predict(f"input={photos}", f"out={out}", f"batch={batch}", "draw=false")[0] == 1
        lines[batch] = [entry | {"seconds": 0} for entry in read_lines(out)]
    assert [entry["image"] for entry in lines[3]] == [str(photos / name) for name in ("a.png", "c0.png", "c1.png", "c2.png")]
    for one, three in zip(lines[1], lines[3], strict=True):
        assert [word["text"] for word in one.pop("words")] == [word["text"] for word in three.pop("words")]
        assert one == three
    assert "batch=0 must be at least 1" in predict(f"input={photos}", "batch=0")[2]


def test_a_second_pass_is_charged(predict, photos, tmp_path):
    out = [tmp_path / f"{passes}.jsonl" for passes in (1, 2)]
    settings = ["scale=0.5", "draw=false", "second_pass.threshold=0.01", "second_pass.gain_threshold=0"]
    assert predict(f"input={photos}", f"out={out[0]}", *settings[:2])[0] == 0
    status, _, err = predict(f"input={photos}", *settings)
    assert (status, "acts with two_pass=true alone" in err) == (2, True)
    assert predict(f"input={photos}", f"out={out[1]}", "two_pass=true", *settings)[0] == 0
    (once,), (twice,) = map(read_lines, out)
    assert twice["scale"] == once["scale"] == 0.5
    assert twice["gflops"] > once["gflops"]
    status, _, err = predict(f"input={photos}", "two_pass=true", "second_pass.threshold=2")
    assert status == 2
    assert "0 < threshold < 1" in err


def test_earlier_names_of_settings_go_on_working(predict, photos, tmp_path):
    now = ["two_pass=true", "second_pass.threshold=0.01", "second_pass.gain_threshold=0", "second_pass.min_height=9"]
    before = ["second_look=true", "escalation.threshold=0.01", "escalation.price=0", "escalation.legible=9"]
    found = []
    for number, settings in enumerate((now, before)):
        out = tmp_path / f"{number}.jsonl"
        assert predict(f"input={photos}", f"out={out}", "scale=0.5", "draw=false", *settings)[0] == 0
        found.append([entry | {"seconds": 0} for entry in read_lines(out)])
    assert found[0] == found[1]


def test_no_photo_costs_more_than_it_may(predict, photos, tmp_path):
    Image.new("RGB", (20, 20)).save(photos / "icon.png")  # as many padded pixels at every scale
    out = tmp_path / "words.jsonl"
    status, _, err = predict(f"input={photos}", f"out={out}", "max_cost=0.5", "draw=false")
    assert status == 1
    assert "icon.png: max_cost=0.5 cannot be met: an image of 20 x 20 pixels takes" in err
    assert [entry["relative_cost"] <= 0.5 for entry in read_lines(out)] == [True]
    status, _, err = predict(f"input={photos}/a.png", "max_cost=0")
    assert status == 2
    assert "max_cost=0 must be above 0" in err


def test_images_of_one_name_are_told(predict, photos, tmp_path):
    first = next(path for path in sorted(photos.iterdir()) if path.suffix == ".png")
    copy = first.with_suffix(".PNG")
    copy.write_bytes(first.read_bytes())
    status, _, err = predict(f"input=[{first},{copy}]", "out=-")
    assert status == 0
    assert "note: 2 images share their name with another one, such as" in err


def test_stdout(predict, photos):
    status, out, _ = predict(f"input=[{photos}/a.png,{photos}/more]", "out=-", "gamma=0.3")
    assert status == 0
    assert [json.loads(line)["width"] for line in out.splitlines()] == [128, 80]


def test_drawn_pictures_keep_their_folders(predict, photos, tmp_path):
    assert predict(f"input='{photos}/**/*.*g'", "draw=true")[0] == 0
    drawn = tmp_path / "output" / "drawn"
    assert sorted(path.relative_to(drawn).as_posix() for path in drawn.rglob("*.*")) == ["a.png", "more/b.jpg"]
    assert Image.open(drawn / "a.png").size[0] >= 800


def test_pictures_have_places_of_their_own(tmp_path):
    names = ["a/x.jpg", "a/x.png", "b/x.jpg", "b/scan"]
    paths = picture_paths([tmp_path / name for name in names], tmp_path / "out")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in paths.values()] == [*names[:3], "b/scan.png"]


def test_goes_on_where_it_stopped(predict, photos, tmp_path):
    out = tmp_path / "words.jsonl"
    assert predict(f"input={photos}", f"out={out}")[0] == 0
    first = out.read_text("utf-8")
    out.write_text(first + '{"image": "' + str(photos / "more"), "utf-8")  # killed in the middle of a line
    status, _, err = predict(f"input=[{photos},{photos}/more]", f"out={out}")
    assert status == 0
    assert "1 of 2 images read, 1 were there before" in err
    assert out.read_text("utf-8").startswith(first)
    assert [entry["width"] for entry in read_lines(out)] == [128, 80]


def test_damaged_photo_is_told_and_the_others_read(predict, photos, tmp_path):
    content = (photos / "more" / "b.jpg").read_bytes()
    (photos / "0.jpg").write_bytes(content[: len(content) // 2])
    status, _, err = predict(f"input={photos}")
    assert status == 1
    assert "0.jpg cannot be read" in err
    assert err.splitlines()[-1].startswith("error: 1 of 2 images could not be read")
    assert [entry["image"] for entry in read_lines(tmp_path / "output" / "predictions.jsonl")] == [str(photos / "a.png")]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "input= is missing"),
        (["input={}/absent.jpg"], 1, "absent.jpg does not exist"),
        (["input={}/*.webp"], 1, "*.webp matches no file"),
        (["input={}/empty"], 1, "empty holds no image"),
        (["input=[]"], 1, "empty list"),
        (["input={}/../broken.jpg"], 1, "broken.jpg cannot be read as an image"),
        (["input={}", "out={}/a.png/words.jsonl"], 1, "a.png: "),
        (["input={}", "budget=0"], 2, "budget=0 must be above 0"),
        (["input={}", "out={}"], 1, "is no file that could be gone on with"),
        (["input={}", "out=/dev/full"], 1, "is no file that could be gone on with"),
        (["input={}", "ckpt=absent.ckpt"], 1, "absent.ckpt does not exist"),
        (["input={}", "gamma=0.7"], 2, "choose one of 0.05, 0.1, 0.3"),
        (["input={}", "scale=large"], 2, "scale"),
        (["input={}", "bugdet=0.3"], 2, "bugdet"),
        (["input={}", "max_pixels=0"], 2, "max_pixels=0 must be from 1"),
        (["input={}/a.png", "max_pixels=100"], 1, "pixels, and at most 100 are read (max_pixels)"),
        (["input={}", "device=abacus"], 2, "device=abacus"),
    ],
)
def test_mistakes_are_told_in_one_sentence(predict, photos, arguments, status, words):
    (photos / "empty").mkdir()
    (photos.parent / "broken.jpg").write_text("no photo")
    found, out, err = predict(*(argument.format(photos) for argument in arguments))
    assert (found, out) == (status, "")
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert words in err


def test_find_images(photos, monkeypatch):
    a, b = photos / "a.png", photos / "more" / "b.jpg"
    (photos / "list.txt").write_text(f"{a}\n\n{photos}/more\n{a}\n", "utf-8-sig")
    assert find_images(str(photos)) == [a]
    assert find_images(str(photos / "**" / "*")) == [a, b]
    assert find_images(str(photos / "list.txt")) == [a, b]
    assert find_images([str(b), str(photos), str(a)]) == [b, a]
    monkeypatch.chdir(photos)
    assert [str(path) for path in find_images("*.png")] == ["a.png"]


def test_names_from_standard_input(photos, monkeypatch):
    def pipe(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    pipe(f"{photos}/a.png\n\n{photos}/more\n".encode())
    assert find_images("-") == [photos / "a.png", photos / "more" / "b.jpg"]
    for content, words in ((b"", "is empty"), ((photos / "a.png").read_bytes(), "is no text")):
        pipe(content)
        with pytest.raises(DataError, match=words):
            find_images("-")


def test_first_frame_is_read(predict, photos, tmp_path):
    first = Image.open(photos / "a.png")
    first.save(photos / "moving.gif", save_all=True, append_images=[first.rotate(180)])
    assert predict(f"input={photos}/moving.gif", "out=-")[0] == 0


def test_output_of_others_is_refused(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("something else\n")
    with pytest.raises(DataError, match=r"notes\.txt, line 1"), open_output(str(file)):
        pass
    assert file.read_text() == "something else\n"


def test_names_that_are_not_utf8_lead_back_to_their_photos(predict, photos, tmp_path):
    odd = photos / os.fsdecode(b"caf\xe9.png")
    (photos / "a.png").rename(odd)
    out = tmp_path / "out.jsonl"
    for told in ("1 of 1 images read", "1 were there before"):
        status, _, err = predict(f"input={photos}", f"out={out}", "scale=0.5", "draw=false")
        assert (status, told in err) == (0, True)
    (entry,) = read_lines(out)
    assert entry["image"] == str(odd)


def test_what_is_left_out_of_a_folder_is_told(predict, photos):
    for name in ("b.heic", "c.heic", "d.docx", "._a.png", ".hidden"):
        (photos / name).write_bytes(b"")
    err = predict(f"input={photos}", "scale=0.5", "draw=false")[2]
    assert "1 of 1 images read" in err
    assert "left out: 1 .docx, 2 .heic" in err


def test_one_pass_beside_operating_points_that_read_twice_is_refused(predict, photos, tmp_path):
    points = make_checkpoint(tmp_path / "points.ckpt", operating_points=True)
    for settings, status in ((["two_pass=false"], 2), (["two_pass=false", "scale=0.5"], 0), ([], 0)):
        assert (
            predict(f"input={photos}", f"ckpt={points}", "draw=false", f"out={tmp_path}/{status}.jsonl", *settings)[0] == status
        )
    err = predict(f"input={photos}", "two_pass=true", "second_pass.gain_threshold=inf")[2]
    assert "means no second pass" in err


@pytest.mark.parametrize(
    ("end", "status", "told"), [(BrokenPipeError(), 141, ""), (KeyboardInterrupt(), 130, "the same command")]
)
def test_ends_that_a_user_chooses_are_quiet(predict, photos, monkeypatch, end, status, told):
    def stop(*_, **__):
        raise end

    monkeypatch.setattr("dld_spotter.predict.read_all", stop)
    monkeypatch.setattr("dld_spotter.config.entry.close_output", lambda: None)
    found, out, err = predict(f"input={photos}/a.png", "out=-")
    assert (found, out, len(err.splitlines())) == (status, "", bool(told))
    assert told in err
