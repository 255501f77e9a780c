from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.core.geometry import split_line
from dld_spotter.data.readers.sroie import SROIE

SHARED = Path(__file__).parents[4] / "shared" / "data" / "sroie"


def write_tree(root, images, gts):
    for folder in (images, gts):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((30, 80, 3), 250, np.uint8)).save(root / images / "000.jpg")
    (root / gts / "000.txt").write_text("10,2,60,2,60,12,10,12,AB CD\n10,15,60,15,60,25,10,25,NO.1,A\n")
    return root


@pytest.mark.parametrize(
    ("images", "gts", "split"), [("images", "gts", None), ("train/img", "train/box", "train"), (".", ".", None)]
)
def test_lines_and_words(tmp_path, images, gts, split):
    write_tree(tmp_path, images, gts)
    (lines,) = list(SROIE(tmp_path, split, split_words=False))
    assert lines.instances.transcriptions == ("AB CD", "NO.1,A")
    (words,) = list(SROIE(tmp_path, split))
    assert words.instances.transcriptions == ("AB", "CD", "NO.1,A")
    spans = [(polygon[0, 0], polygon[1, 0]) for polygon in words.instances.polygons]
    assert spans == [(10, 30), (40, 60), (10, 60)]


def test_split_follows_a_slanted_line_and_skips_repeated_spaces():
    quad = np.array([[0, 0], [100, 50], [100, 70], [0, 20]], np.float32)
    (first, second) = split_line(quad, "ab   cdefg")
    assert (first[1], second[1]) == ("ab", "cdefg")
    np.testing.assert_allclose(first[0], [[0, 0], [20, 10], [20, 30], [0, 20]], atol=1e-4)
    np.testing.assert_allclose(second[0], [[50, 25], [100, 50], [100, 70], [50, 45]], atol=1e-4)


def test_a_line_without_text_stays():
    quad = np.zeros((4, 2), np.float32)
    assert split_line(quad, "") == [(quad, "")]


def test_missing_split(tmp_path):
    with pytest.raises(DataError, match="holds no image"):
        SROIE(tmp_path, "train")
    with pytest.raises(ConfigError, match="split dev is unknown"):
        SROIE(tmp_path, "dev")


@pytest.mark.parametrize(("split", "images"), [("train", 500), ("test", 60)])
def test_real_folders(split, images):
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent")
    lines, words = SROIE(SHARED, split, split_words=False, strict=True), SROIE(SHARED, split, strict=True)
    assert len(lines) == len(words) == images
    assert lines[7].image.shape[2] == 3
    for path in list(lines.truth_folder.iterdir())[::20]:
        whole, cut = lines.parse(path), words.parse(path)
        assert " ".join(cut.transcriptions).split() == " ".join(whole.transcriptions).split()
