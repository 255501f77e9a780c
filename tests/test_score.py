import json

import pytest

from dld_spotter.score import main

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


def test_prints_one_object_that_leaves_nothing_out(folders, capsys):
    status, out, err = _run(capsys, f"gt={folders / 'gt'}", f"preds={folders / 'preds'}")
    assert (status, err) == (0, "")
    assert json.loads(out) == {
        "protocol": "rrc",
        "task": "end_to_end",
        "iou": 0.5,
        "lexicon": "none",
        "policy": None,
        "precision": 1.0,
        "recall": 0.5,
        "hmean": pytest.approx(2 / 3),
        "matched": 1,
        "predicted": 1,
        "true": 2,
        "ignored_truth": 1,
        "ignored_predictions": 0,
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
    assert (forced["policy"], forced["predicted"], forced["matched"]) == ("davar", 1, 0)


@pytest.mark.parametrize(
    ("arguments", "status", "fault"),
    [
        (["gt=GT"], 2, "preds= is missing"),
        (["gt=GT", "preds=PREDS", "iuo=0.4"], 2, "iuo"),
        (["gt=GT", "preds=PREDS", "iou=half"], 2, "half"),
        (["gt=GT", "preds=PREDS", "protocol=icdar"], 2, "choose one of rrc, totaltext, davar"),
        (["gt=GT", "preds=PREDS", "task=reading"], 2, "choose one of detection"),
        (["gt=GT", "preds=ABSENT"], 1, "does not exist"),
        (["gt=PREDS", "preds=GT"], 1, "holds image 2"),
    ],
)
def test_bad_input_ends_in_one_sentence(folders, capsys, arguments, status, fault):
    places = {"GT": folders / "gt", "PREDS": folders / "preds", "ABSENT": folders / "absent"}
    filled = [key + "=" + str(places.get(value, value)) for key, value in (argument.split("=") for argument in arguments)]
    found, out, err = _run(capsys, *filled)
    assert (found, out) == (status, "")
    assert err.startswith("error: ")
    assert fault in err
    assert err.count("\n") == 1


def test_help_names_every_key(capsys):
    status, out, _ = _run(capsys, "--help")
    assert status == 0
    assert all(f"{key}=" in out for key in ("gt", "preds", "protocol", "task", "lexicon", "policy", "iou"))
