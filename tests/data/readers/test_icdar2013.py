import pytest

from dld_spotter.core.errors import DataError
from dld_spotter.data.readers.icdar2013 import ICDAR2013
from tests.data.readers.trees import write_photos, write_texts

TRAIN = '1 2 30 12 "Footpath"\r\n5 15 20 25 "a \\"b\\", c"\r\n'
TEST = '\ufeff1, 2, 30, 12, "Tiredness"\r\n5,15,20,25,"###"\r\n'


@pytest.fixture
def official(tmp_path):
    write_photos(tmp_path / "Challenge2_Training_Task12_Images", ["100.jpg"])
    write_texts(tmp_path / "Challenge2_Training_Task1_GT", {"gt_100.txt": TRAIN})
    write_photos(tmp_path / "Challenge2_Test_Task12_Images", ["img_1.jpg"])
    write_texts(tmp_path / "Challenge2_Test_Task1_GT", {"gt_img_1.txt": TEST})
    return tmp_path


def test_both_published_forms(official):
    (train,), (test,) = (list(ICDAR2013(official, split, strict=True)) for split in ("train", "test"))
    assert train.instances.transcriptions == ("Footpath", 'a "b", c')
    assert train.instances.polygons[0].tolist() == [[1, 2], [30, 2], [30, 12], [1, 12]]
    assert test.instances.transcriptions == ("Tiredness", "")
    assert test.instances.ignore.tolist() == [False, True]
    assert (train.name, test.name) == ("100", "img_1")


@pytest.mark.parametrize(("folder", "split"), [("", None), ("test/", "test")])
def test_plain_folders(tmp_path, folder, split):
    write_photos(tmp_path, [folder + "images/a.png"])
    write_texts(tmp_path, {folder + "gts/a.txt": "1,2,3,4,x"})
    assert ICDAR2013(tmp_path, split, strict=True)[0].instances.transcriptions == ("x",)


@pytest.mark.parametrize("line", ["1,2,3,word", "1 2 3 4", "1,2,x,4,word", "word"])
def test_a_malformed_line_is_named(tmp_path, line):
    write_photos(tmp_path, ["images/a.png"])
    write_texts(tmp_path, {"gts/a.txt": f"1,2,3,4,x\n{line}"})
    with pytest.raises(DataError, match=r'a\.txt, line 2: expected left, top, right, bottom, "text", found'):
        ICDAR2013(tmp_path, strict=True)[0]
