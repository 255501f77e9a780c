import numpy as np
import pytest
from scipy.io import savemat

from dld_spotter.core.errors import DataError
from dld_spotter.data.readers.synthtext import SynthText
from tests.data.readers.trees import write_photos

QUADS = np.array([[[1, 2], [9, 2], [9, 8], [1, 8]], [[11, 2], [19, 3], [19, 9], [11, 8]], [[1, 12], [9, 12], [9, 18], [1, 18]]])
IMAGES = {
    "8/ballet_1_0.jpg": (QUADS.transpose(2, 1, 0), ["two words\n", "below"]),
    "8/ballet_1_1.jpg": (QUADS[0].T, ["one"]),
    "9/odd_1_0.jpg": (QUADS.transpose(2, 1, 0), ["only two"]),
    "9/odd_1_1.jpg": (np.full((2, 4), np.nan), ["nan"]),
}


def write_mat(root, images=IMAGES, **changes):
    cells = {key: np.empty((1, len(images)), object) for key in ("imnames", "wordBB", "txt", "charBB")}
    for place, (name, (boxes, texts)) in enumerate(images.items()):
        cells["imnames"][0, place] = np.array([name])
        cells["wordBB"][0, place], cells["txt"][0, place] = boxes.astype(float), np.array(texts)
        cells["charBB"][0, place] = np.zeros((2, 4, 9))
    savemat(root / "gt.mat", {key: value for key, value in (cells | changes).items() if value is not None})


def test_words_of_lines_and_a_single_box(tmp_path):
    write_mat(tmp_path)
    write_photos(tmp_path, IMAGES)
    dataset = SynthText(tmp_path)
    assert dataset.names == ["8/ballet_1_0", "8/ballet_1_1", "9/odd_1_0", "9/odd_1_1"]
    many, one = dataset[0], dataset[1]
    assert many.instances.transcriptions == ("two", "words", "below")
    np.testing.assert_array_equal(np.stack(many.instances.polygons), QUADS)
    assert one.instances.transcriptions == ("one",)
    np.testing.assert_array_equal(one.instances.polygons[0], QUADS[0])
    assert not many.instances.ignore.any()
    assert dataset[2].name == "8/ballet_1_0", "damaged entries are replaced"
    assert dataset.damaged == [2, 3]
    with pytest.raises(DataError, match=r"gt\.mat, image 9/odd_1_0\.jpg: expected a box for each of 2 words, found 3 boxes"):
        dataset.load(2)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gt\.mat does not exist; point data\.root"):
        SynthText(tmp_path)
    write_mat(tmp_path)
    with pytest.raises(DataError, match=r"none of the images that .*gt\.mat names, such as 8/ballet_1_0\.jpg, is in"):
        SynthText(tmp_path)
    write_mat(tmp_path, txt=None)
    with pytest.raises(DataError, match=r"gt\.mat holds no txt"):
        SynthText(tmp_path)
    (tmp_path / "gt.mat").write_bytes(b"no matlab")
    with pytest.raises(DataError, match=r"gt\.mat cannot be read as a MATLAB file"):
        SynthText(tmp_path)
    write_mat(tmp_path, imnames=np.full((1, 3), "a", object))
    with pytest.raises(DataError, match="holds 3 imnames, 4 txt and 4 wordBB"):
        SynthText(tmp_path)
