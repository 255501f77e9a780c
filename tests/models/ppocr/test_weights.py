"""Weights out of the wheel: the same figures as ONNX Runtime, fewer classes, errors in one sentence."""

import importlib.util

import cv2
import numpy as np
import pytest
import torch

from dld_spotter.core.charset import BLANK, PRINTABLE_ASCII, SPECIAL, Charset
from dld_spotter.core.errors import CheckpointError, ConfigError
from dld_spotter.models.ppocr import weights
from dld_spotter.models.ppocr.detector import PPOCRDetector
from dld_spotter.models.ppocr.recognizer import HEIGHT, PPOCRRecognizer
from dld_spotter.models.ppocr.weights import (
    FILES,
    classes_of,
    detector_state,
    known_characters,
    missing,
    recognizer_state,
)

IMAGENET = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])  # which PP-OCR applies to blue, green, red


def pixels(bgr: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(bgr[..., ::-1])).permute(2, 0, 1)[None]


def planes(normalized: np.ndarray) -> np.ndarray:
    return normalized.transpose(2, 0, 1)[None]


def loaded(network: torch.nn.Module, state: dict) -> torch.nn.Module:
    network.load_state_dict(state)
    return network.eval()


@torch.inference_mode()
def test_detector_equals_onnx_runtime_on_photos(original, photos):
    run, detector = original("detector"), loaded(PPOCRDetector(), detector_state())
    sizes = [(704, 1280), (352, 640), (224, 416), (96, 160)]
    for index, photo in enumerate(photos):
        height, width = sizes[index % len(sizes)]
        image = cv2.resize(cv2.imread(str(photo)), (width, height), interpolation=cv2.INTER_AREA)
        expected = run(planes((image / 255 - IMAGENET[0]) / IMAGENET[1]))[0, 0]
        _, logits = detector(pixels(image))
        np.testing.assert_allclose(logits[0].sigmoid().numpy(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
@torch.inference_mode()
def test_recognizer_equals_onnx_runtime_on_words(original, words, every):
    run, characters = original("recognizer"), known_characters()
    charset = Charset(PRINTABLE_ASCII)
    recognizer = loaded(PPOCRRecognizer(len(charset)), recognizer_state(charset))
    kept = np.array(classes_of(charset, characters))
    known, differences = np.flatnonzero(kept >= 0), []
    for word in words[::every]:
        image = cv2.imread(str(word))
        image = cv2.resize(image, (max(16, round(HEIGHT * image.shape[1] / image.shape[0])), HEIGHT))
        expected = run(planes(image / 127.5 - 1))[0]
        probabilities = recognizer(pixels(image))[0, :, known].softmax(-1).numpy()
        among_kept = expected[:, kept[known]] / expected[:, kept[known]].sum(1, keepdims=True)
        differences.append(np.abs(probabilities - among_kept).ravel())
    found = np.concatenate(differences)
    assert np.mean(found <= 1e-4) > 0.9999  # near a tie of two characters sums in another order show a little more
    assert found.max() < 1e-3


@pytest.mark.usefixtures("installed")
def test_fewer_characters_give_the_same_logits():
    strips = torch.rand(2, 3, HEIGHT, 96) * 255
    many, few = Charset(PRINTABLE_ASCII), Charset("zA7é")
    networks = [loaded(PPOCRRecognizer(len(charset)), recognizer_state(charset)) for charset in (many, few)]
    all_logits, logits = (network(strips) for network in networks)
    places = [BLANK, *(SPECIAL + PRINTABLE_ASCII.index(character) for character in "zA7")]
    torch.testing.assert_close(logits[..., [BLANK, *range(SPECIAL, SPECIAL + 3)]], all_logits[..., places])
    assert logits.argmax(-1).lt(len(few)).all()


@pytest.mark.usefixtures("installed")
def test_characters_that_it_does_not_know_are_not_written():
    charset = Charset("a\N{SNOWMAN WITHOUT SNOW}\N{DESERET SMALL LETTER LONG I}")
    state = recognizer_state(charset)
    unknown = [i for i, place in enumerate(classes_of(charset, known_characters())) if place < 0]
    assert {1, 2} < set(unknown)
    assert (state["output.weight"][unknown] == 0).all()
    assert (state["output.bias"][unknown] == weights.NEVER).all()


@pytest.mark.usefixtures("installed")
def test_every_parameter_is_given_and_finite():
    for state in (detector_state(), recognizer_state(Charset("abc"))):
        assert all(tensor.isfinite().all() and tensor.dtype == torch.float32 for tensor in state.values())


@pytest.mark.parametrize("module", ["rapidocr", "onnx"])
def test_a_missing_package_is_named_with_its_remedy(monkeypatch, module):
    monkeypatch.setattr(weights, "find_spec", lambda name: None if name == module else importlib.util.find_spec("torch"))
    with pytest.raises(CheckpointError, match=rf"{module} is not installed: pip install 'dld-spotter\[rapidocr\]'"):
        detector_state()


def test_nothing_missing_is_no_sentence(monkeypatch):
    monkeypatch.setattr(weights, "find_spec", lambda name: name)
    assert missing() is None


def test_a_file_that_cannot_be_read_is_named(monkeypatch, tmp_path):
    pytest.importorskip("onnx")
    path = tmp_path / "models" / FILES["detector"]
    path.parent.mkdir()
    path.write_bytes(b"not a graph")
    spec = importlib.util.spec_from_file_location("rapidocr", tmp_path / "__init__.py")
    monkeypatch.setattr(weights, "find_spec", lambda name: spec)
    with pytest.raises(CheckpointError, match=r"PP-OCRv6_det_small\.onnx cannot be read"):
        detector_state()


def test_another_network_is_refused(monkeypatch):
    monkeypatch.setattr(weights, "_read", lambda part: ([np.zeros((24, 3, 3, 3))], []))
    with pytest.raises(CheckpointError, match=r"another network than that of 3\.10"):
        detector_state()


def test_a_charset_without_case_is_refused():
    with pytest.raises(ConfigError, match="charset=printable"):
        recognizer_state(Charset("abc", fold_case=True))
