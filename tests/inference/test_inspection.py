"""Everything that is found, and what is read in given boxes, in torch, in ONNX Runtime and by engines."""

from pathlib import Path

import numpy as np
import pytest

from dld_spotter.core.charset import Charset
from dld_spotter.core.errors import ConfigError
from dld_spotter.export import write
from dld_spotter.inference.checkpoint import load_checkpoint
from dld_spotter.inference.inspection import inspect
from dld_spotter.inference.loading import load
from dld_spotter.inference.predictor import Predictor
from dld_spotter.inference.torch_backend import TorchBackend
from dld_spotter.models.detector import TextMapDecoder
from tests.data.samples import box, sample, turned_box
from tests.exports import small_export
from tests.inference.engines.drawn import DrawnEngine
from tests.small import LEVELS, make_spotter
from tests.trained import make_checkpoint

PHOTO = sample(200, 256, [box(10, 10, 60, 20), turned_box(128, 100, 50, 16, 20)], ["cat", "dog"]).image


def reader(threshold: float = 0.12) -> Predictor:
    """Finds several regions in the photo below 0.12 or so, and none far above."""
    spotter = make_spotter(1)
    spotter.postprocess = TextMapDecoder(threshold=threshold, min_score=0.05)
    return Predictor(TorchBackend(spotter))


def texts(words) -> list[str]:
    return [word.text for word in words]


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_regions_are_the_words_of_a_reading_and_those_below_the_score(scale):
    predictor = reader()
    spotter = predictor.backend.spotter
    everything = predictor.read(PHOTO, scale=scale).words
    scores = sorted(word.score for word in everything)
    spotter.min_score = scores[len(scores) // 2]
    assert 0 < len(predictor.read(PHOTO, scale=scale).words) < len(everything)
    seen = inspect(predictor, PHOTO, scale)
    found, expected = (sorted(words, key=lambda word: word.score) for words in (seen.regions, everything))  # in no order
    found = [word for word in found if word.text]
    assert texts(found) == texts(expected)
    np.testing.assert_allclose([word.score for word in found], [word.score for word in expected])
    assert seen.boxes is None
    assert spotter.min_score == scores[len(scores) // 2]  # and is as it was


def test_a_region_of_which_nothing_is_read_is_told(monkeypatch):
    predictor = reader()
    before = inspect(predictor, PHOTO, 1.0).regions
    monkeypatch.setattr(Charset, "decode", lambda charset, indices: "")
    after = inspect(predictor, PHOTO, 1.0, [box(10, 10, 60, 20)])
    assert [(word.text, word.score) for word in after.regions] == [("", 0.0)] * len(before)
    assert [(word.text, word.score) for word in after.boxes] == [("", 0.0)]


def test_boxes_are_read_as_if_they_had_been_detected():
    predictor = reader()
    found = [word for word in inspect(predictor, PHOTO, 0.5).regions if word.text]
    read = inspect(predictor, PHOTO, 0.5, [word.polygon for word in found]).boxes
    assert texts(read) == texts(found)
    corners = [np.stack([word.polygon[[0, 7, 8, 15]] for word in words]) for words in (read, found)]
    np.testing.assert_allclose(*corners, atol=1e-3)


def test_an_image_without_boxes_or_regions():
    blind = reader(threshold=0.9)
    assert inspect(blind, PHOTO, 1.0, []).boxes == ()
    seen = inspect(blind, PHOTO, 1.0, [box(10, 10, 60, 20)])
    assert (seen.regions, len(seen.boxes)) == ((), 1)


@pytest.mark.slow
def test_an_export_that_reads_features_inspects_as_torch_does(tmp_path):
    path = make_checkpoint(tmp_path / "small.ckpt", full_resolution_crops=False, levels=LEVELS)
    reader = load(path, device="cpu")
    write(load_checkpoint(path), reader, tmp_path / "exported")
    compare(reader, tmp_path / "exported")


def test_an_export_inspects_as_torch_does(tmp_path_factory):
    checkpoint, folder = small_export(tmp_path_factory)
    compare(load(checkpoint, device="cpu"), folder)


def compare(reader: Predictor, folder: Path) -> None:
    """Hold what an export says of a photo against what torch does."""
    boxes = [box(10, 10, 60, 20), turned_box(128, 100, 50, 16, 20)]
    first, second = (inspect(one, PHOTO, 0.5, boxes) for one in (reader, load(folder)))
    for name in ("regions", "boxes"):
        words, others = getattr(first, name), getattr(second, name)
        assert texts(words) == texts(others)
        np.testing.assert_allclose([word.score for word in words], [word.score for word in others], atol=1e-3)
        np.testing.assert_allclose(*(np.stack([word.polygon for word in some]) for some in (words, others)), atol=0.1)
    assert len(first.boxes) == 2


def test_an_engine_tells_its_words_and_refuses_boxes():
    predictor = Predictor(DrawnEngine())
    image = sample(64, 96, [box(10, 20, 70, 16)], ["cat dog"]).image
    assert texts(inspect(predictor, image, 1.0).regions) == ["cat", "dog"]
    with pytest.raises(ConfigError, match="engine=drawn finds its words itself and reads no given boxes"):
        inspect(predictor, image, 1.0, [box(10, 20, 70, 16)])
