"""RapidOCR 3 itself, where it is installed."""

import socket
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from shapely.geometry import Polygon

from dld_spotter.core.errors import ConfigError
from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.inference.engines import ppocr, rapidocr
from dld_spotter.inference.engines.engine import Line
from dld_spotter.inference.engines.rapidocr import RapidOCR, words_of
from dld_spotter.inference.predictor import Predictor
from tests.data.samples import box
from tests.inference.engines.drawn import written, written_spans

LINE = Line(box(0, 0, 100, 20), "AB CD", 0.9)


@pytest.fixture(scope="module")
def installed():
    if reason := RapidOCR.missing():
        pytest.skip(reason)


@pytest.fixture(scope="module")
def engine(installed):
    return RapidOCR(threads=1)


def detector_inputs(engine, image, monkeypatch):
    """What the engine's detector network is given for an image, ``(1, 3, H, W)`` each."""
    detector, seen = engine.pipeline.text_det, []
    session = detector.session
    monkeypatch.setattr(detector, "session", lambda pixels: seen.append(pixels) or session(pixels))
    engine.read(image)
    return seen


def iou(first, second):
    first, second = Polygon(first), Polygon(second)
    return first.intersection(second).area / first.union(second).area


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (40, 2400, (64, 2400)),  # longer than max_side_len, wider than width_height_ratio allows
        (96, 160, (96, 160)),  # lower than limit_side_len
        (20, 20, (32, 32)),  # lower than min_side_len and min_height
        (1, 1, (32, 32)),
        (81, 130, (96, 160)),  # rounded up by padding, not by resizing
    ],
)
def test_the_detector_sees_the_very_pixels_that_it_is_given(engine, height, width, expected, monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    (seen,) = detector_inputs(engine, image, monkeypatch)
    assert seen.shape == (1, 3, *expected)
    shown = np.rint((seen[0].transpose(1, 2, 0) + 1) * 127.5)[..., ::-1]  # from -1..1 BGR
    np.testing.assert_array_equal(shown[:height, :width], image)
    assert not shown[height:].any()
    assert not shown[:, width:].any()


def test_words_are_read_where_they_are(engine):
    words = Predictor(engine).read(written()).words
    assert [word.text for word in words] == ["HELLO", "WORLD"]
    found = [(word.polygon[:, 0].min(), word.polygon[:, 0].max()) for word in words]
    np.testing.assert_allclose(found, written_spans(), atol=8)  # its own boxes of words
    assert all(0.5 < word.score <= 1 for word in words)


def test_a_line_that_runs_downwards_has_words_below_each_other(engine):
    turned = np.ascontiguousarray(np.rot90(written(), -1))
    words = Predictor(engine).read(turned).words
    assert [word.text for word in words] == ["HELLO", "WORLD"]
    found = [(word.polygon[:, 1].min(), word.polygon[:, 1].max()) for word in words]
    np.testing.assert_allclose(found, written_spans(), atol=8)
    for word in words:  # each begins at its text's top left, which is its top right
        assert word.polygon[0, 0] == word.polygon[:, 0].max()
        assert word.polygon[0, 1] == word.polygon[:, 1].min()


def test_a_rendered_scene_is_read_and_most_boxes_fit(engine):
    renderer, overlaps, true = SceneRenderer(1, SceneLayout(512, 512)), [], 0
    for index in range(2, 6):
        scene = renderer.render(index)
        words = Predictor(engine).read(scene.image).words
        assert all(word.text and not any(letter.isspace() for letter in word.text) for word in words)
        assert all(0 <= word.score <= 1 for word in words)
        for polygon, text in zip(scene.instances.polygons, scene.instances.transcriptions, strict=True):
            true += 1
            same = [iou(word.polygon, polygon) for word in words if word.text == text]
            overlaps += [max(same)] if same else []
    assert len(overlaps) >= 0.7 * true
    assert np.mean(np.array(overlaps) >= 0.5) >= 0.7


def test_the_same_image_gives_the_same_words(engine):
    first, second = engine.read(written()), engine.read(written())
    assert [(word.text, word.score, word.polygon.tolist()) for word in first] == [
        (word.text, word.score, word.polygon.tolist()) for word in second
    ]


@pytest.mark.parametrize("size", [(1, 1), (20, 20), (3, 500), (200, 300)])
def test_an_image_without_text_has_no_words(engine, size):
    assert Predictor(engine).read(np.full((*size, 3), 200, np.uint8)).words == ()


def test_colours_arrive_in_the_engines_order(engine, monkeypatch):
    seen = []
    empty = engine.pipeline(np.zeros((32, 32, 3), np.uint8))
    monkeypatch.setattr(engine, "pipeline", lambda image: seen.append(image) or empty)
    assert engine.read(np.full((32, 32, 3), (1, 2, 3), np.uint8)) == []
    assert seen[0][0, 0].tolist() == [3, 2, 1]


@pytest.mark.usefixtures("installed")
def test_lines_below_the_score_are_dropped(monkeypatch):
    assert Predictor(RapidOCR(min_score=1.0, threads=1)).read(written()).words == ()
    for wrong in (-0.1, 1.5):
        with pytest.raises(ConfigError, match=rf"engine\.min_score={wrong} must lie in 0\.\.1"):
            RapidOCR(min_score=wrong)


def test_each_network_heeds_the_number_of_threads(engine):
    parts = engine.pipeline.text_det, engine.pipeline.text_cls, engine.pipeline.text_rec
    assert {part.session.session.get_session_options().intra_op_num_threads for part in parts} == {1}
    assert engine.identity()[2] == 1


def test_more_threads_than_cores_are_as_many_as_cores(monkeypatch):
    monkeypatch.setattr(ppocr.os, "cpu_count", lambda: 4)
    assert [ppocr.usable_threads(threads) for threads in (1, 4, 9)] == [1, 4, 4]


def test_its_version_is_that_of_the_wheel(engine):
    assert engine.describe() == f"rapidocr {metadata.version('rapidocr')}, relative cost by area"


@pytest.mark.usefixtures("installed")
def test_nothing_is_loaded_from_the_network(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it reaches for the network"))
    assert [word.text for word in RapidOCR(threads=1).read(written())] == ["HELLO", "WORLD"]


@pytest.mark.usefixtures("installed")
def test_a_model_that_is_gone_or_damaged_is_named_with_the_remedy(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it reaches for the network"))
    monkeypatch.setattr(rapidocr, "models_folder", lambda: tmp_path)
    for name in list(rapidocr.MODELS.values())[1:]:
        (tmp_path / name).write_text("no model")
    with pytest.raises(ConfigError, match=r"cannot run here: .* lacks PP-OCRv6_det_small\.onnx; .*pip install --force"):
        RapidOCR()
    (tmp_path / rapidocr.MODELS["Det"]).write_text("no model")
    with pytest.raises(ConfigError, match=r"engine=rapidocr cannot load the models in .* \(.*\); .*pip install --force"):
        RapidOCR()


def test_what_is_missing_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr(ppocr, "find_spec", lambda name: None if name == "colorlog" else object())
    with pytest.raises(ConfigError, match=r'engine=rapidocr cannot run here: colorlog is not installed; pip .*\[rapidocr\]"'):
        RapidOCR()


@pytest.mark.parametrize(
    ("text", "pieces", "expected"),
    [
        ("AB CD", [("AB", 40), ("CD", 60)], ["AB", "CD"]),
        ("ABCD", [("AB", 40), ("CD", 60)], ["AB", "CD"]),  # it cuts at wide gaps as well
        ("AB CD", None, ["AB CD"]),
        ("AB CD", [], ["AB CD"]),
        ("AB CD", [("AB", 40)], ["AB CD"]),  # not all of the line
        ("AB CD", [("EF", 40), ("CD", 60)], ["AB CD"]),  # those of another line
        ("A\u4e00 C", [("A", 10), ("\u4e00", 30), ("C", 60)], ["A\u4e00 C"]),  # boxes of characters
        ("A\uff01", [("A", 10), ("\uff01", 30)], ["A\uff01"]),
    ],
)
def test_pieces_are_words_where_they_spell_the_line(text, pieces, expected):
    line = LINE._replace(text=text)
    given = None if pieces is None else [(part, 0.1, box(left, 0, 30, 20).tolist()) for part, left in pieces]
    words = words_of(line, given)
    assert [(word.text, word.score) for word in words] == [(word, 0.9) for word in expected]
    if len(words) > 1:
        assert words[1].polygon.tolist() == box(60, 0, 30, 20).tolist()


@pytest.mark.parametrize("first", range(4))
def test_the_box_of_a_word_begins_where_its_line_does(first):
    word = box(10, 0, 6, 40)  # such as an I: higher than wide in a line that is wider than high
    np.testing.assert_array_equal(ppocr.beginning_as(np.roll(word, first, axis=0), LINE.polygon), word)
