"""The study that tunes PP-OCRv6 small's detector to words, see experiments/27_ppocr_words."""

import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dld_spotter.core.batches import Sample, TextInstances, Word
from dld_spotter.core.errors import CheckpointError
from dld_spotter.inference.checkpoint import load_checkpoint
from dld_spotter.models.ppocr.weights import missing
from tests.data.samples import box, turned_box

FOLDER = Path(__file__).parents[2] / "experiments" / "27_ppocr_words"


@pytest.fixture(scope="module")
def study():
    sys.path.insert(0, str(FOLDER))
    try:
        yield {**runpy.run_path(str(FOLDER / "crops.py")), **runpy.run_path(str(FOLDER / "evaluate.py"))}
    finally:
        sys.path.remove(str(FOLDER))


def test_where_labels_are_missing_only_words_and_their_surroundings_count(study):
    words = TextInstances.of([box(20, 30, 60, 16)], ["word"])
    crop = Sample(np.zeros((96, 128, 3), np.uint8), words, "one")
    whole, partly = (study["targets"](crop, flag, study["Recipe"](size=128)) for flag in (False, True))
    assert whole.text.sum() > 0
    np.testing.assert_array_equal(whole.text, partly.text)
    assert (whole.care == 1).all()
    assert partly.care[38, 50] == partly.care[25, 50] == 1
    assert partly.care[80, 50] == partly.care[10, 10] == 0


def test_a_reduced_crop_takes_its_words_along(study):
    image = np.zeros((600, 800, 3), np.uint8)
    word = box(300, 200, 200, 80)
    cv2.fillPoly(image, [word.astype(np.int32)], (255, 255, 255))
    sample = Sample(image, TextInstances.of([word], ["word"]), "one")
    crop = study["ScaledCrop"](256, (0.5, 0.5), 0.0)(sample, np.random.default_rng(0))
    low, high = crop.instances.polygons[0].min(0), crop.instances.polygons[0].max(0)
    np.testing.assert_allclose(high - low, [100, 40], atol=0.1)
    x, y = ((low + high) / 2).astype(int)
    if (crop.instances.polygons[0] >= 0).all() and (crop.instances.polygons[0] <= 256).all():
        assert crop.image[y, x].min() == 255


@pytest.mark.parametrize("angle", [0, 20, -35])
@pytest.mark.parametrize("size", [(120, 30), (200, 130)])
def test_a_word_is_straightened(study, size, angle):
    polygon = turned_box(200, 200, *size, angle)
    image = np.full((400, 400, 3), 40, np.uint8)
    cv2.fillPoly(image, [np.rint(polygon - 0.5).astype(np.int32)], (200, 200, 200))
    strip = study["cut"](image, polygon)
    assert strip.shape == (48, 8 * round(48 * size[0] / size[1] / 8), 3)
    assert strip[4:-4, 4:-4].min() > 190


def test_shares_count_words_that_matter(study):
    truth = TextInstances.of(
        [box(0, 0, 100, 20), box(0, 50, 100, 20), box(0, 90, 50, 20)], ["a", "b", ""], [False, False, True]
    )
    words = [Word(box(0, 0, 100, 20), "", 0.9), Word(box(0, 50, 70, 20), "", 0.9)]
    assert study["overlap_shares"]([truth], [words]) == (1.0, 0.5)
    best, score = study["best_score"]([truth], [[*words, Word(box(200, 200, 40, 20), "", 0.35)]], "detection")
    assert best.hmean == 1
    assert score == 0.4


def test_the_tuned_detector_becomes_a_checkpoint(tmp_path):
    if reason := missing():
        pytest.skip(reason)
    convert = runpy.run_path(str(FOLDER / "to_checkpoint.py"))["convert"]
    detector = load_checkpoint("ppocr_small").spotter().detector
    with torch.no_grad():
        detector.head.output.bias += 1
    torch.save({"average": detector.state_dict()}, tmp_path / "best.pt")
    out = convert(tmp_path / "best.pt", tmp_path / "tuned.ckpt", min_score=0.4)
    assert out.stat().st_size < 12e6
    spotter = load_checkpoint(out).spotter()
    assert spotter.min_score == 0.4
    torch.testing.assert_close(spotter.detector.head.output.bias, detector.head.output.bias, atol=1e-3, rtol=1e-3)
    torch.save({"average": {}}, tmp_path / "other.pt")
    for name in ("absent.pt", "other.pt"):
        with pytest.raises(CheckpointError, match=f"{name} holds no detector of train_detector.py"):
            convert(tmp_path / name, tmp_path / "none.ckpt")


def test_the_bundled_detector_becomes_one_with_another_recogniser(tmp_path):
    if reason := missing():
        pytest.skip(reason)
    convert = runpy.run_path(str(FOLDER / "to_checkpoint.py"))["convert"]
    out = convert(Path("bundled_tiny"), tmp_path / "both.ckpt", min_score=0.7)
    assert out.stat().st_size < 12e6
    ours, both, theirs = (load_checkpoint(name).spotter() for name in ("bundled_tiny", out, "ppocr_small"))
    image = torch.randint(0, 255, (1, 3, 64, 96), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(ours.detect_maps(image)[1].text, both.detect_maps(image)[1].text)
    expected = theirs.recognizer.network.output.weight
    torch.testing.assert_close(both.recognizer.network.output.weight, expected, atol=1e-3, rtol=1e-3)
