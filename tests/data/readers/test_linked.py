"""COCO-Text and TextOCR."""

import json

import pytest

from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.data.readers.cocotext import COCOText
from dld_spotter.data.readers.textocr import TextOCR
from tests.data.readers.trees import write_photos

COCO = {
    "cats": {},
    "anns": {
        "1": {
            "id": 1,
            "image_id": 7,
            "mask": [9, 8, 1, 8, 1, 2, 9, 2],
            "bbox": [1, 2, 8, 6],
            "utf8_string": "any corner",
            "legibility": "legible",
        },
        "2": {"id": 2, "image_id": 7, "mask": [], "bbox": [20, 5, 10, 4], "legibility": "illegible"},
        "3": {
            "id": 3,
            "image_id": 8,
            "mask": [0, 9, 5, 8, 9, 9, 9, 1, 5, 0, 0, 1],
            "utf8_string": "bow",
            "legibility": "legible",
        },
    },
    "imgs": {
        "7": {"id": 7, "set": "train", "file_name": "COCO_train2014_000000000007.jpg", "width": 40, "height": 30},
        "8": {"id": 8, "set": "val", "file_name": "COCO_train2014_000000000008.jpg"},
        "9": {"id": 9, "set": "train", "file_name": "COCO_train2014_000000000009.jpg"},
    },
    "imgToAnns": {"7": [1, 2], "8": [3], "9": []},
    "info": {"n": [1, {"a": "}"}]},
}
OCR = {
    "info": {},
    "imgs": {"ab": {"id": "ab", "width": 40, "height": 30, "set": "train", "file_name": "train/ab.jpg"}},
    "anns": {
        "ab_1": {
            "id": "ab_1",
            "image_id": "ab",
            "bbox": [1, 2, 8, 6],
            "utf8_string": "it's",
            "points": [1, 2, 9, 2, 9, 8, 1, 8],
        },
        "ab_2": {"id": "ab_2", "image_id": "ab", "utf8_string": ".", "points": [1.5, 12, 9, 12, 10, 15, 9, 18, 1, 18]},
    },
    "imgToAnns": {"ab": ["ab_1", "ab_2"]},
}


def write_coco(root, content=COCO, name="cocotext.v2.json"):
    write_photos(root / "train2014", [image["file_name"] for image in COCO["imgs"].values()])
    (root / name).write_text(json.dumps(content))
    return root


def test_coco_text(tmp_path):
    write_coco(tmp_path)
    first, second = list(COCOText(tmp_path, "train", strict=True))
    assert first.name == "COCO_train2014_000000000007"
    assert first.instances.transcriptions == ("any corner", "")
    assert first.instances.ignore.tolist() == [False, True]
    assert first.instances.polygons[0].tolist() == [[1, 2], [9, 2], [9, 8], [1, 8]]
    assert first.instances.polygons[1].tolist() == [[20, 5], [30, 5], [30, 9], [20, 9]]
    assert len(second.instances) == 0
    (test,) = list(COCOText(tmp_path, "test", strict=True))
    assert test.instances.polygons[0].tolist() == [[0, 1], [5, 0], [9, 1], [9, 9], [5, 8], [0, 9]], "turned clockwise"
    assert len(COCOText(tmp_path)) == 3
    with pytest.raises(ConfigError, match="split val is unknown; use train or test"):
        COCOText(tmp_path, "val")


def test_the_first_version_of_coco_text_has_boxes(tmp_path):
    content = json.loads(json.dumps(COCO).replace('"mask"', '"_"'))
    del content["anns"]["3"]
    write_coco(tmp_path, content, "COCO_Text.json")
    words = COCOText(tmp_path, "train", strict=True)[0].instances
    assert words.polygons[0].tolist() == [[1, 2], [9, 2], [9, 8], [1, 8]]


@pytest.mark.parametrize("folder", ["train_images", "train_val_images/train_images"])
def test_text_ocr(tmp_path, folder):
    write_photos(tmp_path / folder, ["ab.jpg"])
    (tmp_path / "TextOCR_0.1_train.json").write_text(json.dumps(OCR))
    (sample,) = list(TextOCR(tmp_path, "train", strict=True))
    assert sample.name == "ab"
    assert sample.instances.transcriptions == ("it's", "")
    assert sample.instances.ignore.tolist() == [False, True]
    assert sample.instances.polygons[0].tolist() == [[1, 2], [9, 2], [9, 8], [1, 8]]
    assert len(sample.instances.polygons[1]) == 6
    with pytest.raises(DataError, match=r"holds no TextOCR\*val\.json or val\.json"):
        TextOCR(tmp_path, "test")
    with pytest.raises(ConfigError, match="split val is unknown"):
        TextOCR(tmp_path, "val")


def test_an_annotation_that_is_damaged_costs_its_image_alone(tmp_path):
    content = json.loads(json.dumps(COCO))
    content["anns"]["1"]["mask"][3] = None
    content["anns"]["3"]["mask"] = "x"
    dataset = COCOText(write_coco(tmp_path, content))
    assert [sample.name[-1] for sample in dataset] == ["9", "9", "9"]
    for index, found in ((0, "anns 1: expected the corners"), (1, "anns 3: found a fault .KeyError: 'bbox'")):
        with pytest.raises(DataError, match=rf"cocotext\.v2\.json, {found}"):
            dataset.load(index)


def test_an_image_that_is_missing_is_told_with_the_file_that_names_it(tmp_path):
    write_coco(tmp_path)
    (tmp_path / "train2014" / "COCO_train2014_000000000009.jpg").unlink()
    with pytest.raises(DataError, match=r"cocotext\.v2\.json: .*000009\.jpg does not exist"):
        COCOText(tmp_path, "train").load(1)


def test_words_of_an_image_that_is_not_listed_are_told(tmp_path):
    content = json.loads(json.dumps(COCO))
    content["anns"]["1"]["image_id"] = 77
    content["anns"]["2"] = {"image_id": 78}
    write_coco(tmp_path, content)
    assert [orphan.partition(" that")[0] for orphan in COCOText(tmp_path, "train").orphans] == [
        f"{tmp_path}/cocotext.v2.json: anns name an image {key}" for key in (77, 78)
    ]
    with pytest.raises(DataError, match="anns name an image 77 that imgs lacks"):
        COCOText(tmp_path, "test", strict=True)


def test_two_images_with_one_id_are_reported(tmp_path):
    content = json.loads(json.dumps(COCO))
    content["imgs"]["9"]["id"] = 7
    dataset = COCOText(write_coco(tmp_path, content))
    assert len(dataset) == 2, "whose words are whose cannot be told"
    with pytest.raises(DataError, match=r"cocotext\.v2\.json, imgs 9: COCO_train2014_000000000007\.jpg has the id 7 too"):
        dataset.load(0)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("{", "character 1: expected more, found the end"),
        ("[]", 'character 0: expected "{"'),
        ('{"imgs": {}, "anns": {}}', "names no images of set train"),
        ('{"imgs": {"7": {"set": "train"}}}', "imgs 7: expected an object with file_name"),
        ('{"imgs": {"7": 3}}', "imgs 7: expected an object with set"),
        (json.dumps(COCO)[:-30], "expected"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, content, found):
    write_photos(tmp_path / "train2014", ["COCO_train2014_000000000007.jpg"])
    (tmp_path / "cocotext.v2.json").write_text(content)
    with pytest.raises(DataError, match=rf"cocotext\.v2\.json.*{found}"):
        COCOText(tmp_path, "train")
