import pytest

from dld_spotter.core.errors import DataError
from dld_spotter.data.readers.mlt import MLT
from tests.data.readers.trees import write_photos, write_texts

TRUTH = "\ufeff1,2,30,2,30,12,1,12,Latin,a,b\r\n1,15,30,15,30,25,1,25,Arabic,سوق\r\n5,2,9,2,9,4,5,4,None,###\r\n"


def test_several_archives_of_mlt_2017_and_its_validation_set(tmp_path):
    write_photos(
        tmp_path, ["ch8_training_images_1/img_1.jpg", "ch8_training_images_2/img_2.png", "ch8_validation_images/img_1.jpg"]
    )
    folder = "localization_transcription_gt_v2"
    write_texts(tmp_path / f"ch8_training_{folder}", {"gt_img_1.txt": TRUTH, "gt_img_2.txt": ""})
    write_texts(tmp_path / f"ch8_validation_{folder}", {"gt_img_1.txt": "1,2,30,2,30,12,1,12,Latin,val"})
    one, two = list(MLT(tmp_path, "train", strict=True))
    assert one.instances.transcriptions == ("a,b", "سوق", "")
    assert one.instances.ignore.tolist() == [False, False, True]
    assert one.instances.polygons[0].tolist() == [[1, 2], [30, 2], [30, 12], [1, 12]]
    assert (two.name, len(two.instances)) == ("img_2", 0)
    assert MLT(tmp_path, "test", strict=True)[0].instances.transcriptions == ("val",)


def test_mlt_2019(tmp_path):
    write_photos(tmp_path, ["ImagesPart1/tr_img_00001.jpg", "ImagesPart2/tr_img_05001.jpg"])
    write_texts(tmp_path / "train_gt_t13", {f"tr_img_0{n}001.txt": f"1,2,30,2,30,12,1,12,Bangla,{n}" for n in (0, 5)})
    assert [sample.instances.transcriptions for sample in MLT(tmp_path, strict=True)] == [("0",), ("5",)]


def test_words_of_other_scripts_are_ignored(tmp_path):
    write_photos(tmp_path, ["images/a.png"])
    write_texts(tmp_path, {"gts/a.txt": TRUTH})
    words = MLT(tmp_path, scripts=["latin", "Symbols"], strict=True)[0].instances
    assert words.ignore.tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("line", "found"),
    [("1,2,3,4,5,6,7,8,text", "found no script before 'text'"), ("1,2,3,4,5,6,7,Latin,text", "expected x1,y1")],
)
def test_a_malformed_line_is_named(tmp_path, line, found):
    write_photos(tmp_path, ["images/a.png"])
    write_texts(tmp_path, {"gts/a.txt": TRUTH + line})
    with pytest.raises(DataError, match=rf"a\.txt, line 4: .*{found}"):
        MLT(tmp_path, strict=True)[0]
