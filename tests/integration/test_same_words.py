"""``evaluate``, ``predict`` and the Python API read the same words, in torch and in ONNX Runtime."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dld_spotter
from dld_spotter.core.words import Word
from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.evaluation.predictions import PredictionForm
from dld_spotter.export import write
from dld_spotter.inference.agreement import LEAST, Agreement
from dld_spotter.inference.checkpoint import amend, load_checkpoint
from dld_spotter.inference.predictor import Reading
from tests.integration.runs import run
from tests.trained import make_checkpoint

SIZES = ((128, 192), (160, 128), (96, 256), (128, 192), (200, 200))
REQUESTS: dict[str, dict[str, float]] = {
    "as the policy decides": {},
    "at a scale": {"scale": 0.5},
    "for a cost weight": {"gamma": 0.3},
    "within a cap": {"max_cost": 0.6},
}
PHOTOS = Path(__file__).parents[3] / "shared" / "data" / "icdar2015" / "train"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered scenes in the form of ICDAR2015, one of them without words."""
    root = tmp_path_factory.mktemp("scenes")
    for name in ("images", "gts"):
        (root / name).mkdir()
    for number, (height, width) in enumerate(SIZES):
        scene = SceneRenderer(77, SceneLayout(height, width, probabilities={"medium": 1})).render(number)
        image = np.full_like(scene.image, 90) if number == 3 else scene.image
        Image.fromarray(image).save(root / "images" / f"img_{number}.png")
        (root / "gts" / f"gt_img_{number}.txt").write_text("5,5,60,5,60,30,5,30,cat\n")
    return root


@pytest.fixture(scope="module", params=["selector", "operating points"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small student, and a threshold at which it finds several words, though it has learnt nothing."""
    return small(tmp_path_factory.mktemp("same") / "student.ckpt", request.param == "operating points")


def small(path: Path, points: bool) -> Path:
    make_checkpoint(path, selector=not points, operating_points=points)
    model = deepcopy(load_checkpoint(path).provenance["model"])
    model["student"] |= {"min_score": 0.0}
    model["student"]["postprocess"] |= {"threshold": 0.125, "min_score": 0.01, "min_height": 1.0}
    amend(path, {"model": model})
    return path


@pytest.fixture(scope="module")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(checkpoint, tmp_path_factory.mktemp("exported"))


def export(checkpoint: str | Path, folder: Path) -> Path:
    write(load_checkpoint(checkpoint), dld_spotter.load(checkpoint, device="cpu"), folder)
    return folder


def overrides(request: Mapping[str, float]) -> list[str]:
    return [f"{name}={value}" for name, value in request.items()]


def of_evaluate(checkpoint: str | Path, root: Path, out: Path, request: Mapping[str, float]) -> dict[str, Sequence[Word]]:
    """Words by name, as the command has them before it writes them."""
    found: dict[str, Sequence[Word]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PredictionForm, "write", lambda form, path, words: found.update(words))
        given = [f"ckpt={checkpoint}", "data=icdar2015", f"data.root={root}", "data.workers=0", "resamples=10", "device=cpu"]
        ended = run("evaluate", *given, f"paths.output_dir={out}", *overrides(request))
    assert ended.status == 0, ended.stderr
    return found


def of_predict(checkpoint: str | Path, root: Path, out: Path, request: Mapping[str, float]) -> dict[str, list[Word]]:
    """Words by name; polygons to a tenth of a pixel, scores to four places."""
    given = [f"ckpt={checkpoint}", f"input={root / 'images'}", f"out={out / 'words.jsonl'}", "draw=false", "device=cpu"]
    ended = run("predict", *given, f"paths.output_dir={out}", *overrides(request))
    assert ended.status == 0, ended.stderr
    entries = [json.loads(line) for line in (out / "words.jsonl").read_text("utf-8").splitlines()]
    return {
        Path(entry["image"]).stem: [
            Word(np.array(word["polygon"], np.float32), word["text"], word["score"]) for word in entry["words"]
        ]
        for entry in entries
    }


def of_load(checkpoint: str | Path, root: Path, request: Mapping[str, float]) -> dict[str, Reading]:
    predictor = dld_spotter.load(checkpoint, device="cpu")
    return {path.stem: predictor.read(path, **request) for path in sorted((root / "images").iterdir())}


def assert_same(evaluated: Mapping[str, Sequence[Word]], predicted: Mapping[str, list[Word]], read: Mapping[str, Reading]):
    assert list(predicted) == list(read) == sorted(evaluated)
    for name, reading in read.items():
        texts = [word.text for word in reading.words]
        assert [word.text for word in evaluated[name]] == [word.text for word in predicted[name]] == texts
        for first, second, word in zip(evaluated[name], predicted[name], reading.words, strict=True):
            np.testing.assert_array_equal(first.polygon, word.polygon)
            np.testing.assert_allclose(second.polygon, word.polygon, atol=0.051)
            assert first.score == pytest.approx(word.score, abs=1e-6)  # sums of several threads
            assert word.score == pytest.approx(second.score, abs=6e-5)


def assert_agree(read: Mapping[str, Reading], other: Mapping[str, Reading]):
    agreement = Agreement.of((read[name], other[name]) for name in read)
    assert agreement.words > 0
    shares = agreement.shares()
    assert {name: share for name, share in shares.items() if share < LEAST[name]} == {}
    assert [reading.scale for reading in other.values()] == [reading.scale for reading in read.values()]


@pytest.mark.parametrize("request_name", REQUESTS)
def test_three_ways_to_read_are_one(checkpoint: Path, scenes: Path, tmp_path: Path, request_name: str):
    request = REQUESTS[request_name]
    read = of_load(checkpoint, scenes, request)
    assert sum(len(reading.words) for reading in read.values()) > 2
    assert_same(of_evaluate(checkpoint, scenes, tmp_path, request), of_predict(checkpoint, scenes, tmp_path, request), read)


def test_a_budget_is_spent_alike_on_photos_in_one_order(scenes: Path, tmp_path: Path):
    path = small(tmp_path / "student.ckpt", points=True)
    request = {"budget": 0.35}
    predictor = dld_spotter.load(path, device="cpu")
    read = {photo.stem: predictor.read(photo, **request) for photo in sorted((scenes / "images").iterdir())}
    assert len({(reading.scale, reading.second_pass_share > 0) for reading in read.values()}) > 1
    assert_same(of_evaluate(path, scenes, tmp_path, request), of_predict(path, scenes, tmp_path, request), read)


@pytest.mark.slow
@pytest.mark.parametrize("request_name", REQUESTS)
def test_an_export_reads_the_same_words(checkpoint: Path, exported: Path, scenes: Path, tmp_path: Path, request_name: str):
    request = REQUESTS[request_name]
    read, other = of_load(checkpoint, scenes, request), of_load(exported, scenes, request)
    assert_agree(read, other)
    predicted = of_predict(exported, scenes, tmp_path, request)
    assert {name: [word.text for word in words] for name, words in predicted.items()} == {
        name: [word.text for word in reading.words] for name, reading in other.items()
    }


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty photos that the bundled weights have not learnt from, with their words."""
    names = PHOTOS / "validation.txt"
    if not names.is_file():
        pytest.skip(f"{names} is absent")
    root = tmp_path_factory.mktemp("photos")
    for name in ("images", "gts"):
        (root / name).mkdir()
    for photo in names.read_text().split()[:20]:
        truth = f"gt_{Path(photo).stem}.txt"
        (root / "images" / photo).symlink_to(PHOTOS / "images" / photo)
        (root / "gts" / truth).symlink_to(PHOTOS / "gts" / truth)
    return root


def test_the_bundled_weights_read_scenes_alike(scenes: Path, tmp_path: Path):
    read = of_load("bundled", scenes, {})
    assert sum(len(reading.words) for reading in read.values()) > 5
    assert_same(of_evaluate("bundled", scenes, tmp_path, {}), of_predict("bundled", scenes, tmp_path, {}), read)


@pytest.mark.slow
@pytest.mark.parametrize("request_name", ["as the policy decides", "at a scale"])
def test_the_bundled_weights_read_photos_alike(photos: Path, tmp_path: Path, request_name: str):
    request = REQUESTS[request_name]
    predictor = dld_spotter.load("bundled", device="cpu")
    read = {path.stem: predictor.read(path, **request) for path in sorted((photos / "images").iterdir())}
    assert sum(len(reading.words) for reading in read.values()) > 30
    assert_same(of_evaluate("bundled", photos, tmp_path, request), of_predict("bundled", photos, tmp_path, request), read)


@pytest.mark.slow
def test_the_bundled_weights_read_photos_alike_in_onnx(photos: Path, tmp_path: Path):
    folder = export("bundled", tmp_path / "exported")
    for request in ({}, {"scale": 0.5}):
        assert_agree(of_load("bundled", photos, request), of_load(folder, photos, request))
