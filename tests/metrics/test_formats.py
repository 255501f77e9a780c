import json
import zipfile

import numpy as np
import pytest

from dld_spotter.errors import DataError
from dld_spotter.metrics.formats import read_annotations

QUAD = "0,0,10,0,10,5,0,5"


@pytest.fixture
def archive(tmp_path):
    """Write a zip archive of name -> content and return its path."""

    def write(**files):
        path = tmp_path / "some.zip"
        with zipfile.ZipFile(path, "w") as opened:
            for name, content in files.items():
                opened.writestr(name + ".txt", content)
        return path

    return write


def _texts(annotations, image="1"):
    return [word.text for word in annotations.images[image]]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (f"{QUAD},word", "word"),
        (f"{QUAD},one, two", "one, two"),
        (f"{QUAD},", ""),
        (f'{QUAD},"a \\"quoted\\" text, with comma"', 'a "quoted" text, with comma'),
        (f"{QUAD}, spaced ", " spaced "),
        (f"{QUAD},日本", "日本"),
        (" 0, 0,10 ,0,10,5,0,-5,x", "x"),
        (f"{QUAD},###", "###"),
    ],
)
def test_texts_of_quadrilateral_lines(archive, line, text):
    assert _texts(read_annotations(archive(gt_img_1=line), truth=True)) == [text]


def test_byte_order_mark_carriage_returns_and_blank_lines(archive):
    content = f"\ufeff{QUAD},one\r\n\r\n{QUAD},###\r\n".encode()
    annotations = read_annotations(archive(gt_img_1=content), truth=True)
    truth = annotations.truth("1")
    assert truth.transcriptions == ("one", "###")
    assert truth.ignore.tolist() == [False, True]
    assert truth.polygons[0].tolist() == [[0, 0], [10, 0], [10, 5], [0, 5]]


def test_a_column_of_confidences_orders_predictions(archive):
    annotations = read_annotations(archive(res_img_1=f"{QUAD},0.25,low\n{QUAD},1,high\n{QUAD},.5,mid,dle"))
    assert [(word.text, word.score) for word in annotations.images["1"]] == [("high", 1.0), ("mid,dle", 0.5), ("low", 0.25)]


def test_one_text_that_is_no_number_means_there_are_no_confidences(archive):
    assert _texts(read_annotations(archive(res_img_1=f"{QUAD},0.25,low\n{QUAD},word"))) == ["0.25,low", "word"]
    assert _texts(read_annotations(archive(gt_img_1=f"{QUAD},0.25,low"), truth=True)) == ["0.25,low"]


def test_polygons_of_any_length(archive):
    annotations = read_annotations(archive(**{"0000001": "0,0,5.5,0,10,0,10,5,5,6,0,5,####a,b \n0,0,9,0,9,9,####\n"}))
    assert _texts(annotations, "0000001") == ["a,b", ""]
    assert [word.polygon.shape for word in annotations.images["0000001"]] == [(6, 2), (3, 2)]


def test_davar_polygons_end_with_the_last_comma(archive):
    annotations = read_annotations(archive(img_1="0,0,5,0,10,0,10,5,5,6,0,5,2021"), protocol="davar")
    assert _texts(annotations) == ["2021"]
    assert annotations.images["1"][0].polygon.shape == (6, 2)


def test_texts_may_be_absent_in_detection(archive):
    path = archive(res_img_1=QUAD)
    assert _texts(read_annotations(path, "detection")) == [""]
    with pytest.raises(DataError, match="8 coordinates and a text"):
        read_annotations(path, "end_to_end")


def test_folders_and_archives_are_one(tmp_path, archive):
    (tmp_path / "gts").mkdir()
    (tmp_path / "gts" / "gt_scene_1.txt").write_text(f"{QUAD},word")
    (tmp_path / "gts" / "picture.jpg").write_bytes(b"")
    annotations = read_annotations(tmp_path / "gts", truth=True)
    assert _texts(annotations, "scene_1") == ["word"]
    assert annotations.ignored_files == ("picture.jpg",)


def test_json_lines(tmp_path):
    words = [{"polygon": [[0, 0], [4, 0], [4, 2], [0, 2]], "text": "a", "score": 0.5}, {"polygon": [[0, 0]], "ignore": True}]
    (tmp_path / "p.jsonl").write_text(json.dumps({"image": "photos/img_7.jpg", "words": words}) + "\n\n")
    annotations = read_annotations(tmp_path / "p.jsonl")
    assert _texts(annotations, "7") == ["a", "###"]
    assert annotations.truth("7").ignore.tolist() == [False, True]
    np.testing.assert_array_equal(annotations.images["7"][0].polygon, [[0, 0], [4, 0], [4, 2], [0, 2]])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (f"{QUAD},a\n0,0,10,0,b", r"some\.zip, res_img_1\.txt, line 2: expected 8 coordinates .* found \"0,0,10,0,b\""),
        ("0,0,ten,0,10,5,0,5,a", "line 1: expected 8 coordinates"),
        (f"{QUAD},####a\n\n{QUAD},b", "line 3: expected x1,y1,.* on other lines"),
        (f"{QUAD},7,####a", "line 1: expected an even number"),
    ],
)
def test_malformed_lines_are_named(archive, content, fault):
    with pytest.raises(DataError, match=fault):
        read_annotations(archive(res_img_1=content))


def test_unusable_archives_are_named(tmp_path, archive):
    with pytest.raises(DataError, match=r"absent\.zip does not exist"):
        read_annotations(tmp_path / "absent.zip")
    (tmp_path / "broken.zip").write_bytes(b"PK broken")
    with pytest.raises(DataError, match=r"broken\.zip cannot be read as a zip archive"):
        read_annotations(tmp_path / "broken.zip")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no \.txt file"):
        read_annotations(tmp_path / "empty")
    with pytest.raises(DataError, match=r"res_img_1\.txt: image 1 has two files"):
        read_annotations(archive(gt_img_1=f"{QUAD},a", res_img_1=f"{QUAD},a"))
    (tmp_path / "p.jsonl").write_text('{"image": "a.jpg"}')
    with pytest.raises(DataError, match=r"p\.jsonl, line 1: expected"):
        read_annotations(tmp_path / "p.jsonl")
