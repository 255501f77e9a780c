"""Large and long images are read in tiles, turned ones upright; every word comes once, and all is charged for.

The backend of these tests sees words that are drawn as rectangles of a colour of their own, so that what should come out is
known exactly: it reads the colour, is the surer the larger a rectangle is up to a height, and reads nothing below 8 pixels.
"""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from dld_spotter.budget.requests import Request
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.core.geometry import polygons_to_boundaries
from dld_spotter.core.words import Word
from dld_spotter.data.photos import ReferenceSize
from dld_spotter.data.views import resize
from dld_spotter.inference.backend import Backend
from dld_spotter.inference.pieces import LONG, PieceRule, beside, cut, stands_upright, upright
from dld_spotter.inference.predictor import Predictor
from dld_spotter.models.detections import Detections
from dld_spotter.models.proposals import Proposals

TOP = 60
"""Green of the side of a rectangle where letters have their tops: it tells which way a word is read."""


class Rectangles(Backend):
    """Reads rectangles: blue is 255, red the number of the word, and green is ``TOP`` in its upper third."""

    def __init__(self):
        self.views = []

    def describe(self):
        return "rectangles"

    def identity(self):
        return "rectangles", "cpu", 1

    def cost(self, height, width, words):
        return height * width / 1e6 + 0.01 * words

    def resize(self, image, height, width):
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST)

    def detect(self, images, scale, keep_all=False):
        return [self._detect(image, scale) for image in images]

    def _detect(self, image, scale):
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        view = self.resize(image, height, width)
        self.views.append((height, width))
        found = []
        for number in np.unique(view[view[..., 2] == 255][:, 0]):
            mask = (view[..., 2] == 255) & (view[..., 0] == number)
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            box = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
            inside = view[box[1] : box[3], box[0] : box[2]]
            upper = (inside[: max(len(inside) // 3, 1), ..., 1] == TOP).mean()
            size = min(box[3] - box[1], box[2] - box[0])
            if size >= 8:
                right_way = upper > 0.9 and box[2] - box[0] > box[3] - box[1]
                score = min(size / 40, 0.9) if right_way else 0.2
                left, top, right, bottom = box
                corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
                found.append(Word(corners / scale, f"word{number}" if right_way else "xx", score))
        boundaries = polygons_to_boundaries([word.polygon * scale for word in found])
        proposals = Proposals(boundaries, np.array([word.score for word in found], np.float32), np.full(len(found), -1))
        return Detections((height, width), np.zeros((height, width), np.float32), proposals, np.array([scale, scale]), found)

    def recognize(self, detections, which):
        return [[one.source[k] for k in kept.tolist()] for one, kept in zip(detections, which, strict=True)]


def scene(height, width, boxes):
    """Draw words ``(left, top, width, height)``, numbered from 1 on."""
    image = np.zeros((height, width, 3), np.uint8)
    for number, (left, top, w, h) in enumerate(boxes, start=1):
        image[top : top + h, left : left + w] = (number, 0, 255)
        image[top : top + h // 2, left : left + w, 1] = TOP
    return image


def predictor(**rule):
    return Predictor(Rectangles(), pieces=PieceRule(**rule))


def texts(reading):
    return sorted(word.text for word in reading.words)


def expect(reading, boxes, tolerance=3.0):
    """Every word once, where it is."""
    assert texts(reading) == sorted(f"word{number}" for number in range(1, len(boxes) + 1))
    for word in reading.words:
        left, top, width, height = boxes[int(word.text[4:]) - 1]
        box = np.array([[left, top], [left + width, top + height]])
        assert np.abs(np.stack([word.polygon.min(0), word.polygon.max(0)]) - box).max() <= tolerance


PANORAMA = [(20 + 230 * k, 40 + 37 * (k % 5), 180, 30) for k in range(51)]
SCREENSHOT = [(10 + 60 * (k % 3), 15 + 60 * k, 160, 24) for k in range(99)]


@pytest.mark.parametrize(
    ("height", "width", "boxes"), [(300, 12000, PANORAMA), (6000, 400, SCREENSHOT)], ids=["panorama", "screenshot"]
)
def test_long_images_are_read_in_tiles(height, width, boxes):
    image = scene(height, width, boxes)
    reading = predictor().read(image, scale=1.0)
    expect(reading, boxes)
    assert (reading.pieces > 5, reading.reduced) == (True, 1.0)
    whole = predictor(tiles="false").read(image, scale=1.0)
    assert (texts(whole), whole.pieces) == ([], 1)
    assert whole.reduced > 4


def test_a_large_scan_is_read_in_tiles_where_that_is_asked():
    boxes = [(30 + 330 * column, 20 + 70 * row, 250, 20) for row in range(60) for column in range(4)]
    image = scene(4300, 1400, boxes)
    whole, tiled = predictor().read(image, scale=1.0), predictor(tiles="true").read(image, scale=1.0)
    assert whole.pieces == 1
    assert texts(whole) == []
    expect(tiled, boxes)


@pytest.mark.parametrize("overlap", [0, 64, 256])
def test_words_that_tiles_cut_come_once_and_whole(overlap):
    long = [(500, 60, 1700, 60), (2900, 100, 700, 50), (3700, 200, 3000, 80)]
    across = [(left, 20, 150, 30) for left in range(0, 7000, 160)]
    boxes = [*across, *long]
    reading = predictor(overlap=overlap).read(scene(300, 7100, boxes), scale=1.0)
    expect(reading, boxes, tolerance=8.0)


def test_words_larger_than_tiles_are_found_in_the_small_view():
    boxes = [(100, 900, 3600, 1200), (300, 200, 90, 20)]
    reading = predictor(tiles="true").read(scene(3000, 4000, boxes), scale=1.0)
    expect(reading, boxes, tolerance=8.0)


def test_tiles_cover_everything_and_overlap():
    rule = PieceRule(tiles="true", overlap=200)
    for height, width in ((300, 12000), (6000, 400), (5000, 7000), (1281, 20), (1300, 1300)):
        pieces = [piece for piece in cut(height, width, ReferenceSize(long=LONG), rule) if piece.tile]
        seen = np.zeros((height, width), np.int16)
        for piece in pieces:
            piece.pixels(seen[..., None])[...] += 1
            assert max(piece.size) <= LONG + 1
        assert seen.min() == 1
        columns = sorted({(piece.box[0], piece.box[2]) for piece in pieces})
        assert all(before[1] - after[0] >= 199 for before, after in pairwise(columns))


@pytest.mark.parametrize("height", [1, 2, 5, 9])
@pytest.mark.parametrize("width", [1, 3, 40, 3000])
def test_images_of_a_few_pixels_have_no_words_and_no_fault(height, width):
    for rule in ({}, {"tiles": "true", "orientation": True}):
        reading = predictor(**rule).read(np.full((height, width, 3), 200, np.uint8), scale=1.0)
        assert (reading.words, reading.width, reading.height) == ((), width, height)


def test_all_pieces_are_charged():
    backend = Rectangles()
    reading = Predictor(backend).read(scene(300, 7100, PANORAMA[:20]), scale=1.0)
    pixels = sum(height * width for height, width in backend.views)
    assert len(backend.views) == reading.pieces
    assert reading.gflops == pytest.approx(pixels / 1e6 + 0.01 * (reading.gflops - pixels / 1e6) * 100)
    assert reading.gflops > pixels / 1e6 > 300 * 7100 / 1e6  # the overlap is paid for
    assert reading.relative_cost == pytest.approx(1.0)
    half = Predictor(Rectangles()).read(scene(300, 7100, PANORAMA[:20]), scale=0.5)
    assert 0.2 < half.relative_cost < 0.35


def test_a_cap_holds_for_all_pieces_together():
    image = scene(300, 7100, PANORAMA[:20])
    for rule, most in (({}, 0.3), ({"orientation": True}, 10.0)):
        reader = predictor(**rule)
        request = Request(scale=0.2, max_cost=most)
        reader.check_cap(image, request)
        (reading,) = reader.read_request([image], request)
        assert reading.relative_cost <= most
    with pytest.raises(ConfigError, match=r"max_cost=0\.5 cannot be met"):
        predictor(orientation=True).check_cap(image, Request(scale=0.2, max_cost=0.5))


TURNED = [(60, 50, 260, 44), (60, 130, 200, 44), (60, 220, 300, 44), (400, 300, 160, 44)]


@pytest.mark.parametrize("turn", range(4))
def test_turned_images_are_read(turn):
    upright_one = predictor(orientation=True).read(scene(400, 640, TURNED), scale=1.0)
    image = np.ascontiguousarray(np.rot90(scene(400, 640, TURNED), -turn))  # clockwise
    reading = predictor(orientation=True).read(image, scale=1.0)
    assert [word.text for word in reading.words] == [word.text for word in upright_one.words]
    assert reading.turned == 90 * turn
    for word in reading.words:
        left, top, width, height = TURNED[int(word.text[4:]) - 1]
        expected = [[left, top], [left + width, top], [left + width, top + height], [left, top + height]]
        back = upright(word.polygon, -turn, 400, 640)
        np.testing.assert_allclose(back, expected, atol=2)  # corners begin at the text's top left, whichever way it is turned
    without = predictor().read(image, scale=1.0)
    assert (texts(without) == texts(upright_one)) == (turn == 0)


@pytest.mark.parametrize(("height", "looks"), [(40, 4), (14, 8)])
def test_small_words_ask_for_a_closer_look(height, looks):
    boxes = [(60, 50, 260, height), (60, 130, 200, height)]
    reader = predictor(orientation=True)
    reading = reader.read(np.ascontiguousarray(np.rot90(scene(400, 640, boxes), 2)), scale=1.0)
    assert (texts(reading), reading.turned) == (["word1", "word2"], 180)
    assert len(reader.backend.views) == looks + 2 + 1  # two of them for upright signs


def test_text_that_runs_another_way_than_the_rest_is_read_too():
    image = scene(700, 900, TURNED)
    spine = scene(60, 400, [(20, 4, 300, 50)])
    spine[spine[..., 2] == 255, 0] = 9
    image[200:600, 800:860] = np.rot90(spine, 1)  # it runs upwards
    reading = predictor(orientation=True).read(image, scale=1.0)
    assert texts(reading) == ["word1", "word2", "word3", "word4", "word9"]
    assert reading.turned == 0
    assert "word9" not in texts(predictor().read(image, scale=1.0))


def test_looking_for_turned_text_is_charged():
    image = scene(400, 640, TURNED)
    plain, looked = predictor().read(image, scale=1.0), predictor(orientation=True).read(image, scale=1.0)
    views = 4 * 0.4**2 * plain.gflops
    assert plain.relative_cost == pytest.approx(1.0)
    assert views < looked.gflops - plain.gflops < 4 * views
    assert looked.relative_cost == pytest.approx(looked.gflops / plain.gflops)


def test_scales_above_one_enlarge_and_are_charged():
    tiny = [(20 + 60 * k, 30, 40, 6) for k in range(6)]
    image = scene(80, 400, tiny)
    reader = predictor()
    assert texts(reader.read(image, scale=1.0)) == []
    reading = reader.read(image, scale=2.0)
    expect(reading, tiny)
    assert reading.scale == 2.0
    assert reading.relative_cost == pytest.approx((160 * 800 / 1e6 + 0.06) / (80 * 400 / 1e6 + 0.06))
    with pytest.raises(ConfigError, match=r"max_cost=0\.9 cannot be met"):
        reader.read(image, scale=2.0, max_cost=0.9)


def test_enlarging_takes_the_pixels_of_the_original():
    boxes = [(100, 100, 90, 14)]
    image = scene(1000, 2560, boxes)
    assert texts(predictor().read(image, scale=1.0)) == []
    expect(predictor().read(image, scale=2.0), boxes)


def test_images_beyond_max_pixels_are_refused():
    image = scene(100, 200, [])
    assert not predictor(max_pixels=20_000).read(image, scale=1.0).words
    with pytest.raises(DataError, match="20,000 pixels, and at most 19,999"):
        predictor(max_pixels=19_999).read(image, scale=1.0)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"tiles": "maybe"}, "auto, true, false"),
        ({"overlap": -1}, "from 0 to 640"),
        ({"max_pixels": 0}, "from 1 to 178956970"),
        ({"max_pixels": 10**9}, "from 1 to 178956970"),
    ],
)
def test_bad_rules_are_told(rule, words):
    with pytest.raises(ConfigError, match=words):
        PieceRule(**rule)


def test_the_usual_resize_gives_whole_views():
    assert resize(np.zeros((1, 3000, 3), np.uint8), 1, 1280).shape == (1, 1280, 3)


def boxed(text, score, left, top, width, height, turned=False):
    """A word in a box; ``turned``: read from its top to its bottom."""
    corners = np.array([[left, top], [left + width, top], [left + width, top + height], [left, top + height]], np.float32)
    return Word(np.roll(corners, -1, axis=0) if turned else corners, text, score)


def column(text, score=0.9, left=0):
    """Letters one below the other."""
    return [boxed(letter, score, left, 40 * k, 24, 30) for k, letter in enumerate(text)]


@pytest.mark.parametrize(
    ("letters", "sign", "score", "read"),
    [
        ("HOTEL", "HOTEL", 0.65, ["HOTEL"]),  # they spell it, though they are surer
        ("HTEL", "Hotel", 0.65, ["Hotel"]),
        ("HOTEL", "HOTEL", 0.55, list("EHLOT")),  # and far surer
        ("258", "258", 0.9, list("258")),  # a column of a table
        ("LETOH", "HOTEL", 0.65, list("EHLOT")),  # in another order
        ("HOTEL", "HOTEL", 0.45, list("EHLOT")),  # a sign that nobody is sure of
        ("H0TEL", "HOTEL", 0.8, ["HOTEL"]),  # as sure as they, or nearly
        ("H0TEL", "HOTEL", 0.6, list("0EHLT")),
        ("HL", "HOTEL", 0.6, list("HL")),  # less than half of it
        ("OF", "OF", 0.9, list("FO")),  # too short for a sign
    ],
)
def test_letters_make_room_for_the_sign_that_they_spell(letters, sign, score, read):
    found = beside(column(letters), [boxed(sign, score, 0, 0, 26, 40 * len(letters), turned=True)])
    assert sorted(word.text for word in found) == sorted(read)


def test_the_longest_sign_counts_and_level_words_stay():
    level = boxed("Welcome", 0.95, 200, 0, 150, 30)
    signs = [boxed("BAK", 0.8, 0, 0, 26, 115, turned=True), boxed("BAKERY", 0.7, 0, 0, 26, 240, turned=True)]
    assert sorted(word.text for word in beside([*column("BAKERY"), level], signs)) == ["BAKERY", "Welcome"]


def test_lines_of_text_make_no_sign():
    lines = [boxed(text, 0.9, 0, 40 * k, 90, 30) for k, text in enumerate(["Open", "daily", "nine"])]
    found = beside(lines, [boxed("Odn", 0.95, 10, 0, 40, 115, turned=True)])
    assert [word.text for word in found] != ["Odn"]
    assert {"Open", "daily", "nine"} <= {word.text for word in found}


@pytest.mark.parametrize(("turn", "upright_box"), [(0, (24, 100)), (2, (24, 100)), (1, (100, 24)), (3, (100, 24))])
def test_upright_is_meant_as_the_image_is_read(turn, upright_box):
    width, height = upright_box
    assert stands_upright(boxed("BAR", 0.9, 0, 0, width, height), turn)
    assert not stands_upright(boxed("BAR", 0.9, 0, 0, height, width), turn)
    assert not stands_upright(boxed("BA", 0.9, 0, 0, width, height), turn)
