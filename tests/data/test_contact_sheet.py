"""The picture by which a user sees whether polygons and texts belong to the words."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dld_spotter.core.batches import Sample, TextInstances
from dld_spotter.inference.drawing import BAND, CELL, CROP_HEIGHT, draw_samples
from tests.data.samples import box

WORD = box(20, 60, 80, 36)  # as high as a strip: its left half is red, its right half blue


def sample(polygon=WORD, text="word", ignore=False, height=200, width=CELL) -> Sample:
    image = Image.new("RGB", (width, height), (90, 90, 90))
    draw = ImageDraw.Draw(image)
    draw.rectangle((20, 60, 59, 95), (200, 0, 0))
    draw.rectangle((60, 60, 99, 95), (0, 0, 200))
    return Sample(np.asarray(image), TextInstances.of([polygon], [text], [ignore]), "name")


def strip(drawn: Image.Image, height: int = 200) -> np.ndarray:
    """Pixels where the first word of the first image is shown."""
    return np.asarray(drawn)[height + BAND : height + BAND + CROP_HEIGHT, :80].astype(int)


def test_a_word_is_cut_out_along_its_polygon():
    shown = strip(draw_samples([sample()]))
    assert (shown[4:-4, 4:36] == (200, 0, 0)).all()
    assert (shown[4:-4, 44:76] == (0, 0, 200)).all()


def test_a_polygon_that_starts_at_the_opposite_corner_shows_its_word_turned():
    shown = strip(draw_samples([sample(np.roll(WORD, 2, axis=0))]))
    assert (shown[4:-4, 4:36] == (0, 0, 200)).all()
    assert (shown[4:-4, 44:76] == (200, 0, 0)).all()


def arch(outer: int = 150, inner: int = 110) -> Sample:
    """Half a ring, red above the middle and blue below it, and the word that it stands for, on white."""
    size, middle = (2 * outer, outer), (outer + inner) / 2
    y, x = np.mgrid[: size[1], : size[0]] + 0.5
    radius = np.hypot(x - outer, y - outer)[..., None]
    image = np.where(radius > middle, (200, 0, 0), (0, 0, 200))
    image = np.where((radius > outer) | (radius < inner), 255, image).astype(np.uint8)
    along = np.linspace(np.pi, 2 * np.pi, 33)
    points = np.stack([np.cos(along), np.sin(along)], 1)
    polygon = np.concatenate([outer + outer * points, (outer + inner * points)[::-1]]).astype(np.float32)
    return Sample(image, TextInstances.of([polygon], ["arch"]), "arch")


def test_a_curved_word_is_straightened_along_both_sides():
    cell = draw_samples([arch()])
    top = cell.height - CROP_HEIGHT - BAND
    shown = np.asarray(cell)[top : top + CROP_HEIGHT, :280].astype(int)
    assert np.abs(shown[4 : CROP_HEIGHT // 2 - 3, 4:-4] - (200, 0, 0)).max() < 20
    assert np.abs(shown[CROP_HEIGHT // 2 + 3 : -4, 4:-4] - (0, 0, 200)).max() < 20


def test_large_words_are_averaged():
    height, width = 1200, 2400
    y, x = np.mgrid[:height, :width]
    image = np.repeat(((x + y) % 2 * 255).astype(np.uint8)[..., None], 3, 2)
    shown = strip(draw_samples([Sample(image, TextInstances.of([box(0, 0, width, height)], ["grid"]), "grid")]), CELL // 2)
    assert np.abs(shown[2:-2, 2:60] - 127).max() < 12, "a chequerboard of single pixels is grey from afar"


@pytest.mark.parametrize("text", ["two\r\nlines", "\0", "\t", "\x1b[31m"])
def test_control_characters_are_shown_as_such(text):
    assert strip(draw_samples([sample(text=text)])).std() > 0


def test_ignored_words_are_outlined_only():
    drawn = draw_samples([sample(ignore=True)])
    assert (strip(drawn) == 255).all()
    assert (np.asarray(drawn)[:200, :CELL] != sample().image).any()


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (3, 3, 1), (4, 3, 2)])
def test_images_stand_in_rows(count, columns, rows):
    drawn = draw_samples([sample() for _ in range(count)])
    assert drawn.width >= columns * CELL
    assert drawn.height == rows * (200 + 2 * BAND + CROP_HEIGHT)


@pytest.mark.parametrize("polygon", [np.zeros((4, 2), np.float32), box(-500, -500, 20, 10), box(5, 5, 0, 30)])
def test_impossible_polygons_do_no_harm(polygon):
    draw_samples([sample(polygon), Sample(np.zeros((1, 1, 3), np.uint8), TextInstances.of([], []), "tiny")])
