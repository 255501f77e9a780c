"""Spotters whose recogniser reads pixels alone: as ONNX graphs and without torch they read what torch reads."""

import numpy as np
import pytest
import torch

from dld_spotter.core.charset import END, PADDING, Charset
from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.export import write
from dld_spotter.inference.agreement import Agreement
from dld_spotter.inference.checkpoint import load_checkpoint, save_checkpoint
from dld_spotter.inference.loading import load
from dld_spotter.inference.onnx_crops import OnnxCropBackend, ctc_greedy, ctc_log_probability
from dld_spotter.models import decoding
from dld_spotter.models.ppocr.reading import PPOCRWordRecognizer
from dld_spotter.models.ppocr.spotter import PPOCRSpotter
from dld_spotter.models.proposals import TextMapDecoder
from tests.small import CHARACTERS, CHARSET

SPACED = Charset(CHARACTERS + " ")
WIDTHS = {"whole": False, "half": True}
FINDS = {"stride": 1, "shrink": 0.5, "points": 2, "curved_below": 0.0, "turned_above": 1.5, "threshold": 0.5, "min_score": 0.5}
PHOTOS = [SceneRenderer(5, SceneLayout(200, 320, probabilities={"mixed": 1})).render(k).image for k in range(2)]


@torch.no_grad()
def waken(spotter: PPOCRSpotter) -> None:
    """Let an untrained spotter find a fifth of an image to be text, in cells of 4 x 4 pixels, and read characters there."""
    sample = torch.from_numpy(PHOTOS[0][:192]).permute(2, 0, 1)[None]
    head, recognizer = spotter.detector.head, spotter.recognizer
    for layer in (head.enlarge, head.output):
        layer.weight[:] = layer.weight.mean((2, 3), keepdim=True)
    head.output.weight *= 8 / spotter.detector(sample)[1].std()
    head.output.bias -= spotter.detector(sample)[1].quantile(0.8)
    context = recognizer.encode(recognizer.crop(sample, torch.rand(8, 2, 8, 2) * 90, torch.zeros(8, dtype=torch.int64)))
    output = recognizer.network.output
    inside = (context - context.mean(1, keepdim=True)).flatten(0, 1)  # what differs along a word, which is little
    _, size, directions = torch.linalg.svd(inside, full_matrices=False)
    output.weight[:] = torch.randn(len(SPACED), 2) @ (directions[:2] / size[:2, None]) * 4 * len(inside) ** 0.5
    output.bias[:] = -(context.mean((0, 1)) @ output.weight.T)
    output.bias[SPACED.classes(" ")] += 6


@pytest.fixture(scope="module", params=[pytest.param(half, id=name, marks=pytest.mark.slow) for name, half in WIDTHS.items()])
def exported(request, tmp_path_factory):
    """A small spotter of the family, untrained, and its export."""
    pytest.importorskip("onnxscript")
    folder = tmp_path_factory.mktemp("crops")
    torch.manual_seed(4)
    options = {"expansion": 0.5, "margin": 0.2, "halve_width": request.param, "width_ratio": 0.7}
    recognizer = PPOCRWordRecognizer(SPACED, (16, 16, 24), 16, **options)
    decoder = TextMapDecoder(**FINDS)
    spotter = PPOCRSpotter(SPACED, recognizer, decoder, (16, 16, 16, 24), 16, min_score=0.0, split_at_spaces=True).eval()
    waken(spotter)
    charset = {"_target_": "dld_spotter.core.charset.Charset", "characters": SPACED.characters}
    model = {
        "_target_": "dld_spotter.models.ppocr.spotter.PPOCRSpotter",
        "charset": charset,
        "recognizer": {
            "_target_": "dld_spotter.models.ppocr.reading.PPOCRWordRecognizer",
            "charset": charset,
            "stages": [16, 16, 24],
            "channels": 16,
            **options,
        },
        "postprocess": {"_target_": "dld_spotter.models.detector.TextMapDecoder", **FINDS},
        "stages": [16, 16, 16, 24],
        "channels": 16,
        "min_score": 0.0,
        "split_at_spaces": True,
    }
    facts = {"format": 1, "model": {"student": model}, "scales": [0.5, 1.0], "thumbnail": 64}
    save_checkpoint(folder / "student.ckpt", {"student": spotter}, facts)
    predictor = load(folder / "student.ckpt", device="cpu")
    write(load_checkpoint(folder / "student.ckpt"), predictor, folder / "exported")
    return predictor, load(folder / "exported")


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_reads_as_torch_does(exported, scale):
    ours, theirs = exported
    assert isinstance(theirs.backend, OnnxCropBackend)
    pairs = [(ours.read(image, scale=scale), theirs.read(image, scale=scale)) for image in PHOTOS]
    agreement = Agreement.of(pairs)
    assert agreement.words > 3
    assert agreement.shares() == {"polygons": 1, "texts": 1, "scores": 1}
    assert all(second.gflops == pytest.approx(first.gflops, rel=1e-2) for first, second in pairs)


def test_words_are_told_apart_at_spaces_as_in_torch(exported):
    ours, theirs = ([one.backend.detect([photo], 1.0)[0] for photo in PHOTOS] for one in exported)
    several = 0
    for pair in zip(ours, theirs, strict=True):
        first, second = (one.backend.recognize([found], [found.all])[0] for one, found in zip(exported, pair, strict=True))
        assert [(word.proposal, word.text) for word in first] == [(word.proposal, word.text) for word in second]
        assert not any(" " in word.text for word in first)
        several += len(first) - len({word.proposal for word in first})
    assert several > 1


def test_given_words_are_read_as_torch_reads_them(exported):
    polygons = [
        np.array(word, np.float32)
        for word in ([[9, 9], [90, 12], [90, 40], [9, 37]], [[50, 60], [300, 60], [300, 190], [50, 190]])
    ]
    words = [one.backend.read_boxes(one.backend.detect([PHOTOS[0]], 1.0)[0], polygons) for one in exported]
    assert [word.text for word in words[0]] == [word.text for word in words[1]]
    np.testing.assert_allclose(*([word.score for word in one] for one in words), atol=1e-3)


def test_columns_say_the_same_without_torch():
    logits = 2 * torch.randn(6, 9, len(CHARSET), generator=torch.Generator().manual_seed(1))
    columns = logits.log_softmax(-1).numpy()
    labels = torch.from_numpy(CHARSET.indices(["cat", "aa", "dog", "", "abcdefgo", "tttttttt"], 10))
    expected = decoding.ctc_log_probability(logits, labels).numpy()
    found = [ctc_log_probability(one, row) for one, row in zip(columns, labels.numpy(), strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert np.isinf(found[-1])
    paths, scores = decoding.ctc_greedy(logits)
    for one, path, score in zip(columns, paths.tolist(), scores.exp().tolist(), strict=True):
        own, own_score = ctc_greedy(one)
        assert own == [index for index in path if index != PADDING]
        assert own_score == pytest.approx(score, rel=1e-5)
    assert END not in labels[0, :3]
