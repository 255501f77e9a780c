import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.data.readers.totaltext import TotalText

SHARED = Path(__file__).parents[4] / "shared" / "data" / "parity"
OFFICIAL = """x: [[10 40 40 10]], y: [[5 5 15 15]], ornt: [u'h'], transcriptions: [u"it's"]
x: [[ 0 10 20
  20 10  0]], y: [[20 18 20 28 26
  28]], ornt: [u'c'], transcriptions: [u'[caf\\xe9]']
x: [[1 2 2 1]], y: [[1 1 2 2]], ornt: [u'#'], transcriptions: [u'#']
"""
PLAIN = "10,15,40,15,40,5,10,5,####a, b\n0,28,10,26,20,28,20,20,0,20,####odd\n1,2,2,2,2,1,1,1,#######\n"


def write_tree(root, truth, images="images", gts="gts", name="poly_gt_img1.txt"):
    for folder in (images, gts):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((30, 40, 3), 128, np.uint8)).save(root / images / "img1.jpg")
    (root / gts / name).write_text(truth, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("split", "images", "gts"),
    [
        ("Train", "Images/Train", "txt_format/Train"),
        ("Test", "Images/Test", "Groundtruth/Polygon/Test"),
        (None, "images", "gts"),
    ],
)
def test_the_authors_form(tmp_path, split, images, gts):
    (sample,) = list(TotalText(write_tree(tmp_path, OFFICIAL, images, gts), split, strict=True))
    assert sample.instances.transcriptions == ("it's", "[café]", "")
    assert sample.instances.ignore.tolist() == [False, False, True]
    assert sample.instances.polygons[0].tolist() == [[10, 5], [40, 5], [40, 15], [10, 15]]
    assert sample.instances.polygons[1].tolist() == [[0, 20], [10, 18], [20, 20], [20, 28], [10, 26], [0, 28]]


@pytest.mark.parametrize("variable", ["polygt", "gt"])
def test_the_matlab_form(tmp_path, variable):
    rows = [
        ("x:", [[10, 40, 40, 10]], "y:", [[5, 5, 15, 15]], ["it's"], ["h"]),
        ("x:", [[0, 10, 20, 20, 10]], "y:", [[20, 18, 20, 28, 26]], ["odd"], ["c"]),
        ("x:", [[1, 2, 2, 1]], "y:", [[1, 1, 2, 2]], ["#"], ["#"]),
        ("x:", [[1, 2, 2, 1]], "y:", [[1, 1, 2, 2]], [], ["#"]),
    ]
    cells = np.empty((len(rows), 6), object)
    for place, row in enumerate(rows):
        cells[place] = [np.array(cell) for cell in row]
    write_tree(tmp_path, "", "Images/Train", "Groundtruth/Polygon/Train")
    folder = tmp_path / "Groundtruth" / "Polygon" / "Train"
    (folder / "poly_gt_img1.txt").unlink()
    savemat(folder / "poly_gt_img1.mat", {variable: cells})
    (sample,) = list(TotalText(tmp_path, "Train", strict=True))
    assert sample.instances.transcriptions == ("it's", "odd", "", "")
    assert sample.instances.ignore.tolist() == [False, False, True, True]
    assert sample.instances.polygons[0].tolist() == [[10, 5], [40, 5], [40, 15], [10, 15]]
    assert len(sample.instances.polygons[1]) == 6
    cells[1, 1] = np.array([[1, 2]])
    savemat(folder / "poly_gt_img1.mat", {variable: cells})
    with pytest.raises(DataError, match=r"poly_gt_img1\.mat, word 2: expected the corners of a polygon, found 2 x values"):
        TotalText(tmp_path, "Train", strict=True)[0]


def test_the_plain_form_is_turned_clockwise(tmp_path):
    (sample,) = list(TotalText(write_tree(tmp_path, PLAIN, name="img1.txt"), strict=True))
    assert sample.instances.transcriptions == ("a, b", "odd", "")
    assert sample.instances.ignore.tolist() == [False, False, True]
    assert sample.instances.polygons[0].tolist() == [[10, 5], [40, 5], [40, 15], [10, 15]]
    assert sample.instances.polygons[1].tolist() == [[0, 20], [20, 20], [20, 28], [20, 28], [10, 26], [0, 28]]


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (OFFICIAL + "nonsense\n", r"line 6: expected x: \[\[.*found 'nonsense'"),
        ("nonsense\n" + OFFICIAL, r"line 1: expected x: .*found 'nonsense'"),
        (OFFICIAL.replace("10 40 40 10", "10 40 40"), "line 1: .* found 3 x values .10, 40, 40. and 4 y values"),
        (OFFICIAL.replace('u"it\'s"', "u'it's'"), "line 1: cannot read transcriptions"),
        (OFFICIAL.replace('[u"it\'s"]', "[5]"), r"line 1: cannot read transcriptions: \[5\]"),
        (OFFICIAL.replace('[u"it\'s"]', "[['a']]"), "line 1: cannot read transcriptions"),
        (OFFICIAL.replace('[u"it\'s"]', "[{[]: 1}]"), "line 1: cannot read transcriptions"),
        (OFFICIAL.replace("10 40 40 10", "10 forty 40 10"), "line 1: expected the corners of a polygon"),
        (PLAIN + "1,2,nan,4,5,6,####a\n", "line 4: expected the corners of a polygon"),
        (PLAIN + "1,2,3,4,5,####a\n", "line 4: expected the corners of a polygon"),
    ],
)
def test_a_malformed_word_is_named(tmp_path, truth, message):
    with pytest.raises(DataError, match=r"poly_gt_img1\.txt, " + message):
        TotalText(write_tree(tmp_path, truth), strict=True)[0]


def test_folders_named_by_the_split(tmp_path):
    for split in ("train", "test"):
        write_tree(tmp_path / split, OFFICIAL)
        (tmp_path / split / "images" / "img1.jpg").rename(tmp_path / split / "images" / f"{split}.jpg")
        (tmp_path / split / "gts" / "poly_gt_img1.txt").rename(tmp_path / split / "gts" / f"poly_gt_{split}.txt")
    assert TotalText(tmp_path, "Train", strict=True)[0].name == "train"
    assert TotalText(tmp_path, "Test", strict=True)[0].name == "test"


def test_an_unknown_split(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.split=val is unknown; use Train, Test or null"):
        TotalText(tmp_path, "val")


def test_the_plain_form_as_it_is_in_use(tmp_path):
    archive = SHARED / "totaltext_gt.zip"
    if not archive.is_file():
        pytest.skip(f"{archive} is absent")
    dataset = TotalText(write_tree(tmp_path, ""))
    with zipfile.ZipFile(archive) as members:
        members.extractall(tmp_path / "all")
    for path in (tmp_path / "all").iterdir():
        words = dataset.parse(path)
        assert len(words) == len(path.read_text("utf-8").splitlines())
        for polygon in words.polygons:
            x, y = polygon.T.astype(float)
            assert len(polygon) % 2 == 0
            assert (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() >= 0, "clockwise with y down"
