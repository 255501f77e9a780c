import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import dld_spotter
from dld_spotter.budget.cost import FlopCost
from dld_spotter.core.batches import Word
from dld_spotter.core.errors import CheckpointError, ConfigError, DataError
from dld_spotter.data.photos import ReferenceSize, to_array
from dld_spotter.data.views import make_thumbnails, resize
from dld_spotter.inference.checkpoint import amend
from dld_spotter.inference.loading import load
from dld_spotter.inference.predictor import Predictor, Reading
from tests.data.samples import box, sample
from tests.small import SCALES, THUMBNAIL
from tests.trained import GAMMAS, make_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("reading") / "student.ckpt")


@pytest.fixture(scope="module")
def predictor(checkpoint):
    return load(checkpoint, device="cpu")


@pytest.fixture
def photo():
    return sample(96, 128, [box(10, 10, 60, 20)], ["cat"]).image


def test_package_gives_what_it_promises_without_importing_torch():
    code = "import sys, dld_spotter; assert 'torch' not in sys.modules; dir(dld_spotter); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert dld_spotter.load is load
    assert dld_spotter.Word is Word
    assert dld_spotter.Predictor is Predictor
    assert dld_spotter.Reading is Reading
    assert set(dld_spotter.__all__) <= set(dir(dld_spotter))
    with pytest.raises(AttributeError, match="nothing"):
        _ = dld_spotter.nothing


def test_scores_are_scaled_as_the_checkpoint_says(checkpoint, predictor, photo, tmp_path):
    plain = predictor.read(photo, scale=0.5)
    shutil.copy(checkpoint, tmp_path / "scaled.ckpt")
    amend(tmp_path / "scaled.ckpt", {"score_scaling": {"slope": 2.0, "offset": -1.0}})
    scaled = load(tmp_path / "scaled.ckpt", device="cpu").read(photo, scale=0.5)
    assert plain.words
    for word, before in zip(scaled.words, plain.words, strict=True):
        odds = before.score / (1 - before.score)
        assert word.score / (1 - word.score) == pytest.approx(odds**2 / np.e, rel=1e-4)
    amend(tmp_path / "scaled.ckpt", {"score_scaling": {"slope": -1.0, "offset": 0.0}})
    with pytest.raises(CheckpointError, match=r"ScoreScaling.*slope above 0"):
        load(tmp_path / "scaled.ckpt", device="cpu")


def test_file_image_and_array_are_read_alike(predictor, photo, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    readings = [predictor.read(image, scale=0.5) for image in (photo, Image.fromarray(photo), path, str(path))]
    assert readings[0].words
    for reading in readings:
        assert (reading.width, reading.height, reading.scale) == (128, 96, 0.5)
        assert [word.text for word in reading.words] == [word.text for word in readings[0].words]
        for word, first in zip(reading.words, readings[0].words, strict=True):
            np.testing.assert_array_equal(word.polygon, first.polygon)


def same_words(found, expected):
    assert [word.text for word in found.words] == [word.text for word in expected.words]
    for word, other in zip(found.words, expected.words, strict=True):
        np.testing.assert_allclose(word.polygon, other.polygon, atol=1e-3)
        assert word.score == pytest.approx(other.score, abs=1e-4)


def test_several_photos_are_read_as_each_alone(predictor, photo, monkeypatch):
    other = sample(96, 128, [box(40, 50, 50, 25)], ["dog"]).image
    photos = [photo, np.ascontiguousarray(photo[:64]), other, photo]
    counts = []
    detect = predictor.backend.detect
    monkeypatch.setattr(predictor.backend, "detect", lambda images, scale: counts.append(len(images)) or detect(images, scale))
    found = predictor.read_all(photos, scale=0.5)
    assert counts == [3, 1]  # those of one size go together
    assert any(reading.words for reading in found)
    for reading, image in zip(found, photos, strict=True):
        alone = predictor.read(image, scale=0.5)
        same_words(reading, alone)
        assert (reading.width, reading.height, reading.gflops) == (alone.width, alone.height, alone.gflops)
    chosen = predictor.read_all(photos)
    assert [reading.scale for reading in chosen] == [predictor.read(image).scale for image in photos]
    assert predictor.read_all([]) == []


def test_a_photo_of_twelve_megapixels_is_read_as_its_copy_at_the_reference(predictor):
    large = np.full((3000, 4000, 3), 230, np.uint8)
    for left, top in ((400, 500), (2200, 1700)):
        large[top : top + 300, left : left + 900] = 20
    copy = resize(large, 960, 1280)
    found, expected = predictor.read(large, scale=0.5), predictor.read(copy, scale=0.5)
    assert found.words
    assert (found.width, found.height) == (4000, 3000)
    assert found.gflops == expected.gflops
    assert [word.text for word in found.words] == [word.text for word in expected.words]
    for word, small in zip(found.words, expected.words, strict=True):
        np.testing.assert_allclose(word.polygon, small.polygon * 3.125, rtol=1e-5)


def test_sideways_photo_is_read_upright(photo):
    sideways = Image.fromarray(np.rot90(photo).copy())
    sideways.getexif()[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    np.testing.assert_array_equal(to_array(sideways), photo)


def test_scale_is_the_selectors(predictor, photo):
    sizes = torch.tensor([photo.shape[:2]])
    costs = FlopCost(predictor.backend.spotter).relative(sizes, SCALES)
    choices = predictor.policy(make_thumbnails([photo], THUMBNAIL), sizes, costs)
    for gamma, choice in zip(GAMMAS, choices, strict=True):
        assert predictor.read(photo, gamma=gamma).scale == SCALES[int(choice.index[0])]
    assert predictor.read(photo).scale == SCALES[int(choices[1].index[0])]


def test_costs_add_up(predictor, photo):
    flops = FlopCost(predictor.backend.spotter)
    fixed, chosen = predictor.read(photo, scale=0.5), predictor.read(photo)
    assert fixed.gflops == pytest.approx(flops.cost(48, 64, len(fixed.words)))
    assert fixed.relative_cost == pytest.approx(fixed.gflops / flops.cost(96, 128, len(fixed.words)))
    assert predictor.policy.thumbnail == THUMBNAIL
    assert predictor.policy.gflops > 0
    size = round(96 * chosen.scale), round(128 * chosen.scale)
    assert chosen.gflops == pytest.approx(flops.cost(*size, len(chosen.words)) + predictor.policy.gflops)
    assert predictor.read(photo, scale=1).relative_cost == pytest.approx(1)


def test_large_photo_is_limited_and_its_words_are_in_its_own_pixels(checkpoint, photo):
    large = np.kron(photo, np.ones((4, 4, 1), np.uint8))
    limited = load(checkpoint, ReferenceSize(long=128), "cpu")
    reading = limited.read(large, scale=1)
    words = limited.read(Image.fromarray(large).resize((128, 96), Image.Resampling.BOX), scale=1).words
    assert (reading.width, reading.height) == (512, 384)
    assert reading.gflops == pytest.approx(limited.backend.cost(96, 128, len(reading.words)))
    found = np.concatenate([word.polygon for word in reading.words])
    assert found.max() > 128
    assert len(words) == len(reading.words)
    np.testing.assert_allclose(found, 4 * np.concatenate([word.polygon for word in words]), atol=4)


def test_reading_twice_gives_the_same(predictor, photo):
    first, second = predictor.read(photo), predictor.read(photo)
    assert [(word.text, word.score) for word in first.words] == [(word.text, word.score) for word in second.words]


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (33, 5)])
def test_odd_sizes(predictor, size):
    reading = predictor.read(np.zeros((*size, 3), np.uint8))
    assert (reading.height, reading.width) == size


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gamma": 0.7}, ["gamma=0.7", "0.05, 0.1, 0.3"]),
        ({"gamma": 0.1, "scale": 0.5}, ["gamma=0.1", "scale=0.5"]),
        ({"scale": 0.0}, ["scale=0"]),
        ({"scale": 4.5}, ["scale=4.5", "at most 4"]),
        ({"scale": float("nan")}, ["scale=nan"]),
    ],
)
def test_bad_options(predictor, photo, options, words):
    with pytest.raises(ConfigError) as error:
        predictor.read(photo, **options)
    assert all(word in str(error.value) for word in words)


def test_without_a_selector(tmp_path, photo):
    predictor = load(make_checkpoint(tmp_path / "student.ckpt", selector=False), device="cpu")
    assert isinstance(predictor, Predictor)
    assert (predictor.policy, predictor.scales, predictor.calibration) == (None, (), None)
    assert predictor.read(photo).scale == 1
    assert predictor.read(photo, scale=0.3).scale == 0.3
    with pytest.raises(ConfigError, match="selector"):
        predictor.read(photo, gamma=0.1)


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_bad_arrays(predictor, image):
    with pytest.raises(ConfigError, match="uint8 RGB"):
        predictor.read(image)


def test_bad_files(predictor, tmp_path):
    with pytest.raises(DataError, match="absent"):
        predictor.read(tmp_path / "absent.png")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(DataError, match=r"text\.png"):
        predictor.read(tmp_path / "text.png")
    with pytest.raises(CheckpointError, match="absent"):
        load(tmp_path / "absent.ckpt")


def test_device_that_is_not_there(checkpoint):
    for device in ("cuda:99", "abacus"):
        with pytest.raises(ConfigError, match=f"device={device}"):
            load(checkpoint, device=device)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_reads_on_a_gpu_as_on_a_cpu(checkpoint, predictor, photo):
    reading, expected = load(checkpoint, device="cuda").read(photo, scale=1), predictor.read(photo, scale=1)
    assert reading.gflops == pytest.approx(expected.gflops)
    assert len(reading.words) == len(expected.words)
