"""What a user is told about a data set."""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dld_spotter.check_data import main, samples_of
from dld_spotter.core.charset import Charset
from dld_spotter.data.collate import Collate
from dld_spotter.data.inspection import PROBLEMS
from dld_spotter.metrics.formats import read_annotations
from tests.data.samples import box, sample, write_crops

GOOD = "4,4,40,4,40,20,4,20,word"


def photo(seed: int, height: int = 32, width: int = 48) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8))


def write(root: Path, truths: dict[str, str | bytes | None]) -> Path:
    """Write images that differ, and their ground truth; None leaves it out."""
    for number, (name, truth) in enumerate(truths.items()):
        (root / "images").mkdir(parents=True, exist_ok=True)
        (root / "gts").mkdir(exist_ok=True)
        photo(number).save(root / "images" / f"{name}.png")
        if truth is not None:
            (root / "gts" / f"gt_{name}.txt").write_bytes(truth.encode() if isinstance(truth, str) else truth)
    return root


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """Run the command; returns its exit status, stdout and stderr."""

    def run(*arguments):
        output = f"paths.output_dir={tmp_path / 'output'}"
        monkeypatch.setattr(sys, "argv", ["check_data", output, "workers=0", *map(str, arguments)])
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return run


def census(run) -> dict:
    status, out, err = run
    found = json.loads(out)
    assert status == bool(found["unusable_parts"] or found["overlap"]), err
    return found


def test_a_clean_data_set(check, tmp_path):
    root = write(tmp_path / "d", {f"img_{n}": f"{GOOD}\n{GOOD.replace('4,', '6,', 1)[:-4]}###\n" for n in range(40)})
    found = census(check("data=folder", f"data.root={root}", "json=true"))
    assert found["problems"] == {}
    assert found["unusable_parts"] == {}
    assert list(found["parts"]) == ["train", "validation", "test", "all"]
    assert found["parts"]["all"] == {
        "images": 40,
        "damaged": 0,
        "without_words": 0,
        "words": 80,
        "ignored": 40,
        "without_text": 0,
        "outside_charset": 0,
        "too_long": 0,
        "readable": 40,
    }
    assert sum(found["parts"][part]["images"] for part in ("train", "validation", "test")) == 40
    assert found["word_heights"]["counts"] == [0, 0, 0, 0, 40, 0, 0, 0, 0, 0, 0], "16 pixels high"
    assert found["word_heights"]["percentiles"]["50"] == 16
    assert found["image_long_sides"]["counts"][:2] == [40, 0]
    assert (tmp_path / "output" / "problems.txt").read_text() == ""
    assert Image.open(tmp_path / "output" / "sheet.jpg").size[0] > 1500


WRONG = {
    "outside the image": "4,4,60,4,60,20,4,20,word",
    "wholly outside": "50,4,60,4,60,20,50,20,word",
    "self-intersecting": "4,4,40,20,40,4,4,20,word",
    "zero area": "4,4,40,4,40,4,4,4,word",
    "counter-clockwise": "4,20,40,20,40,4,4,4,word",
    "repeated word": f"{GOOD}\n{GOOD}",
    "no text": "4,4,40,4,40,20,4,20,",
    "coordinates in the text": "4,4,20,4,40,4,40,20,20,20,4,20,word",
    "wrong encoding": "4,4,40,4,40,20,4,20,caf\u00c3\u00a9",
    "damaged": "4,4,40,4,40,20,4,word",
}


@pytest.mark.parametrize(("kind", "truth"), WRONG.items())
def test_each_kind_of_problem_is_named_alone(check, tmp_path, kind, truth):
    root = write(tmp_path / "d", {"img_1": GOOD, "img_2": GOOD, "bad": truth})
    found = census(check("data=folder", f"data.root={root}", "json=true"))
    assert {name: entry["count"] for name, entry in found["problems"].items()} == {kind: 1}
    assert "bad." in found["problems"][kind]["examples"][0]
    assert found["parts"]["all"]["images"] == 3
    *unusable, line = (tmp_path / "output" / "problems.txt").read_text("utf-8").splitlines()
    assert len(unusable) == len(found["unusable_parts"])
    assert line == f"{kind}: {found['problems'][kind]['examples'][0]}"


def test_files_that_are_damaged_are_counted_with_file_and_line(check, tmp_path):
    truths = {"cut": GOOD, "empty": GOOD, "lost": None, "latin": f"{GOOD}\n{GOOD}\u00e9".encode("latin-1"), "good": GOOD}
    root = write(tmp_path / "d", truths)
    whole = (root / "images" / "cut.png").read_bytes()
    (root / "images" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (root / "images" / "empty.png").write_bytes(b"")
    found = census(check("data=folder", f"data.root={root}", "json=true", "examples=null"))
    assert found["parts"]["all"]["damaged"] == 4
    messages = "\n".join(found["problems"]["damaged"]["examples"])
    for expected in (
        "cut.png cannot be read",
        "empty.png cannot be read",
        "gt_lost.txt",
        "gt_latin.txt, line 2: expected UTF-8",
    ):
        assert expected in messages


def orphaned(root: Path) -> Path:
    write(root, {f"img_{n}": GOOD for n in range(3)})  # one for each part
    (root / "gts" / "gt_gone.txt").write_text(GOOD)
    (root / "gts" / "lost.txt").write_text(GOOD)
    return root


def test_a_truth_without_its_image_is_reported_once_and_counted(check, tmp_path):
    root = orphaned(tmp_path / "d")
    found = census(check("data=folder", f"data.root={root}", "json=true", "examples=1", "limit=1"))
    assert found["problems"].keys() == {"without image"}
    assert found["problems"]["without image"]["count"] == 2
    assert f"{root}/gts/gt_gone.txt has no image" in found["problems"]["without image"]["examples"][0]
    assert found["parts"]["all"]["images"] == 3
    lines = (tmp_path / "output" / "problems.txt").read_text("utf-8").splitlines()
    assert [line.partition(" has no")[0] for line in lines] == [
        f"without image: {root}/gts/{name}.txt" for name in ("gt_gone", "lost")
    ]


def test_strict_stops_at_a_truth_without_its_image(check, tmp_path):
    status, out, err = check("data=folder", f"data.root={orphaned(tmp_path / 'd')}", "data.strict=true")
    assert (status, out) == (1, "")
    assert "gts/gt_gone.txt has no image" in err


def test_images_that_are_blank_turned_or_there_twice(check, tmp_path):
    root = write(tmp_path / "d", {"one": GOOD, "two": GOOD, "blank": GOOD, "turned": ""})
    photo(0).save(root / "images" / "two.png")
    Image.new("RGB", (48, 32), "navy").save(root / "images" / "blank.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(9).save(root / "images" / "turned.png", exif=exif)
    photo(10).save(root / "images" / "one.jpg")
    found = census(check("data=folder", f"data.root={root}", "json=true"))
    counts = {kind: entry["count"] for kind, entry in found["problems"].items()}
    assert counts == {"blank": 1, "duplicate image": 1, "duplicate name": 1, "turned by EXIF": 1}, "one.png and one.jpg"
    assert found["parts"]["all"]["without_words"] == 1


def test_an_image_in_two_parts_is_a_leak(check, tmp_path):
    for split in ("train", "test"):
        write(tmp_path / "d" / split, {f"img_{n}": GOOD for n in range(20)})
    found = census(check("data=icdar2015", f"data.root={tmp_path / 'd'}", "json=true", "examples=null"))
    leaks = found["problems"]["duplicate image"]
    assert leaks["count"] == 20
    assert all("belongs to" in message for message in leaks["examples"])


def test_parts_that_share_a_folder_end_as_training_would(check, tmp_path):
    root = write(tmp_path / "d", {f"img_{n}": GOOD for n in range(20)})
    status, _, err = check("data=icdar2015", f"data.root={root}")
    assert status == 1
    (sentence,) = [line for line in err.splitlines() if line.startswith("error:")]
    assert "training would be refused: data.train and data.test share" in sentence
    assert "data=folder" in sentence
    assert "share" in (tmp_path / "output" / "problems.txt").read_text().partition("\n")[0]


def test_an_image_that_is_listed_twice_is_told(check, tmp_path):
    write(tmp_path / "d", {"img_1": GOOD, "img_2": GOOD})
    words = [{"polygon": [[4, 4], [40, 4], [40, 20], [4, 20]], "text": "word"}]
    listed = [("img_1", "train"), ("img_1", "train"), ("img_2", "train"), ("img_2", "test")]
    lines = [json.dumps({"image": f"d/images/{name}.png", "split": split, "words": words}) for name, split in listed]
    (tmp_path / "words.jsonl").write_text("\n".join(lines))
    found = census(check("data=jsonl", f"data.root={tmp_path / 'words.jsonl'}", "parts=[train,test]", "json=true"))
    one, two = (tmp_path / "d" / "images" / f"img_{n}.png" for n in (1, 2))
    assert {kind: entry["examples"] for kind, entry in found["problems"].items()} == {
        "duplicate image": [f"train {one}: is listed twice", f"test {two}: belongs to train too"],
        "duplicate name": [f"train {one}: is listed twice"],
    }


def test_characters_and_lengths_follow_the_charset(check, tmp_path):
    truth = "\n".join([GOOD, GOOD.replace("word", "Été 5").replace("4,", "5,", 1), GOOD.replace("word", "x" * 30) + "\n"])
    root = write(tmp_path / "d", {"img_1": truth})
    found = census(check("data=folder", f"data.root={root}", "json=true"))
    assert found["unknown_characters"] == Counter("Éé ")
    counts = found["parts"]["all"]
    assert (counts["outside_charset"], counts["too_long"], counts["readable"]) == (1, 1, 1)
    folded = census(check("data=folder", f"data.root={root}", "json=true", "charset=alphanumeric", "max_length=30"))
    assert folded["unknown_characters"] == {"é": 2, " ": 1}
    assert folded["parts"]["all"]["readable"] == 2


def test_a_part_that_is_absent_is_told_and_the_others_are_checked(check, tmp_path):
    write(tmp_path / "d" / "test", {"img_1": GOOD})
    status, out, err = check("data=icdar2015", f"data.root={tmp_path / 'd'}")
    assert status == 1
    text = " ".join(out.split())
    assert "train cannot be used: data.root=" in text
    assert "holds none of the folders" in text
    assert "no problems were found in test" in text
    (sentence,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert "train and validation of data=icdar2015 cannot be used" in sentence
    assert "give parts=[test]" in sentence
    lines = (tmp_path / "output" / "problems.txt").read_text("utf-8").splitlines()
    assert [line.split(":")[0] for line in lines] == ["train cannot be used", "validation cannot be used"]


def test_a_test_set_alone_is_checked_alone(check, tmp_path):
    write(tmp_path / "d" / "test", {"img_1": GOOD})
    status, out, _ = check("data=icdar2015", f"data.root={tmp_path / 'd'}", "parts=[test]")
    assert status == 0
    assert "cannot be used" not in out
    assert "no problems were found" in out
    assert (tmp_path / "output" / "problems.txt").read_text() == ""


@pytest.mark.parametrize(("examples", "last"), [("3", "and 3 more in problems.txt"), ("6", "img_6.png"), ("null", "img_6.png")])
def test_examples_that_are_left_out_are_told_of(check, tmp_path, examples, last):
    root = write(tmp_path / "d", {f"img_{n}": WRONG["counter-clockwise"] for n in range(1, 7)})
    _, out, _ = check("data=icdar2015", f"data.root={root}", "parts=[test]", "picture=null", f"examples={examples}")
    section = "".join(out.partition("counter-clockwise (6)")[2].partition("written:")[0].split("\n")[1:])
    assert last in section.rpartition("  ")[2]
    assert ("more in" in out) == (examples == "3")
    corners = "[[4.0, 20.0], [40.0, 20.0], [40.0, 4.0], [4.0, 4.0]]"
    assert f"  {root}/images/img_1.png, word 1 'word': {corners}\n" in out, "one line"
    assert len((tmp_path / "output" / "problems.txt").read_text().splitlines()) == 6


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["data=folder"], 2, ["data.root= is missing"]),
        (["data=folder", "data.root=/no/where"], 1, ["data.root=/no/where is not a folder"]),
        (["limit=0", "data.root=x"], 2, ["limit=0", "at least 1"]),
        (["workers=null", "data.root=x"], 2, ["workers=None"]),
        (["max_length=0", "data.root=x"], 2, ["max_length=0 must be"]),
        (["data.strict=maybe", "data.root=x"], 2, ["data.strict=maybe must be true or false"]),
        (["picture=sheet.xyz", "data.root=x"], 2, ["picture=sheet.xyz", ".jpg or .png"]),
        (["parts=[tset]", "data.root=x"], 2, ["parts=[tset] must be", "train, validation, test"]),
        (["parts=[]", "data.root=x"], 2, ["parts=[] must be"]),
        (["charset=file", "charset_file=lost.txt", "data.root=x"], 2, ["error: charset_file=", "lost.txt cannot be read"]),
        (["parts=null", "data.root=x"], 2, ["parts=None must be"]),
    ],
)
def test_mistakes_are_one_line(check, arguments, status, words):
    found, _, err = check(*arguments)
    (line,) = err.splitlines()
    assert found == status
    assert all(word in line for word in words)


def test_nothing_readable_is_status_1(check, tmp_path):
    root = write(tmp_path / "d", {"img_1": "nonsense", "img_2": None})
    status, _, err = check("data=folder", f"data.root={root}", f"export={tmp_path / 'e.jsonl'}")
    assert status == 1
    assert "holds no image that can be read" in err
    assert not (tmp_path / "e.jsonl").exists()
    assert "line 1: expected x1,y1" in err


def test_a_rendered_set_becomes_files_that_read_back(check, tmp_path):
    file = tmp_path / "frozen" / "set.jsonl"
    before = census(check("data=scenes", "limit=3", "json=true", f"export={file}", "picture=null"))
    assert len(list((file.parent / "set_images").iterdir())) == 9
    after = census(check("data=jsonl", f"data.root={file.parent}", "json=true"))
    for key in ("parts", "unknown_characters", "word_heights", "image_long_sides", "problems"):
        assert after[key] == before[key]
    assert not Path(json.loads(file.read_text("utf-8").splitlines()[0])["image"]).is_absolute()
    assert len(read_annotations(file, truth=True).images) == 9, "score reads it"


@pytest.mark.parametrize("workers", [0, 1])
def test_strict_stops_at_the_first(check, tmp_path, workers):
    root = write(tmp_path / "d", {"img_1": GOOD, "img_2": f"{GOOD}\nnonsense"})
    status, _, err = check("data=folder", f"data.root={root}", "data.strict=true", f"workers={workers}")
    assert status == 1
    message = err.splitlines()[-1]
    assert message.startswith("error: ")
    assert "gt_img_2.txt, line 2: expected x1,y1" in message


def test_an_export_replaces_no_file(check, tmp_path):
    root = write(tmp_path / "d", {"img_1": GOOD})
    labels = tmp_path / "labels.jsonl"
    labels.write_text("precious")
    status, _, err = check("data=folder", f"data.root={root}", f"export={labels}")
    assert status == 2
    assert f"export={labels} exists already" in err
    assert labels.read_text() == "precious"


def test_a_mixture_is_looked_at_member_by_member(check, tmp_path):
    photos, scans = (write(tmp_path / name, {f"{name}_{n}": GOOD for n in range(3)}) for name in ("photos", "scans"))
    (scans / "images" / "scans_1.png").write_bytes(b"")
    crops = write_crops(tmp_path / "crops", [("word", np.asarray(photo(1)))] * 3)
    arguments = [f"data.photos={photos}", f"data.scans={scans}", f"data.crops={crops}"]
    found = census(check("data=real_mixed", *arguments, "limit=3", "json=true", "picture=null"))
    assert found["parts"]["train"]["images"] == 9
    assert found["parts"]["train"]["damaged"] == 1


@pytest.mark.parametrize("on_device", ["false", "true"])
def test_batches_are_drawn_as_training_sees_them(check, tmp_path, on_device):
    root = write(tmp_path / "d", {f"img_{n}": GOOD for n in range(12)})
    arguments = ["data=folder", f"data.root={root}", "picture=null", "data.batch_size=3"]
    arguments.append(f"data.train_collate.on_device={on_device}")
    status, out, _ = check(*arguments, "batches=2", "scales=[1.0,0.5,0.3]")
    assert status == 0
    assert "batches.jpg" in out.replace("\n", "")
    width, height = Image.open(tmp_path / "output" / "batches.jpg").size
    assert 3 * 560 <= width < 4 * 560, "a column for each of three scales"
    assert height > 6 * 560, "a row for each of two times three images"
    (tmp_path / "output" / "batches.jpg").unlink()
    check(*arguments)
    assert not (tmp_path / "output" / "batches.jpg").exists()


def test_views_of_a_batch_become_samples_with_their_own_polygons():
    truth = sample(60, 90, [box(10, 20, 40, 12)], name="page")
    batch = Collate(Charset("word"), (1.0, 0.5), thumbnail=16)([truth, sample(40, 30, name="other")])
    drawn = samples_of(batch)
    assert [each.name for each in drawn] == ["page at 1", "page at 0.5", "other at 1", "other at 0.5"]
    assert [each.image.shape[:2] for each in drawn] == [(60, 90), (30, 45), (40, 30), (20, 15)]
    np.testing.assert_array_equal(drawn[0].image, truth.image)
    np.testing.assert_allclose(drawn[1].instances.polygons[0], box(5, 10, 20, 6))


def test_batches_need_a_training_set(check, tmp_path):
    write(tmp_path / "d" / "test", {"img_1": GOOD})
    status, out, err = check("data=icdar2015", f"data.root={tmp_path / 'd'}", "batches=1")
    assert (status, out) == (2, ""), "told before every image is read"
    assert "batches=1 draws from training images" in err


def test_limit_spreads_over_the_whole_set(check, tmp_path):
    root = write(tmp_path / "d", {f"img_{n}": GOOD for n in range(60)})
    found = census(check("data=folder", f"data.root={root}", "json=true", "limit=5", f"export={tmp_path / 'e.jsonl'}"))
    assert found["parts"]["train"]["images"] == 5
    names = [Path(json.loads(line)["image"]).stem for line in (tmp_path / "e.jsonl").read_text().splitlines()[:5]]
    assert names[0] < "img_2" or int(names[0][4:]) < 15
    assert int(names[-1][4:]) > 35


def test_help_teaches(check):
    status, out, _ = check("--help")
    assert status == 0
    assert out.startswith("python -m dld_spotter.check_data data=NAME data.root=FOLDER")
    assert "export=" in out


def test_every_kind_has_a_test():
    seen = {*WRONG, "without image", "blank", "duplicate image", "duplicate name", "turned by EXIF"}
    assert seen == PROBLEMS.keys()
