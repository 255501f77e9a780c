import json

import numpy as np
import pytest
from PIL import Image

from dld_spotter.score import ScoreConfig, main

QUAD = "0,0,100,0,100,20,0,20"


@pytest.fixture
def folders(tmp_path):
    """Ground truth of two images, one of them predicted."""
    for name, files in {
        "gt": {"gt_img_1.txt": f"{QUAD},Hello\n{QUAD.replace(',0,', ',900,')},###\n", "gt_img_2.txt": f"{QUAD},house\n"},
        "preds": {"res_img_1.txt": f"{QUAD},HELLO\n", "notes.md": ""},
    }.items():
        (tmp_path / name).mkdir()
        for file, content in files.items():
            (tmp_path / name / file).write_text(content)
    return tmp_path


def _run(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_scripts_of_mlt_before_the_texts_are_noted(folders, capsys):
    for file in (folders / "gt").iterdir():
        file.write_text("0,0,10,0,10,10,0,10,Latin,cat\n")
    _, _, err = _run(capsys, f"gt={folders / 'gt'}", f"preds={folders / 'preds'}")
    assert f"note: gt={folders / 'gt'}: a script stands before every text, as in MLT" in err


def test_prints_one_object_that_leaves_nothing_out(folders, capsys):
    status, out, err = _run(capsys, f"gt={folders / 'gt'}", f"preds={folders / 'preds'}")
    assert status == 0
    assert err == (
        f"note: {folders / 'preds'}: 2 is an image of the ground truth without a file here, so its words are missed\n"
        f"note: {folders / 'preds'}: notes.md is no annotation and was left out\n"
    )
    assert json.loads(out) == {
        "protocol": "rrc",
        "task": "end_to_end",
        "iou": 0.5,
        "lexicon": "none",
        "policy": None,
        "precision": 1.0,
        "recall": 0.5,
        "hmean": pytest.approx(2 / 3),
        "hmean_interval": [0.0, 1.0],  # half of the resamples hold one image alone: image 1 is right, image 2 wrong
        "matched": 1,
        "predicted": 1,
        "true": 2,
        "ignored_truth": 1,
        "ignored_predictions": 0,
        "dropped_by_lexicon": 0,
        "confidences": False,
        "images": 2,
        "images_without_predictions": 1,
        "ignored_files": 1,
    }


def test_lexicon_and_policy_are_part_of_the_result(folders, capsys):
    (folders / "full.txt").write_text("HOUSE\n")
    common = (f"gt={folders / 'gt'}", f"preds={folders / 'preds'}", f"lexicon={folders / 'full.txt'}")
    dropped = json.loads(_run(capsys, *common)[1])
    forced = json.loads(_run(capsys, *common, "policy=davar")[1])
    assert (dropped["lexicon"], dropped["policy"], dropped["predicted"]) == ("full", "adelaidet", 0)
    assert (dropped["dropped_by_lexicon"], forced["dropped_by_lexicon"]) == (1, 0)
    assert (forced["policy"], forced["predicted"], forced["matched"]) == ("davar", 1, 0)


@pytest.mark.parametrize(
    ("arguments", "status", "fault"),
    [
        (["gt=GT"], 2, "preds= is missing"),
        (["gt=GT", "preds=PREDS", "iuo=0.4"], 2, "iuo"),
        (["gt=GT", "preds=PREDS", "iou=half"], 2, "half"),
        (["gt=GT", "preds=PREDS", "protocol=icdar"], 2, "choose one of rrc, totaltext, davar"),
        (["gt=GT", "preds=PREDS", "task=reading"], 2, "choose one of detection"),
        (["gt=GT", "preds=PREDS", "resamples=0"], 2, "resamples=0"),
        (["gt=GT", "preds=PREDS", "confidences=maybe"], 2, "choose one of auto, yes, no"),
        (["gt=GT", "preds=PREDS", "confidences=yes"], 1, "as confidences=yes says"),
        (["gt=GT", "preds=PREDS", "compare=rrc,icdar"], 2, "choose one of rrc, totaltext, davar"),
        (["gt=GT", "preds=PREDS", "explain=7"], 2, "its images are 1, ... (2 in all)"),
        (["gt=GT", "preds=PREDS", "explain=1", "images=ABSENT"], 1, "is no folder"),
        (["gt=GT", "preds=PREDS", "explain=1", "images=PREDS"], 1, "holds no photo of image 1"),
        (["gt=GT", "preds=PREDS", "explain=1", "compare=rrc"], 2, "one at a time"),
        (["gt=GT", "preds=PREDS", "lexicon"], 2, "give key=value"),
        (["gt=GT", "preds=PREDS", "lexicon=EMPTY"], 1, "holds no .txt file"),
        (["gt=GT", "preds=PREDS", "baseline=ABSENT"], 1, "does not exist"),
        (["gt=GT", "preds=ABSENT"], 1, "does not exist"),
        (["gt=PREDS", "preds=GT"], 1, "holds image 2"),
    ],
)
def test_bad_input_ends_in_one_sentence(folders, capsys, arguments, status, fault):
    places = {"GT": folders / "gt", "PREDS": folders / "preds", "ABSENT": folders / "absent", "EMPTY": folders / "empty"}
    places["EMPTY"].mkdir()
    parts = [argument.partition("=") for argument in arguments]
    filled = [key + given + str(places.get(value, value)) for key, given, value in parts]
    found, out, err = _run(capsys, *filled, f"paths.output_dir={folders}")
    assert (found, out) == (status, "")
    *table, last = err.splitlines()
    assert last.startswith("error: ")
    assert fault in last
    assert not any(line.startswith(("error", "Traceback")) for line in table)


def test_predictions_may_be_empty_and_a_ground_truth_may_not(folders, capsys):
    (folders / "none.jsonl").write_text("")
    status, out, _ = _run(capsys, f"gt={folders / 'gt'}", f"preds={folders / 'none.jsonl'}")
    result = json.loads(out)
    assert (status, result["hmean"], result["true"], result["images_without_predictions"]) == (0, 0.0, 2, 2)
    status, out, err = _run(capsys, f"gt={folders / 'none.jsonl'}", f"preds={folders / 'preds'}")
    assert (status, out) == (1, "")
    assert "none.jsonl holds no image" in err


def test_output_is_json_whatever_the_texts_hold(folders, capsys):
    (folders / "p.jsonl").write_text('{"image": "1", "words": [{"polygon": [[0, 0], [9, 0], [9, 9]], "text": "a\\ud800"}]}')
    status, out, _ = _run(capsys, *(f"{key}={folders / name}" for key, name in
                                    (("gt", "gt"), ("preds", "p.jsonl"), ("paths.output_dir", ""))), "explain=1")  # fmt: skip
    assert status == 0
    assert json.loads(out.encode())["explanation"]["words"][-1]["text"] == "a\ud800"


def test_help_names_every_key(capsys):
    status, out, _ = _run(capsys, "--help")
    assert status == 0
    assert all(f"{key}=" in out for key in ScoreConfig.__dataclass_fields__ if key != "paths")
    assert "paths.output_dir=" in out


def _explanation(result, side):
    words = [word for word in json.loads(result)["explanation"]["words"] if word["side"] == side]
    return [(word["outcome"], word["partner"]) for word in words]


@pytest.mark.parametrize("form", [["explain=1"], ["--explain", "img_1"], ["--explain=img_1.jpg"]])
def test_explains_an_image_in_a_table_and_a_picture(folders, capsys, form):
    common = (f"gt={folders / 'gt'}", f"preds={folders / 'preds'}", f"paths.output_dir={folders / 'out'}")
    status, out, err = _run(capsys, *common, *form)
    assert status == 0
    assert _explanation(out, "truth") == [("matched", 1), ("ignored", None)]
    assert _explanation(out, "prediction") == [("matched", 1)]
    assert "HELLO" in err
    assert "don't care" in err
    assert Image.open(json.loads(out)["explanation"]["picture"]).width > 400


def test_explains_all_words_of_all_images(folders, capsys):
    wrong = f"{QUAD},0.8,HELLO\n0,500,50,500,50,520,0,520,0.4,ghost\n"
    (folders / "preds" / "res_img_1.txt").write_text(wrong)
    common = (f"gt={folders / 'gt'}", f"preds={folders / 'preds'}", f"paths.output_dir={folders / 'out'}", "explain=true")
    status, out, err = _run(capsys, *common)
    assert status == 0
    fates = json.loads(out)["fates"]
    costs = {cost["fate"]: (cost["words"], cost["false"], cost["mended"]) for cost in fates["costs"]}
    assert costs["case"] == (1, 0, 0.5)
    assert costs["not_found"] == (1, 0, pytest.approx(4 / 5))
    assert costs["invented"] == (0, 1, pytest.approx(2 / 3))
    assert (fates["overall"]["box"], fates["overall"]["found"], fates["exact"]) == (None, 0.5, 0.0)
    assert [row["predictions"] for row in fates["reliability"]["bins"]] == [1, 1]
    assert "read, but for case" in err
    assert json.loads((folders / "out" / "fates.json").read_text())["words"][0]["read"] == "HELLO"
    with Image.open(folders / "out" / "fates.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 50


def test_an_image_called_true_is_explained_as_such(folders, capsys):
    (folders / "gt" / "true.txt").write_text(f"{QUAD},a\n")
    common = (f"gt={folders / 'gt'}", f"preds={folders / 'preds'}", f"paths.output_dir={folders}", "explain=true")
    assert json.loads(_run(capsys, *common)[1])["explanation"]["image"] == "true"


def test_explains_on_the_photo_and_survives_any_text(folders, capsys):
    photo = np.zeros((950, 200, 3), np.uint8)
    photo[..., 0] = 255
    (folders / "photos").mkdir()
    Image.fromarray(photo).save(folders / "photos" / "img_1.png")
    (folders / "preds" / "res_img_1.txt").write_text(f"{QUAD},$x_1^\n{QUAD},[red]日\x1b[31m\n", "utf-8")
    common = (f"gt={folders / 'gt'}", f"preds={folders / 'preds'}", f"paths.output_dir={folders}", "explain=1")
    status, out, err = _run(capsys, *common, f"images={folders / 'photos'}")
    assert status == 0
    assert _explanation(out, "prediction") == [("misread", 1), ("extra", 1)]
    assert "[red]日" in err
    assert "\x1b[31m" not in err
    drawn = np.asarray(Image.open(json.loads(out)["explanation"]["picture"]).convert("RGB"))
    assert (drawn == (255, 102, 102)).all(-1).mean() > 0.1  # the red photo at 60 % on white


def test_compares_protocols_and_lists_the_words_that_differ(folders, capsys):
    # A leading space is punctuation to davar alone.
    (folders / "gt" / "gt_img_1.txt").write_text(f"{QUAD}, Hello\n{QUAD.replace(',0,', ',900,')},same\n")
    status, out, err = _run(capsys, f"gt={folders / 'gt'}", f"preds={folders / 'preds'}", "compare=rrc,totaltext,davar")
    result = json.loads(out)
    assert status == 0
    assert {name: report["matched"] for name, report in result["compare"].items()} == {"rrc": 0, "totaltext": 0, "davar": 1}
    assert [(row["image"], row["side"], row["index"]) for row in result["differences"]] == [
        ("1", "truth", 1),
        ("1", "prediction", 1),
    ]
    assert [outcome for outcome, _ in result["differences"][0]["verdicts"].values()] == ["misread", "misread", "matched"]
    assert "davar" in err


def test_difference_to_a_baseline_is_paired_over_images(tmp_path, capsys):
    """Both sets miss every word of half of the images; one of them reads 2 words more in each of the others."""
    boundaries = ",".join
    quads = [boundaries(map(str, (0, y, 50, y, 50, y + 9, 0, y + 9))) for y in range(0, 100, 10)]
    for name, read in (("gt", 10), ("first", 8), ("second", 6)):
        (tmp_path / name).mkdir()
        for image in range(20):
            lines = [f"{quad},w{i}" for i, quad in enumerate(quads[:read])]
            content = "\n".join(lines) if name == "gt" or image < 10 else ""
            (tmp_path / name / f"img_{image}.txt").write_text(content)
    status, out, _ = _run(capsys, *(f"{key}={tmp_path / name}" for key, name in
                                    (("gt", "gt"), ("preds", "first"), ("baseline", "second"))))  # fmt: skip
    result, baseline = json.loads(out), json.loads(out)["baseline"]
    assert status == 0
    # 80 of 80 predictions, 200 words: 160 / 280. 60 of 60: 120 / 260.
    assert (result["hmean"], baseline["hmean"]) == (pytest.approx(160 / 280), pytest.approx(120 / 260))
    assert baseline["difference"] == pytest.approx(160 / 280 - 120 / 260)
    low, high = baseline["difference_interval"]
    assert 0 < low < baseline["difference"] < high
    # The two intervals overlap: without pairing the difference would not show.
    assert result["hmean_interval"][0] < baseline["hmean_interval"][1]


@pytest.mark.parametrize("folder", ["notes.md", "notes.md/below", "f" * 300])
def test_a_folder_that_cannot_be_written_is_told(folders, capsys, folder):
    arguments = f"gt={folders / 'gt'}", f"preds={folders / 'preds'}", "explain=true"
    status, _, err = _run(capsys, *arguments, f"paths.output_dir={folders / 'preds' / folder}")
    told = err.splitlines()[-1]
    assert status == 1
    assert told.startswith(f"error: {folders / 'preds'}")
    assert told.endswith("; mend the path or its permissions; paths.output_dir=FOLDER names the folder that is written to")
