"""An exported spotter reads as the one it was exported from, and without torch."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from dld_spotter.core.errors import CheckpointError, ConfigError
from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.export import write, write_meta
from dld_spotter.inference.agreement import Agreement
from dld_spotter.inference.checkpoint import amend, load_checkpoint
from dld_spotter.inference.graphs import quantize
from dld_spotter.inference.loading import load
from dld_spotter.inference.onnx_backend import onnx_predictor
from dld_spotter.inference.onnx_meta import FORMAT, META, read_meta
from dld_spotter.inference.second_pass.two_pass import read_once
from dld_spotter.models.graphs import DetectorGraph
from dld_spotter.models.vocabulary import KNOWN_WORD_POWER
from tests.budget.test_candidates import CANDIDATES
from tests.data.samples import box, sample, turned_box
from tests.small import LEVELS, SCALES
from tests.trained import GAMMAS, POINTS, make_checkpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[False, True], ids=["view", "full_resolution_crops"])
def checkpoint(request, tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("onnx") / "student.ckpt", full_resolution_crops=request.param, levels=LEVELS)


@pytest.fixture(scope="module")
def predictor(checkpoint):
    return load(checkpoint, device="cpu")


@pytest.fixture(scope="module")
def folder(checkpoint, predictor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    write(load_checkpoint(checkpoint), predictor, folder)
    return folder


@pytest.fixture(scope="module")
def exported(folder):
    return onnx_predictor(folder)


def photo(height, width):
    words = [box(10, 10, 60, 20), turned_box(width / 2, height / 2, 50, 16, 20)]
    return sample(height, width, words, ["cat", "dog"]).image


PHOTOS = [photo(*size) for size in ((96, 128), (128, 96), (64, 320), (200, 256))]


@pytest.mark.parametrize("scale", SCALES)
def test_reads_as_torch_does(predictor, exported, scale):
    pairs = [(predictor.read(image, scale=scale), exported.read(image, scale=scale)) for image in PHOTOS]
    agreement = Agreement.of(pairs)
    assert agreement.words > 0
    assert agreement.shares() == {"polygons": 1, "texts": 1, "scores": 1}
    for first, second in pairs:
        assert second.gflops == pytest.approx(first.gflops)
        assert second.relative_cost == pytest.approx(first.relative_cost)
        assert (second.width, second.height, second.scale) == (first.width, first.height, first.scale)


def test_words_that_fall_apart_are_among_the_photos(predictor):
    backend = predictor.backend
    results = [read_once(backend.detect([image], 1.0), backend)[0] for image in PHOTOS]
    assert sum(result.reads[0] for result in results) > sum(len(result.words) for result in results)


@pytest.mark.parametrize("full_resolution_crops", [False, True])
def test_operating_points_are_read_as_torch_does(full_resolution_crops, tmp_path):
    given = {"selector": False, "full_resolution_crops": full_resolution_crops, "operating_points": True}
    path = make_checkpoint(tmp_path / "points.ckpt", **given)
    amend(path, {"candidates": CANDIDATES.to_dict()})
    predictor = load(path, device="cpu")
    write(load_checkpoint(path), predictor, tmp_path / "exported")
    exported = onnx_predictor(tmp_path / "exported")
    assert exported.policy.candidates == predictor.policy.candidates == CANDIDATES
    for gamma in (2.0, 0.5, 0.1):
        pairs = [(predictor.read(image, gamma=gamma), exported.read(image, gamma=gamma)) for image in PHOTOS]
        agreement = Agreement.of(pairs)
        assert agreement.words > 0
        assert agreement.shares() == {"polygons": 1, "texts": 1, "scores": 1}
        for first, second in pairs:
            assert second.scale == first.scale == POINTS.at(gamma).scale
            assert (second.gflops, second.second_pass_share) == pytest.approx((first.gflops, first.second_pass_share))
    for max_cost in (0.9, 0.5):
        pairs = [[one.read(image, gamma=0.1, max_cost=max_cost) for one in (predictor, exported)] for image in PHOTOS[:2]]
        assert Agreement.of(pairs).shares() == {"polygons": 1, "texts": 1, "scores": 1}
        assert max(reading.relative_cost for pair in pairs for reading in pair) <= max_cost
    assert predictor.read(PHOTOS[0], gamma=2.0).gflops > predictor.read(PHOTOS[0], scale=0.3).gflops  # it has read twice
    assert 0 < exported.read(PHOTOS[0], budget=0.3).relative_cost < 1.5


def test_a_vocabulary_travels_with_the_graphs(tmp_path, monkeypatch):
    scene = SceneRenderer(77, SceneLayout(256, 384, probabilities={"medium": 1})).render(5).image
    read = [word.text for word in load("bundled_tiny", device="cpu", vocabulary="none").read(scene, scale=1.0).words]
    known, *others = sorted({text.lower() for text in read if text.isalpha() and len(text) > 4})
    near = {text[:-1] + "x" for text in others}
    (tmp_path / "words.txt").write_text("\n".join({known, *near}))
    predictor = load("bundled_tiny", device="cpu", vocabulary=tmp_path / "words.txt")
    weigh = predictor.backend.spotter.weigh
    with monkeypatch.context() as patch:  # unsure of all it sees
        patch.setattr(predictor.backend.spotter, "weigh", lambda *asked: weigh(*asked) / 100)
        assert {word.text.lower() for word in predictor.read(scene, scale=1.0).words} & near
    write(load_checkpoint("bundled_tiny", tmp_path / "words.txt"), predictor, tmp_path / "exported")
    (tmp_path / "words.txt").unlink()
    exported = onnx_predictor(tmp_path / "exported")
    assert exported.backend.vocabulary.words == predictor.backend.spotter.vocabulary.words
    pair = predictor.read(scene, scale=1.0), exported.read(scene, scale=1.0)
    assert Agreement.of([pair]).shares() == {"polygons": 1, "texts": 1, "scores": 1}
    assert pair[1].gflops == pytest.approx(pair[0].gflops)
    without = onnx_predictor(tmp_path / "exported", vocabulary="none")
    known_word, plain = (
        next(word.score for word in one.read(scene, scale=1.0).words if word.text.lower() == known)
        for one in (exported, without)
    )
    assert known_word == pytest.approx(plain**KNOWN_WORD_POWER)
    assert [word.text for word in without.read(scene, scale=1.0).words] == read


def test_chooses_as_torch_does(predictor, exported):
    for image in PHOTOS:
        for gamma in (*GAMMAS, None):
            assert exported.decide(image, gamma) == predictor.decide(image, gamma)
        reading = exported.read(image)
        assert reading.scale == predictor.read(image).scale
        assert reading.gflops == pytest.approx(predictor.read(image).gflops)


def test_batches_of_any_size(predictor, exported):
    """The graphs themselves take several images, and words of all of them in any order."""
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (3, 3, 96, 160), dtype=np.uint8))
    text, *pyramid = exported.backend._detector.run(None, {"images": images.numpy()})
    spotter = predictor.backend.spotter
    with torch.no_grad():
        features, maps = spotter.detect_maps(images)
    np.testing.assert_allclose(text, maps.text.sigmoid(), atol=1e-5)
    for level, expected in zip(pyramid, features[1:], strict=True):
        np.testing.assert_allclose(level, expected, atol=1e-4)
    boundaries = torch.rand(5, 2, 8, 2) * torch.tensor([200.0, 120.0]) - 20  # some of them beyond the border
    index = torch.tensor([2, 0, 1, 2, 0])
    inputs = dict(zip(("fine", "middle", "coarse"), pyramid, strict=True))
    inputs |= {
        "images": images.numpy(),
        "image_index": index.numpy(),
        "boundaries": boundaries.numpy(),
        "image_boundaries": boundaries.numpy(),
    }
    labels, scores, encoded = exported.backend._recognizer.run(None, inputs)
    with torch.no_grad():
        _, context = spotter.recognizer.encoder(spotter.cut(features, boundaries, index))
        expected, log_probability = spotter.recognizer.read(context)
    np.testing.assert_array_equal(labels[:, : expected.shape[1]], expected)
    assert not labels[:, expected.shape[1] :].any()
    np.testing.assert_allclose(scores, log_probability, atol=1e-4)
    np.testing.assert_allclose(encoded, context, atol=1e-4)
    tried, texts = np.array([4, 0, 0, 2]), spotter.charset.encode(["cat", "dog", "", "a"], 5)
    found = exported.backend._rescorer.run(None, {"context": encoded, "words": tried, "labels": texts.numpy()})[0]
    with torch.no_grad():
        np.testing.assert_allclose(found, spotter.weigh(context, torch.from_numpy(tried), texts), atol=1e-3)


def test_several_photos_are_read_as_each_alone(exported):
    photos = [PHOTOS[0], np.zeros((40, 40, 3), np.uint8), np.ascontiguousarray(PHOTOS[0][:, ::-1])]
    for reading, photo in zip(exported.read_all(photos, scale=0.5), photos, strict=True):
        alone = exported.read(photo, scale=0.5)
        assert [word.text for word in reading.words] == [word.text for word in alone.words]
        for word, other in zip(reading.words, alone.words, strict=True):
            np.testing.assert_allclose(word.polygon, other.polygon, atol=1e-3)


def test_photo_without_words(exported):
    assert exported.read(np.zeros((40, 40, 3), np.uint8), scale=0.3).words is not None


def test_quantized_graphs_are_smaller_and_still_read(folder, exported, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    for name in ("detector.onnx", "recognizer.onnx"):
        quantize(tmp_path / name)
        assert (tmp_path / name).stat().st_size < (folder / name).stat().st_size
    with pytest.raises(CheckpointError, match=r"detector\.onnx is of another export than .*; export again"):
        onnx_predictor(tmp_path)
    write_meta(tmp_path, read_meta(tmp_path))
    agreement = Agreement.of([(exported.read(p, scale=1), onnx_predictor(tmp_path).read(p, scale=1)) for p in PHOTOS])
    assert agreement.polygons > 0


def test_needs_no_torch(folder, predictor, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(PHOTOS[0]).save(path)
    code = f"""
import sys, json
for name in ("torch", "lightning", "hydra", "transformers", "omegaconf"):
    sys.modules[name] = None
import dld_spotter
from dld_spotter.inference.onnx_backend import onnx_predictor
for predictor in (onnx_predictor({str(folder)!r}, threads=1), dld_spotter.load({str(folder)!r})):
    print(json.dumps([word.text for word in predictor.read({str(path)!r}, scale=0.5).words]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = map(json.loads, done.stdout.splitlines())
    assert first == second == [word.text for word in predictor.read(path, scale=0.5).words]


def test_options_are_checked_as_in_torch(exported):
    for options, words in (
        ({"gamma": 0.7}, "choose one of 0.05, 0.1, 0.3"),
        ({"gamma": 0.1, "scale": 0.5}, "exclude each other"),
        ({"scale": 0.0}, "at most 1"),
    ):
        with pytest.raises(ConfigError, match=words):
            exported.read(PHOTOS[0], **options)


def test_damaged_folders_are_told(folder, tmp_path):
    with pytest.raises(CheckpointError, match=r"meta\.json does not exist"):
        onnx_predictor(tmp_path)
    (tmp_path / META).write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        onnx_predictor(tmp_path)
    (tmp_path / META).write_text('{"format": 99}')
    with pytest.raises(CheckpointError, match=f"format {FORMAT}"):
        onnx_predictor(tmp_path)
    meta = json.loads((folder / META).read_text())
    (tmp_path / META).write_text(json.dumps({key: value for key, value in meta.items() if key != "files"}))
    with pytest.raises(CheckpointError, match=r"detector\.onnx does not exist"):
        onnx_predictor(tmp_path)
    (tmp_path / "detector.onnx").write_text("no graph")
    with pytest.raises(CheckpointError, match=r"detector\.onnx is no graph"):
        onnx_predictor(tmp_path)


def test_torch_exports_it(predictor):
    graph = DetectorGraph(predictor.backend.spotter).eval()
    batch, height, width = (torch.export.Dim(name, max=64) for name in ("batch", "height", "width"))
    images = torch.zeros(2, 3, 64, 96, dtype=torch.uint8)
    program = torch.export.export(graph, (images,), dynamic_shapes=({0: batch, 2: 32 * height, 3: 32 * width},))
    images = torch.randint(0, 255, (3, 3, 96, 160), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(images), graph(images))


def test_torch_compiles_it(predictor):
    def cut(images, boundaries, index):
        features, maps = predictor.backend.spotter.detect_maps(images)
        return maps.text, predictor.backend.spotter.cut(features, boundaries, index).pixels

    compiled = torch.compile(cut, dynamic=True)
    for size, words in (((64, 96), 3), ((96, 160), 5)):
        images = torch.randint(0, 255, (2, 3, *size), dtype=torch.uint8)
        boundaries, index = torch.rand(words, 2, 8, 2) * 60, torch.arange(words) % 2
        with torch.no_grad():
            torch.testing.assert_close(
                compiled(images, boundaries, index), cut(images, boundaries, index), atol=1e-4, rtol=1e-4
            )


def test_the_command_exports_quantizes_and_compares(checkpoint, tmp_path):
    out = tmp_path / "exported"
    command = [sys.executable, "-m", "dld_spotter.export", f"ckpt={checkpoint}", f"out={out}", "images=1", "quantize=int8"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "texts equal" in done.stdout
    assert "ONNX int8" in done.stdout
    graphs = {"detector.onnx", "recognizer.onnx", "rescorer.onnx", "selector.onnx"}
    assert {path.name for path in out.iterdir()} == graphs | {META}
    assert onnx_predictor(out).backend.meta["quantized"] == "int8"
