"""What the bundled weights once misread, by kind; the pictures are rendered here."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

import dld_spotter
from dld_spotter.inference.pieces import PieceRule
from tests.inference.pages import TEXT, Sheet, font


@pytest.fixture(scope="module")
def spotter():
    return dld_spotter.load("bundled", device="cpu")


def card(*lines, size=36, ground="white", ink="black", mode="RGB"):
    """Lines of text on a card."""
    width = int(max(font(size).getlength(line) for line in lines)) + 80
    image = Image.new(mode, (width, 60 + 2 * size * len(lines)), ground)
    for number, line in enumerate(lines):
        ImageDraw.Draw(image).text((40, 40 + 2 * size * number), line, fill=ink, font=font(size))
    return image


def texts(reading):
    return [word.text for word in reading.words]


@pytest.mark.parametrize(("ground", "ink"), [("white", "black"), ("black", "white")])
def test_case_is_read_as_it_is_seen(spotter, ground, ink):
    assert texts(spotter.read(card("Settings", "coffee", "MENU", ground=ground, ink=ink), scale=1.0)) == [
        "Settings",
        "coffee",
        "MENU",
    ]


def test_words_come_in_reading_order(spotter):
    lines = ["ALPHA BETA GAMMA", "DELTA EPSILON", "ZETA ETA THETA"]
    reading = spotter.read(card(*lines), scale=1.0)
    assert [line.text for line in reading.lines] == lines


def test_transparent_letters_are_read(spotter):
    assert texts(spotter.read(card("WHITE", ground=(0, 0, 0, 0), ink="white", mode="RGBA"), scale=1.0)) == ["WHITE"]


def test_ten_of_sixteen_bits_are_read(spotter):
    grey = np.asarray(card("HOUSE", "GARDEN").convert("L")).astype(np.uint16) * 4
    assert texts(spotter.read(Image.fromarray(grey), scale=1.0)) == ["HOUSE", "GARDEN"]


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_turned_words_are_found_where_that_is_asked(spotter, turn):
    looking = dld_spotter.Predictor(
        spotter.backend, spotter.policy, scaling=spotter.scaling, pieces=PieceRule(orientation=True)
    )
    image = card("STATION", "Bus stop").rotate(-90 * turn, expand=True)
    reading = looking.read(image, scale=1.0)
    assert (texts(reading), reading.turned) == (["STATION", "Bus", "stop"], 90 * turn)
    assert texts(spotter.read(image, scale=1.0)) != texts(reading)


def test_upright_signs_are_read_where_that_is_asked(spotter):
    looking = dld_spotter.Predictor(
        spotter.backend, spotter.policy, scaling=spotter.scaling, pieces=PieceRule(orientation=True)
    )
    image = Image.new("RGB", (900, 620), "#7a8a80")
    draw = ImageDraw.Draw(image)
    draw.text((60, 550), "Welcome to our street", fill="black", font=font(40))
    draw.rectangle((420, 20, 500, 376), fill="#202060")
    for k, letter in enumerate("PARKING"):
        draw.text((460 - font(40).getlength(letter) / 2, 30 + 48 * k), letter, fill="white", font=font(40))
    assert "PARKING" in texts(looking.read(image, scale=1.0))
    assert "PARKING" not in texts(spotter.read(image, scale=1.0))


def test_huge_letters_are_found_without_a_scale(spotter):
    image = Image.new("RGB", (1280, 720), "#608060")
    ImageDraw.Draw(image).rectangle((60, 60, 1220, 660), fill="#a01010")
    ImageDraw.Draw(image).text((100, 100), "STOP", fill="white", font=font(400))
    assert texts(spotter.read(image)) == ["STOP"]


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(12000, 300), (400, 6000)])
def test_long_images_are_read(spotter, width, height):
    sheet, number = Sheet(width, height), 0
    for y in range(60, height - 60, 120):
        x = 30
        while x < width - 260:
            x = sheet.word(x, y, TEXT[number % len(TEXT)], 30) + 20
            number += 1
    reading = spotter.read(np.asarray(sheet.image), scale=1.0)
    expected = [word.text for word in sheet.words]
    assert abs(len(reading.words) - len(expected)) <= 0.02 * len(expected)
    assert np.mean([word.text.lower() in TEXT for word in reading.words]) >= 0.97


@pytest.mark.slow
def test_no_word_of_many_is_left_out(spotter):
    sheet = Sheet(1280, 900)
    for row in range(20):
        for column in range(16):
            sheet.word(20 + 78 * column, 40 + 43 * row, TEXT[(7 * row + column) % len(TEXT)][:5], 17)
    reading = spotter.read(np.asarray(sheet.image), scale=1.0)
    assert reading.dropped == 0
    assert len(reading.words) >= 0.98 * len(sheet.words)
