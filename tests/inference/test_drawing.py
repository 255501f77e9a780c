import numpy as np
import pytest

from dld_spotter.core.batches import Word
from dld_spotter.inference.drawing import draw_reading
from dld_spotter.inference.predictor import Reading
from tests.data.samples import box, turned_box


def reading(*words, height=400, width=900):
    return Reading(words, 0.5, 1.84, 0.01, 0.25, width, height)


def draw(image, *words):
    return np.asarray(draw_reading(image, reading(*words, height=image.shape[0], width=image.shape[1])))


def changed(image, *words):
    """Box of what drawing changed in the picture: left, top, right, bottom."""
    rows, columns = np.nonzero((draw(image, *words)[: image.shape[0]] != image).any(2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_without_words_the_picture_stays_and_a_caption_is_below():
    image = np.random.default_rng(0).integers(0, 255, (400, 900, 3), np.uint8)
    drawn = draw(image)
    np.testing.assert_array_equal(drawn[:400], image)
    band = drawn[400:]
    assert band.shape[1] == 900
    assert 0 < (band < 128).mean() < 0.2


@pytest.mark.parametrize("polygon", [box(300, 150, 200, 40), turned_box(450, 200, 200, 40, 30)])
def test_outline_and_label_stand_at_the_word(polygon):
    left, top, right, bottom = changed(np.full((400, 900, 3), 128, np.uint8), Word(polygon, "sure", 0.99))
    assert left == pytest.approx(polygon[:, 0].min(), abs=4)
    assert right == pytest.approx(polygon[:, 0].max(), abs=4)
    assert bottom == pytest.approx(polygon[:, 1].max(), abs=4)
    assert polygon[:, 1].min() - 60 < top < polygon[:, 1].min() - 10


def test_labels_stay_inside():
    image = np.full((400, 900, 3), 128, np.uint8)
    for x, y in ((0, 0), (860, 0), (0, 380), (860, 380)):
        drawn = draw(image, Word(box(x, y, 40, 20), "longwordhere", 0.5))
        assert drawn.shape[1] == 900


def test_color_tells_the_score():
    image = np.zeros((400, 900, 3), np.uint8)
    sure, unsure = (draw(image, Word(box(300, 150, 200, 40), "word", score))[150, 400].astype(int) for score in (1.0, 0.0))
    assert sure[1] > sure[0]
    assert unsure[0] > unsure[1]


def test_small_photo_is_enlarged():
    small = np.full((40, 90, 3), 128, np.uint8)
    assert draw(small, Word(box(30, 15, 20, 4), "word", 0.9)).shape[1] == 900


def test_crowded_words_are_written_beside_the_picture():
    image = np.full((400, 900, 3), 255, np.uint8)
    words = [Word(box(60 * x, 16 * y, 58, 14), "crowd", 0.9) for x in range(15) for y in range(25)]
    drawn = draw(image, *words)
    assert drawn.shape[1] == 1800
    page = drawn[:400, 910:] < 200
    assert page.any(2).mean() > 0.05
    assert draw(image, *words[:1]).shape[1] == 900


def test_single_character_and_tiny_polygon_do_no_harm():
    image = np.full((400, 900, 3), 128, np.uint8)
    words = [Word(box(5 * i, 3, 1, 1), ".", 0.5) for i in range(100)]
    assert draw(image, *words).shape[1] == 1800
