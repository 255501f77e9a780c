import numpy as np
import pytest

from dld_spotter.core.errors import DataError
from dld_spotter.data.readers.ctw1500 import CTW1500
from tests.data.readers.trees import write_photos, write_texts

UPPER = [[2 + 5 * i, 5] for i in range(7)]
LOWER = [[2 + 5 * i, 15] for i in range(6, -1, -1)]
POINTS = np.array(UPPER + LOWER)
FLAT = ",".join(map(str, POINTS.ravel()))
XML = f"""<Annotations><image file="0001.jpg">
<box height="10" left="2" top="5" width="30"><label>TWO WORDS &amp; more</label><segs>{FLAT}</segs><pts x="3" y="4" /></box>
<box height="10" left="2" top="5" width="30"><label>###</label><segs>{FLAT}</segs></box>
</image></Annotations>"""
XML_IN = '<?xml version="1.0" encoding="{}"?>' + XML


@pytest.fixture
def second(tmp_path):
    write_photos(tmp_path, ["train_images/0001.jpg", "test_images/1001.jpg"])
    backwards = ",".join(map(str, POINTS[::-1].ravel()))
    write_texts(
        tmp_path, {"ctw1500_train_labels/0001.xml": XML, "gt_ctw1500/0001001.txt": f"{FLAT},####a b\n{backwards},#######\n"}
    )
    return tmp_path


def test_the_release_with_text(second):
    (train,), (test,) = (list(CTW1500(second, split, strict=True)) for split in ("train", "test"))
    assert train.instances.transcriptions == ("TWO WORDS & more", "")
    assert test.instances.transcriptions == ("a b", "")
    for words in (train.instances, test.instances):
        assert words.ignore.tolist() == [False, True]
        for polygon in words.polygons:
            np.testing.assert_array_equal(polygon, POINTS)


def test_the_first_release_has_offsets_and_no_text(tmp_path):
    write_photos(tmp_path, ["train/text_image/0001.jpg"])
    offsets = [2, 5, 32, 15, *(POINTS - (2, 5)).ravel().tolist()]
    write_texts(tmp_path, {"train/text_label_curve/0001.txt": ",".join(map(str, offsets))})
    words = CTW1500(tmp_path, "train", strict=True)[0].instances
    np.testing.assert_array_equal(words.polygons[0], POINTS)
    assert words.transcriptions == ("",)
    assert not words.ignore.any()


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.xml", XML.replace("</label>", "", 1), r"a\.xml, line 2: expected XML, found a fault"),
        ("a.xml", XML.replace("2,5,7,5", "2,x,7,5", 1), r"a\.xml, box 1: expected the corners"),
        ("a.xml", XML.replace(f"<segs>{FLAT}</segs>", "", 1), r"a\.xml, box 1: expected the corners"),
        ("a.xml", XML_IN.format("gb2312"), r"a\.xml, line 1: expected XML in UTF-8, found a fault"),
        ("a.xml", XML_IN.format("nonsense"), r"a\.xml, line 1: expected XML"),
        ("a.txt", f"{FLAT},####a\n1,2,3,####b", r"a\.txt, line 2: expected the corners"),
        ("a.txt", f"{FLAT},word", r"a\.txt, line 1: expected the corners"),
    ],
)
def test_damage_is_named(tmp_path, name, content, found):
    write_photos(tmp_path, ["images/a.png"])
    write_texts(tmp_path, {f"gts/{name}": content})
    with pytest.raises(DataError, match=found):
        CTW1500(tmp_path, strict=True)[0]


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "lol" * 10}">' for n in range(9))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (f"<!DOCTYPE a [{LAUGHS}]>" + XML.replace("###", "&l8;"), "a document type"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd">' + XML, "a document type"),
        ("<a>" * 100_000 + "</a>" * 100_000, "levels of elements"),
    ],
    ids=["entities of entities", "another file", "depth"],
)
def test_xml_that_is_more_than_elements_is_refused(tmp_path, content, told):
    write_photos(tmp_path, ["images/0001.jpg"])
    write_texts(tmp_path, {"gts/0001.xml": content})
    with pytest.raises(DataError, match=rf"0001\.xml: expected plain XML, found .*{told}"):
        CTW1500(tmp_path, strict=True)[0]


def test_names_in_capitals_are_truth_too(tmp_path):
    write_photos(tmp_path, ["images/0001.jpg", "images/._0001.jpg"])
    write_texts(tmp_path, {"gts/0001.XML": XML})
    (words,) = CTW1500(tmp_path, strict=True)
    assert words.instances.transcriptions == ("TWO WORDS & more", "")
