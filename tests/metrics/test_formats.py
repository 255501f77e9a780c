import json
import zipfile

import numpy as np
import pytest

from dld_spotter.core.errors import ConfigError, DataError
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
        (f'{QUAD},"###"', "###"),
        (f'{QUAD}, "quoted" ', "quoted"),
        (f'{QUAD},5" pipe', '5" pipe'),
        (f"{QUAD},a\u2028b\x85c", "a\u2028b\x85c"),
        (f"{QUAD},\ufeff", "\ufeff"),
        (f"{QUAD},1,000", "1,000"),
        ("0.0,0,1e1,0,10,5.5,0,+5,x", "x"),
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


def test_confidences_in_place_of_the_text_order_detections(archive):
    path = archive(res_img_1=f"{QUAD},0.25\n{QUAD},0.75", res_img_2="")
    annotations = read_annotations(path, "detection")
    assert [(word.text, word.score) for word in annotations.images["1"]] == [("", 0.75), ("", 0.25)]
    assert annotations.confidences
    assert annotations.images["2"] == []
    assert _texts(read_annotations(path)) == ["0.25", "0.75"]  # to be read, they are texts


def test_confidences_can_be_demanded_and_refused(archive):
    path = archive(res_img_1=f"{QUAD},1,000")
    assert _texts(read_annotations(path)) == ["000"]
    assert _texts(read_annotations(path, confidences="no")) == ["1,000"]
    with pytest.raises(DataError, match=r"res_img_1\.txt, line 2: expected a confidence"):
        read_annotations(archive(res_img_1=f"{QUAD},0.5,a\n{QUAD},5,b"), confidences="yes")
    with pytest.raises(ConfigError, match="confidences=1 is unknown"):
        read_annotations(path, confidences="1")


def test_equal_confidences_keep_the_order_of_the_file(archive):
    annotations = read_annotations(archive(res_img_1="\n".join(f"{QUAD},0.5,{i}" for i in range(20))))
    assert _texts(annotations) == [str(i) for i in range(20)]


def test_one_text_that_is_no_number_means_there_are_no_confidences(archive):
    assert _texts(read_annotations(archive(res_img_1=f"{QUAD},0.25,low\n{QUAD},word"))) == ["0.25,low", "word"]
    assert _texts(read_annotations(archive(gt_img_1=f"{QUAD},0.25,low"), truth=True)) == ["0.25,low"]


def test_polygons_of_any_length(archive):
    annotations = read_annotations(archive(**{"0000001": "0,0,5.5,0,10,0,10,5,5,6,0,5,####a,b \n0,0,9,0,9,9,####\n"}))
    assert _texts(annotations, "0000001") == ["a,b", ""]
    assert [word.polygon.shape for word in annotations.images["0000001"]] == [(6, 2), (3, 2)]


@pytest.mark.parametrize("protocol", ["rrc", "davar"])
def test_four_hashes_may_be_the_text_of_a_quadrilateral(archive, protocol):
    annotations = read_annotations(archive(gt_img_1=f"{QUAD},####\n{QUAD},a"), protocol=protocol, truth=True)
    assert annotations.truth("1").transcriptions == ("####", "a")
    assert not annotations.truth("1").ignore.any()


def test_what_follows_a_second_mark_is_dropped_as_the_script_does(archive):
    assert _texts(read_annotations(archive(**{"1": "0,0,9,0,9,9,####a,b,####c"}))) == ["a,b"]


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


def test_json_texts_may_hold_line_separators_and_be_absent(tmp_path):
    words = [{"polygon": [[0, 0], [4, 0], [4, 2]], "text": "a\u2028b"}, {"polygon": [[0, 0], [4, 0], [4, 2]], "text": None}]
    line = json.dumps({"image": "7.jpg", "words": words}, ensure_ascii=False)
    (tmp_path / "p.jsonl").write_bytes(f"\ufeff{line}\r\n".encode())
    assert _texts(read_annotations(tmp_path / "p.jsonl"), "7") == ["a\u2028b", ""]


@pytest.mark.parametrize(
    "entry",
    [
        "{",
        "[]",
        '{"image": 5, "words": []}',
        '{"image": "a", "words": 5}',
        '{"image": "a", "words": [[]]}',
        '{"image": "a", "words": [{"polygon": [[0, NaN], [1, 1], [2, 2]]}]}',
        '{"image": "a", "words": [{"polygon": [[0, 1e400], [1, 1], [2, 2]]}]}',
        '{"image": "a", "words": [{"polygon": [0, 1, 2]}]}',
        '{"image": "a", "words": [{"polygon": [[0, 1], [1, 1], [2, 2]], "text": 5}]}',
        '{"image": "a", "words": [{"polygon": [[0, 1], [1, 1], [2, 2]], "score": "high"}]}',
        "[" * 100_000,
    ],
)
def test_malformed_json_is_named(tmp_path, entry):
    (tmp_path / "p.jsonl").write_text(f'{{"image": "b", "words": []}}\n{entry}\n')
    with pytest.raises(DataError, match=r"p\.jsonl, line 2: expected"):
        read_annotations(tmp_path / "p.jsonl")


def test_files_that_are_no_annotations_are_named_and_not_read(tmp_path):
    path = tmp_path / "some.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("../../gt_img_2.txt", "no line of words")
    with pytest.raises(DataError, match=r"some\.zip, \.\./\.\./gt_img_2\.txt, line 1: expected"):
        read_annotations(path)
    with zipfile.ZipFile(path, "w") as opened:
        for name in ("gts/gt_img_1.txt", "../../gt_img_2.txt", "__MACOSX/._gt_img_1.txt", "a.jpg"):
            opened.writestr(name, f"{QUAD},a" if name.endswith(".txt") else b"\xff")
    annotations = read_annotations(path, truth=True)
    assert list(annotations.images) == ["1", "2"]
    assert annotations.ignored_files == ("__MACOSX/._gt_img_1.txt", "a.jpg")
    assert not (tmp_path.parent.parent / "gt_img_2.txt").exists()  # nothing is unpacked
    (tmp_path / "gts" / "deeper").mkdir(parents=True)
    (tmp_path / "gts" / "gt_img_1.txt").write_text("")
    assert read_annotations(tmp_path / "gts").ignored_files == ("deeper",)


def test_archives_of_windows(archive):
    annotations = read_annotations(archive(**{"gts\\gt_img_1": f"{QUAD},a"}))
    assert _texts(annotations) == ["a"]


def test_bytes_that_are_no_utf_8_are_replaced_and_told(archive):
    annotations = read_annotations(archive(gt_img_1=f"{QUAD},caf".encode() + b"\xe9", gt_img_2=f"{QUAD},\ufffd".encode()))
    assert _texts(annotations) == ["caf\ufffd"]
    assert annotations.undecodable_files == ("gt_img_1.txt",)
    with pytest.raises(DataError, match=r"gt_img_1\.txt is UTF-16; save it as UTF-8"):
        read_annotations(archive(gt_img_1=f"{QUAD},a".encode("utf-16")))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        with opened.open("res_img_1.txt", "w") as member:
            for _ in range(65):
                member.write(bytes(2**20))
        opened.writestr("picture.jpg", b"")
    with pytest.raises(
        DataError, match=r"bomb\.zip cannot be read as a zip archive \(it would unpack to 65 MiB, 65 MiB of it in 'res_img_1"
    ):
        read_annotations(path)


def test_encrypted_and_damaged_members_are_told(tmp_path, archive):
    path = archive(gt_img_1=f"{QUAD},aaaaaaaaaaaaaaaa")
    content = path.read_bytes()
    directory = content.index(b"PK\x01\x02")
    encrypted = bytearray(content)
    encrypted[6] |= 1  # the flag in the member's header and in the directory
    encrypted[directory + 8] |= 1
    path.write_bytes(encrypted)
    with pytest.raises(DataError, match=r"cannot be read as a zip archive \(.*encrypted"):
        read_annotations(path)
    path.write_bytes(content.replace(b"aaaaaaaaaaaaaaaa", b"aaaaaaaabaaaaaaa"))
    with pytest.raises(DataError, match=r"cannot be read as a zip archive \(Bad CRC-32"):
        read_annotations(path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="cannot be read as a zip archive"):
        read_annotations(path)
    unknown = bytearray(content)
    unknown[directory + 10] = 77  # a method of compression that nobody has
    path.write_bytes(unknown)
    with pytest.raises(DataError, match="cannot be read as a zip archive"):
        read_annotations(path)


def test_messages_show_no_control_characters(archive):
    with pytest.raises(DataError) as caught:
        read_annotations(archive(**{"res_img_1\n\x1b[31m": "\x1b[2J\x0bbroken"}))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (f"{QUAD},a\n0,0,10,0,b", r"some\.zip, res_img_1\.txt, line 2: expected 8 coordinates .* found \"0,0,10,0,b\""),
        ("0,0,ten,0,10,5,0,5,a", "line 1: expected 8 coordinates"),
        (f"{QUAD},####a\n\n{QUAD},b", "line 3: expected x1,y1,.* on other lines"),
        (f"{QUAD},7,####a", "line 1: expected an even number"),
        ("0,0,1e999,0,10,5,0,5,a", "line 1: expected coordinates that a pixel can have"),
        ("0,0,nan,0,10,5,0,5,a", "line 1: expected 8 coordinates"),
        ("0,0,10,5,####a", "line 1: expected 8 coordinates"),
        ("0 0 10 0 10 5 0 5 a", "line 1: expected 8 coordinates"),
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


def test_confidences_of_a_hundred_are_noted(tmp_path, capsys):
    from dld_spotter.evaluation.scoring import ScoreConfig, score

    truth, preds = tmp_path / "gt", tmp_path / "preds"
    for folder, text in ((truth, "cat"), (preds, "97.5,cat")):
        folder.mkdir()
        (folder / "img_1.txt").write_text(f"{QUAD},{text}\n")
    found = score(ScoreConfig(gt=str(truth), preds=str(preds)))
    assert found["hmean"] == 0
    assert "begins with a number from 0 to 100" in capsys.readouterr().err
