import json

import numpy as np
import pytest
from PIL import Image

from dld_spotter.core.batches import TextInstances
from dld_spotter.core.errors import DataError
from dld_spotter.data.readers.jsonl import JsonLines, to_line
from dld_spotter.data.splits import NamedPart

WORDS = TextInstances.of(
    [
        [[1, 2], [30.25, 2], [30, 12], [1, 12]],
        [[0, 20], [10, 18], [20, 20], [20, 28], [10, 26], [0, 28]],
        [[1, 1], [2, 1], [2, 2]] * 2,
    ],
    ['a "b" \\ é', "", "lost"],
    [False, True, True],
)


def write_tree(root, lines, name="labels.jsonl", images=("a.png",)):
    for image in images:
        (root / image).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((30, 40, 3), 128, np.uint8)).save(root / image)
    data = "\n".join(lines) if isinstance(lines, list) else lines
    (root / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return root / name


def entry(image="a.png", **more):
    return {"image": image, "words": [{"polygon": [[1, 2], [9, 2], [9, 8], [1, 8]], "text": "word"}]} | more


def test_what_is_written_reads_back(tmp_path):
    file = write_tree(tmp_path, [to_line("a.png", 40, 30, WORDS, "test")])
    (sample,) = list(JsonLines(file, strict=True))
    assert sample.name == "a"
    assert sample.image.shape == (30, 40, 3)
    for read, written in zip(sample.instances.polygons, WORDS.polygons, strict=True):
        np.testing.assert_array_equal(read, written)
    assert sample.instances.transcriptions == WORDS.transcriptions
    assert sample.instances.ignore.tolist() == [False, True, True]


def test_what_predict_writes_can_be_read(tmp_path):
    line = json.dumps(
        {"image": "a.png", "width": 40, "height": 30, "scale": 0.5, "words": [entry()["words"][0] | {"score": 0.9}]}
    )
    (sample,) = list(JsonLines(write_tree(tmp_path, [line]), strict=True))
    assert sample.instances.transcriptions == ("word",)


def test_flat_polygons_order_of_keys_bom_blank_lines_and_crlf(tmp_path):
    first = {
        "words": [{"text": "###", "polygon": [1, 2, 9, 2, 9, 8, 1, 8]}, {"polygon": [[1, 2], [9, 2], [9, 8]]}],
        "image": "a.png",
    }
    data = b"\xef\xbb\xbf" + json.dumps(first).encode() + b"\r\n\r\n" + json.dumps(entry("b.png")).encode() + b"\r\n"
    dataset = JsonLines(write_tree(tmp_path, data, images=("a.png", "b.png")), strict=True)
    one, two = list(dataset)
    assert (one.name, two.name) == ("a", "b")
    assert one.instances.ignore.tolist() == [True, False]
    assert one.instances.transcriptions == ("", "")
    assert len(one.instances.polygons[1]) == 4, "an odd corner is doubled"


def test_the_text_of_ignored_words_says_so_whatever_the_flag(tmp_path):
    texts = [("###", False), ("###", None), ("a", None), ("b", True), ("c", 1), (None, 0)]
    words = [entry()["words"][0] | {"text": text, "ignore": ignore} for text, ignore in texts]
    (sample,) = list(JsonLines(write_tree(tmp_path, [json.dumps(entry(words=words))]), strict=True))
    assert sample.instances.ignore.tolist() == [True, True, False, True, True, False]
    assert sample.instances.transcriptions == ("", "", "a", "b", "c", "")


def test_names_tell_folders_apart_and_images_may_lie_anywhere(tmp_path):
    far = tmp_path / "far"
    images = ("in/x/1.png", "in/y/1.png")
    lines = [json.dumps(entry(image)) for image in images]
    assert JsonLines(write_tree(tmp_path / "d", lines, images=images)).names == ["x/1", "y/1"]
    file = write_tree(far, [json.dumps(entry(str(tmp_path / "d" / "in" / "x" / "1.png")))])
    assert [sample.name for sample in JsonLines(file, strict=True)] == ["1"]


def test_parts_that_are_named_hold(tmp_path):
    splits = ["train", "test", None, "validation"] * 25
    lines = [json.dumps(entry(f"i{n}.png", split=split)) for n, split in enumerate(splits)]
    dataset = JsonLines(write_tree(tmp_path, lines))
    shares = {"train": 0.5, "validation": 0.25, "test": 0.25}
    parts = {name: set(NamedPart(dataset, shares, name).indices) for name in shares}
    assert sorted(index for part in parts.values() for index in part) == list(range(100))
    for index, split in enumerate(splits):
        if split:
            assert index in parts[split]
    assert all(any(splits[index] is None for index in part) for part in parts.values())


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{", "line 2: expected .*fault"),
        ("[]", "line 2"),
        ('{"image": "a.png"}', "line 2: .*words"),
        ('{"image": 3, "words": []}', "line 2"),
        ('{"image": "", "words": []}', "line 2"),
        ('{"image": "a.png", "words": [3]}', "line 2, word 1: expected"),
        ('{"image": "a.png", "words": [{"polygon": [[1, 2], [3, 4]], "text": "a"}]}', "line 2, word 1: expected the corners"),
        ('{"image": "a.png", "words": [{"polygon": [[1, 2], [3, NaN], [3, 3]], "text": "a"}]}', "line 2, word 1"),
        ('{"image": "a.png", "words": [{"polygon": [[1, 2], [3, 1e39], [3, 3], [1, 3]], "text": "a"}]}', "line 2, word 1"),
        ('{"image": "a.png", "words": [{"text": "a"}]}', "line 2, word 1: .*found None"),
        ('{"image": "a.png", "words": [{"polygon": [[1, 2], [3, 4], [3, 3]], "text": 5}]}', "line 2, word 1"),
        ('{"image": "a.png", "words": [{"polygon": [1, 2, 3, 4, 3, 3], "text": "\\ud83d"}]}', "line 2, word 1: .*mend it"),
        (
            '{"image": "a.png", "words": [{"polygon": [1, 2, 3, 4, 3, 3], "ignore": "false"}]}',
            "line 2, word 1: .*true or false",
        ),
        ('{"image": "\\udce9.png", "words": []}', "line 2: .*image must be a path"),
        ('{"image": "a.png", "split": "dev", "words": []}', "line 2: .*split dev"),
        ('{"image": "lost.png", "words": []}', r"labels\.jsonl, line 2: .*lost\.png does not exist"),
        ('{"image": "empty.png", "words": []}', r"labels\.jsonl, line 2: .*empty\.png cannot be read"),
        (b'{"image": "a.png", "words": [], "note": "\xe9"}', "line 2: .*UnicodeDecodeError"),
    ],
)
def test_a_damaged_line_is_named_and_skipped(tmp_path, line, found):
    good = json.dumps(entry()).encode()
    (tmp_path / "empty.png").write_bytes(b"")
    file = write_tree(tmp_path, good + b"\n" + (line if isinstance(line, bytes) else line.encode()) + b"\n" + good)
    dataset = JsonLines(file)
    assert [sample.name for sample in dataset] == ["a", "a", "a"]
    assert dataset.damaged == [1]
    with pytest.raises(DataError, match=found):
        JsonLines(file, strict=True)[1]


def test_files_and_folders(tmp_path):
    with pytest.raises(DataError, match=r"must be a \.jsonl file or a folder with one, found none"):
        JsonLines(tmp_path)
    with pytest.raises(DataError, match=r"data\.root=None must be"):
        JsonLines(None)
    write_tree(tmp_path, "\n", "a.jsonl")
    with pytest.raises(DataError, match="holds no line"):
        JsonLines(tmp_path)
    write_tree(tmp_path, "", "b.jsonl")
    with pytest.raises(DataError, match=r"found a\.jsonl, b\.jsonl; name the file itself"):
        JsonLines(tmp_path)


def test_a_changed_file_is_indexed_anew(tmp_path):
    file = write_tree(tmp_path, [json.dumps(entry())])
    assert len(JsonLines(file)) == 1
    write_tree(tmp_path, [json.dumps(entry())] * 3)
    assert len(JsonLines(file)) == 3


def test_photos_are_found_as_predict_names_them(tmp_path, monkeypatch):
    """Its lines name photos from the folder that it was started in, and lie in another one."""
    (tmp_path / "outputs").mkdir()
    file = write_tree(tmp_path / "outputs", [json.dumps(entry("photos/a.png"))], "predictions.jsonl", images=())
    write_tree(tmp_path, [], "none.txt", images=["photos/a.png"])
    monkeypatch.chdir(tmp_path)
    (sample,) = JsonLines(file, strict=True)
    assert sample.instances.transcriptions == ("word",)
    write_tree(tmp_path / "outputs", [], "none.txt", images=["photos/a.png"])
    assert JsonLines(file).images[0] == tmp_path / "outputs" / "photos" / "a.png"


def test_a_line_without_an_end_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr("dld_spotter.data.readers.jsonl.LONGEST_LINE", 200)
    file = write_tree(tmp_path, [json.dumps(entry()), json.dumps(entry(more="x" * 300))])
    with pytest.raises(DataError, match="line 2 has more than"):
        JsonLines(file)
