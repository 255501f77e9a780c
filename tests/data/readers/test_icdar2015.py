from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.data.readers.icdar2015 import ICDAR2015

SHARED = Path(__file__).parents[4] / "shared" / "data"


def write_tree(root, truths, images="images", gts="gts", prefix="gt_"):
    """Write images of 40x30 pixels and their ground truth, given as name -> bytes."""
    for folder in (images, gts):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, truth in truths.items():
        Image.fromarray(np.full((30, 40, 3), 128, np.uint8)).save(root / images / f"{name}.jpg")
        (root / gts / f"{prefix}{name}.txt").write_bytes(truth)
    return root


def test_words_texts_and_ignore(tmp_path):
    truth = "\ufeff1,2,11,2,11,8,1,8,Hello\r\n5,5,9,5,9,9,5,9,###\r\n\r\n3,3,8,3,8,6.5,3,6.5,a, b,,ü\r\n".encode()
    dataset = ICDAR2015(write_tree(tmp_path, {"img_1": truth}))
    (sample,) = list(dataset)
    assert sample.name == "img_1"
    assert sample.image.shape == (30, 40, 3)
    assert sample.instances.transcriptions == ("Hello", "", "a, b,,ü")
    assert sample.instances.ignore.tolist() == [False, True, False]
    assert sample.instances.polygons[0].tolist() == [[1, 2], [11, 2], [11, 8], [1, 8]]
    assert sample.instances.polygons[2][2].tolist() == [8, 6.5]


def test_images_stand_in_numeric_order_and_an_empty_file_means_no_words(tmp_path):
    dataset = ICDAR2015(write_tree(tmp_path, {f"img_{n}": b"" for n in (1, 2, 10)}))
    assert [sample.name for sample in dataset] == ["img_1", "img_2", "img_10"]
    assert [len(sample.instances) for sample in dataset] == [0, 0, 0]


@pytest.mark.parametrize(
    ("split", "images", "gts", "prefix"),
    [
        ("train", "ch4_training_images", "ch4_training_localization_transcription_gt", "gt_"),
        ("test", "ch4_test_images", "Challenge4_Test_Task4_GT", "gt_"),
        (None, "ch4_test_images", "Challenge4_Test_Task1_GT", "gt_"),
        ("test", "test/images", "test/gts", ""),
        (None, "images", "gts", ""),
    ],
)
def test_folder_names(tmp_path, split, images, gts, prefix):
    write_tree(tmp_path, {"img_1": b"1,2,11,2,11,8,1,8,a"}, images, gts, prefix)
    assert ICDAR2015(tmp_path, split)[0].instances.transcriptions == ("a",)


def test_splits_are_disjoint(tmp_path):
    write_tree(tmp_path, {"img_1": b""}, "train/images", "train/gts")
    write_tree(tmp_path, {"img_2": b"", "img_3": b""}, "test/images", "test/gts")
    names = [{sample.name for sample in ICDAR2015(tmp_path, split)} for split in ("train", "test")]
    assert names == [{"img_1"}, {"img_2", "img_3"}]


@pytest.mark.parametrize(
    "line", [b"1,2,3,4,5,6,7,word", b"1,2,3,4,5,6,7,8", b"1,2,3,4,5,6,7,nan,a", b"word", b"1;2;3", b"1,2,3,4,5,6,7,x,a"]
)
def test_a_malformed_line_is_named(tmp_path, line):
    write_tree(tmp_path, {"img_1": b"1,2,11,2,11,8,1,8,a\n" + line})
    with pytest.raises(DataError, match=r"gt_img_1\.txt, line 2: expected x1,y1,x2,y2,x3,y3,x4,y4,text, found"):
        ICDAR2015(tmp_path, strict=True)[0]


def test_a_wrong_encoding_is_named(tmp_path):
    write_tree(tmp_path, {"img_1": "1,2,11,2,11,8,1,8,a\n1,2,11,2,11,8,1,8,é".encode("latin-1")})
    with pytest.raises(DataError, match=r"gt_img_1\.txt, line 2: expected UTF-8, found byte 0xe9"):
        ICDAR2015(tmp_path, strict=True)[0]


def test_damage_is_skipped_and_counted(tmp_path):
    write_tree(tmp_path, {f"img_{n}": b"" for n in range(1, 5)})
    cut = tmp_path / "images" / "img_2.jpg"
    cut.write_bytes(cut.read_bytes()[:300])
    (tmp_path / "gts" / "gt_img_3.txt").unlink()
    dataset = ICDAR2015(tmp_path)
    assert [dataset[i].name for i in range(4)] == ["img_1", "img_4", "img_4", "img_4"]
    assert "2 of 4" in dataset.damage_report()
    assert "img_2.jpg cannot be read" in dataset.damage_report()
    assert "img_3.jpg has no ground truth" in dataset.damage_report()


def test_missing_folders(tmp_path):
    with pytest.raises(DataError, match=r"data\.root=.*nowhere is not a folder; set data\.root"):
        ICDAR2015(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"data\.root=None is not a folder"):
        ICDAR2015(None)
    with pytest.raises(DataError, match=r"holds none of the folders .*images/ \+ gts/"):
        ICDAR2015(tmp_path)
    write_tree(tmp_path, {})
    with pytest.raises(DataError, match="holds no image"):
        ICDAR2015(tmp_path)
    with pytest.raises(ConfigError, match="data split val is unknown; use train or test, or null"):
        ICDAR2015(tmp_path, "val")


@pytest.mark.parametrize(
    ("folder", "images", "orphans"), [("icdar2015/val", 250, 0), ("icdar2015/train", 1000, 0), ("scenes_val", 160, 0)]
)
def test_real_folders(folder, images, orphans):
    root = SHARED / folder
    if not root.is_dir():
        pytest.skip(f"{root} is absent")
    dataset = ICDAR2015(root)
    assert (len(dataset), len(dataset.orphans)) == (images, orphans)
    words = sum(len(dataset[i].instances) for i in range(0, images, 25))
    assert words > 0
    assert not dataset.damaged
    counted = sum(len(dataset.parse(path)) for path in (root / "gts").iterdir())
    lines = sum(bool(line.strip()) for path in (root / "gts").iterdir() for line in path.read_text("utf-8-sig").splitlines())
    assert counted == lines


def test_the_form_of_mlt_is_told_and_not_taken_for_texts(tmp_path):
    lines = b"1,2,11,2,11,8,1,8,Latin,Rue\n5,5,9,5,9,9,5,9,Symbols,###\n"
    path = write_tree(tmp_path, {"one": lines, "two": lines + b"3,3,8,3,8,6,3,6,Latin America\n"})
    with pytest.raises(DataError, match=r"gt_one\.txt names a script before each text, such as 'Latin,Rue'.*data=mlt2019"):
        ICDAR2015(path, strict=True).truth(0)
    assert ICDAR2015(path).truth(1).transcriptions[2] == "Latin America"
