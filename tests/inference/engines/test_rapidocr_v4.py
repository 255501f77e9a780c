"""RapidOCR 1.4 itself, where it is installed."""

import numpy as np
import pytest

from dld_spotter.core.errors import ConfigError
from dld_spotter.inference.engines import ppocr
from dld_spotter.inference.engines.rapidocr_v4 import RapidOCRv4
from dld_spotter.inference.predictor import Predictor
from tests.inference.engines.drawn import written, written_spans


@pytest.fixture(scope="module")
def engine():
    if reason := RapidOCRv4.missing():
        pytest.skip(reason)
    return RapidOCRv4(threads=1)


def input_sizes(engine, image):
    """Heights and widths that the engine's detector network is given for an image."""
    detector, sizes = engine.pipeline.text_det, []
    infer = detector.infer
    detector.infer = lambda pixels: sizes.append(pixels.shape[2:]) or infer(pixels)
    try:
        engine.read(image)
    finally:
        detector.infer = infer
    return sizes


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (40, 2400, (64, 2400)),  # longer than max_side_len, wider than width_height_ratio allows
        (96, 160, (96, 160)),  # lower than limit_side_len
        (20, 20, (32, 32)),  # lower than min_side_len and min_height
        (81, 130, (96, 160)),  # rounded up by padding, not by resizing
    ],
)
def test_the_engine_does_not_resize(engine, height, width, expected):
    assert input_sizes(engine, np.full((height, width, 3), 200, np.uint8)) == [expected]


def test_words_are_read_where_they_are(engine):
    words = Predictor(engine).read(written()).words
    assert [word.text for word in words] == ["HELLO", "WORLD"]
    found = [(word.polygon[:, 0].min(), word.polygon[:, 0].max()) for word in words]
    np.testing.assert_allclose(found, written_spans(), atol=25)  # its line is cut in proportion to characters
    assert all(0.5 < word.score <= 1 for word in words)


def test_a_line_that_runs_downwards_is_cut_downwards(engine):
    turned = np.ascontiguousarray(np.rot90(written(), -1))
    words = Predictor(engine).read(turned).words
    assert [word.text for word in words] == ["HELLO", "WORLD"]
    found = [(word.polygon[:, 1].min(), word.polygon[:, 1].max()) for word in words]
    np.testing.assert_allclose(found, written_spans(), atol=25)


def test_colours_arrive_in_the_engines_order(engine):
    seen = []
    pipeline, engine.pipeline = engine.pipeline, lambda image: seen.append(image) or (None, None)
    try:
        assert engine.read(np.full((32, 32, 3), (1, 2, 3), np.uint8)) == []
    finally:
        engine.pipeline = pipeline
    assert seen[0][0, 0].tolist() == [3, 2, 1]


def test_what_is_missing_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr(ppocr, "find_spec", lambda name: None if name == "pyclipper" else object())
    with pytest.raises(ConfigError, match=r"engine=rapidocr_v4 cannot run here: pyclipper is not installed; pip .*--no-deps"):
        RapidOCRv4()
