import json

import pytest

from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.data.readers.davar import DavarDatalist
from tests.data.readers.trees import write_photos

LIST = {
    "###": "a remark",
    "Images/train/img19.jpg": {
        "height": 30,
        "width": 40,
        "content_ann": {
            "bboxes": [
                [1, 2, 9, 2, 9, 8, 1, 8],
                [11, 2, 19, 8],
                [1, 12, 5, 11, 9, 12, 9, 18, 5, 17, 1, 18],
                [1, 20, 9, 20, 9, 28, 1, 28],
            ],
            "cares": [1, 1, 0, 1],
            "texts": ["Chateau", "box", "curved", "###"],
        },
    },
    "Images/train/img2.jpg": {"height": 30, "width": 40, "content_ann": {"bboxes": []}},
    "Images/train/bad.jpg": {"content_ann": {"bboxes": [[1, 2, 3, 4]], "texts": ["a", "b"]}},
    "Images/train/worse.jpg": {},
}


def write_list(root, content=LIST, name="total_text_train_datalist.json", folder="."):
    write_photos(root / folder, [name for name in LIST if "/" in name])
    (root / name).write_text(json.dumps(content))
    return root


def test_boxes_polygons_cares_and_remarks(tmp_path):
    dataset = DavarDatalist(write_list(tmp_path), "train")
    assert dataset.names == ["img19", "img2", "bad", "worse"]
    words = dataset[0].instances
    assert words.transcriptions == ("Chateau", "box", "curved", "")
    assert words.ignore.tolist() == [False, False, True, True]
    assert words.polygons[1].tolist() == [[11, 2], [19, 2], [19, 8], [11, 8]]
    assert [len(polygon) for polygon in words.polygons] == [4, 4, 6, 4]
    assert len(dataset[1].instances) == 0
    with pytest.raises(DataError, match=r"image Images/train/bad\.jpg: .*1 bboxes, 2 texts, 1 cares"):
        dataset.load(2)
    with pytest.raises(DataError, match=r"image Images/train/worse\.jpg: .*KeyError: 'content_ann'"):
        dataset.load(3)


def test_corners_in_pairs_and_cares_as_text(tmp_path):
    pairs = [[1, 2], [9, 2], [9, 8], [1, 8]]
    content = {
        "bboxes": [pairs, [1, 2, 9, 2, 9, 8, 1, 8], [[1, 2], [9, 2], [9, 8]]],
        "texts": ["a", "b", "c"],
        "cares": ["1", "0", 1],
    }
    empty = {"bboxes": [[]], "texts": ["a"]}
    names = ["Images/train/img19.jpg", "Images/train/img2.jpg"]
    dataset = DavarDatalist(
        write_list(tmp_path, dict(zip(names, [{"content_ann": content}, {"content_ann": empty}], strict=True))), "train"
    )
    words = dataset[0].instances
    assert [polygon.tolist() for polygon in words.polygons[:2]] == [pairs, pairs]
    assert words.ignore.tolist() == [False, True, False]
    with pytest.raises(DataError, match=r"image Images/train/img2\.jpg: expected"):
        dataset.load(1)


def test_other_names_and_folders(tmp_path):
    write_list(tmp_path, name="synthtext_80w.json", folder="elsewhere")
    with pytest.raises(DataError, match="none of the images"):
        DavarDatalist(tmp_path)
    assert len(DavarDatalist(tmp_path, images=tmp_path / "elsewhere")) == 4
    assert len(DavarDatalist(tmp_path, "train", file="synthtext_80w.json", images=tmp_path / "elsewhere")) == 4
    with pytest.raises(DataError, match=r"holds no \*test\*datalist\*\.json or"):
        DavarDatalist(tmp_path, "test")
    with pytest.raises(ConfigError, match="split val is unknown"):
        DavarDatalist(tmp_path, "val")
