import hashlib
import pickle
import subprocess
import sys
from itertools import combinations

import cv2
import numpy as np
import pytest
from shapely import Polygon, unary_union

from dld_spotter.core.charset import PRINTABLE_ASCII
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.data.synthetic import (
    REGIMES,
    Backgrounds,
    Degradation,
    DenseLayout,
    FontBook,
    Regime,
    SceneLayout,
    SceneRenderer,
    SyntheticScenes,
    WordSource,
)

CLEAN = Degradation(blur_probability=0, noise_probability=0, shading_probability=0, exposure_probability=0, jpeg_probability=0)


def scenes(regime=None, seed=0, **settings):
    return SceneRenderer(seed, SceneLayout(320, 384, probabilities=regime and {regime: 1.0}), **settings)


def heights(instances):
    """Mean distance of upper and lower side, measured on the polygon alone."""
    return [np.linalg.norm(polygon - polygon[::-1], axis=1).mean() for polygon in instances.polygons]


def digest(sample):
    parts = [sample.image, *sample.instances.polygons]
    return hashlib.sha256(b"".join(p.tobytes() for p in parts) + repr(sample.instances.transcriptions).encode()).hexdigest()


@pytest.fixture(scope="module")
def white(tmp_path_factory):
    folder = tmp_path_factory.mktemp("white")
    cv2.imwrite(str(folder / "white.png"), np.full((400, 400, 3), 255, np.uint8))
    return Backgrounds(folder, picture_probability=1.0)


def test_same_seed_and_index_same_image():
    assert digest(scenes().render(3)) == digest(scenes().render(3))
    assert digest(scenes().render(3)) != digest(scenes().render(4))
    assert digest(scenes().render(3)) != digest(scenes(seed=1).render(3))


def test_order_of_rendering_does_not_matter():
    renderer = scenes()
    forward = [digest(renderer.render(i)) for i in range(3)]
    assert [digest(renderer.render(i)) for i in (2, 1, 0)] == forward[::-1]


def test_same_image_in_another_process():
    code = (
        "import hashlib; from dld_spotter.data.synthetic import SceneRenderer;"
        "print(hashlib.sha256(SceneRenderer(7).render(11).image.tobytes()).hexdigest())"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert output == hashlib.sha256(SceneRenderer(7).render(11).image.tobytes()).hexdigest()


def test_pickled_renderer_renders_the_same():
    renderer = scenes()
    assert digest(pickle.loads(pickle.dumps(renderer)).render(5)) == digest(renderer.render(5))


@pytest.mark.parametrize("layout", [SceneLayout(320, 384), DenseLayout()], ids=["scenes", "dense"])
def test_samples_are_sound(layout):
    renderer = SceneRenderer(0, layout)
    for index in range(12):
        sample = renderer.render(index)
        height, width = sample.image.shape[:2]
        assert sample.image.dtype == np.uint8
        assert (height, width) == ((320, 384) if isinstance(layout, SceneLayout) else (256, 256))
        shapes = [Polygon(polygon) for polygon in sample.instances.polygons]
        for polygon, shape in zip(sample.instances.polygons, shapes, strict=True):
            assert polygon.dtype == np.float32
            assert len(polygon) in (4, 14)
            assert shape.is_valid
            assert polygon.min() >= 0
            assert (polygon.max(axis=0) <= (width, height)).all()
            assert cv2.contourArea(polygon, oriented=True) > 0  # clockwise with y down
        assert all(a.intersection(b).area < 0.01 for a, b in combinations(shapes, 2))
        assert set("".join(sample.instances.transcriptions)) <= set(PRINTABLE_ASCII)
        assert all(sample.instances.transcriptions)


@pytest.mark.parametrize("curved", [0.0, 1.0], ids=["plane", "arc"])
def test_polygons_fit_the_ink(white, curved):
    regimes = {"big": Regime((28, 60), (3, 6), 1.0)}
    layout = SceneLayout(400, 400, regimes, board_probability=0.0, curved_probability=curved)
    renderer = SceneRenderer(2, layout, WordSource(mix={"word": 1}), backgrounds=white, degradation=CLEAN)
    curved_words, tightness = 0, []
    for index in range(8):
        sample = renderer.render(index)
        ink = (sample.image.min(axis=2) < 200).astype(np.uint8)
        shapes = [Polygon(polygon) for polygon in sample.instances.polygons]
        covered = np.zeros_like(ink)
        for polygon, shape in zip(sample.instances.polygons, shapes, strict=True):
            inside = np.zeros_like(ink)
            cv2.fillPoly(inside, [np.rint((polygon - 0.5) * 256).astype(np.int32)], 1, shift=8)
            covered |= inside
            points = cv2.findNonZero(ink & inside)
            tightness.append(Polygon(cv2.convexHull(points)[:, 0]).area / shape.convex_hull.area)
            curved_words += len(polygon) > 4
        assert unary_union(shapes).area < 0.6 * ink.size
        assert (ink & ~covered & 1).sum() < 0.02 * ink.sum()
    assert np.median(tightness) > 0.68
    assert min(tightness) > 0.4
    assert bool(curved_words) == bool(curved)


def test_words_stand_out_from_their_surroundings():
    renderer = scenes(degradation=CLEAN)
    spread = []
    for index in range(15):
        sample = renderer.render(index)
        grey = cv2.cvtColor(sample.image, cv2.COLOR_RGB2GRAY)
        for polygon, ignore in zip(sample.instances.polygons, sample.instances.ignore, strict=True):
            if not ignore:
                inside = np.zeros_like(grey)
                cv2.fillPoly(inside, [polygon.astype(np.int32)], 1)
                spread.append(np.ptp(np.percentile(grey[inside > 0], (3, 97))))
    assert np.mean(np.array(spread) > 30) > 0.97


def test_words_below_the_legible_height_are_ignored():
    renderer = scenes("tiny", degradation=Degradation(min_height=8.0))
    found = {False: 0, True: 0}
    for index in range(12):
        instances = renderer.render(index).instances
        for height, ignore in zip(heights(instances), instances.ignore, strict=True):
            assert ignore == (height < 8.0) or abs(height - 8.0) < 0.2
            found[bool(ignore)] += 1
    assert found[False] > 20
    assert found[True] > 5
    assert not any(scenes("tiny", degradation=Degradation(min_height=0.0)).render(i).instances.ignore.any() for i in range(5))


@pytest.mark.parametrize("regime", ["large", "medium", "small", "tiny"])
def test_regimes_differ_in_the_height_of_text(regime):
    renderer = scenes(regime)
    samples = [renderer.render(index) for index in range(10)]
    low, high = REGIMES[regime].heights
    assert all(sample.name.startswith(regime) for sample in samples)
    assert 0.75 * low < np.median(np.concatenate([heights(s.instances) for s in samples])) < 1.2 * high
    assert sum(len(sample.instances) for sample in samples) >= 10


def test_none_regime_shows_no_word():
    for index in range(5):
        sample = scenes("none").render(index)
        assert len(sample.instances) == 0
        assert sample.name == f"none_0_{index}"


def test_default_mix_draws_every_regime():
    renderer = SceneRenderer(0, SceneLayout(64, 64))
    assert {renderer.render(index).name.split("_")[0] for index in range(120)} == set(REGIMES)


def test_size_range():
    renderer = SceneRenderer(0, SceneLayout((100, 200), (150, 160)))
    shapes = np.array([renderer.render(index).image.shape for index in range(12)])
    assert (shapes[:, :2] >= (100, 150)).all()
    assert (shapes[:, :2] <= (200, 160)).all()
    assert len(set(map(tuple, shapes))) > 4


def test_dense_images_are_packed():
    renderer = SceneRenderer(0, DenseLayout())
    counts = [len(renderer.render(index).instances) for index in range(20)]
    assert np.mean(counts) > 25
    assert max(counts) <= 40


def test_folder_of_backgrounds(tmp_path):
    (tmp_path / "deep").mkdir()
    picture = np.zeros((90, 300, 3), np.uint8)
    picture[..., 2] = 200  # red, as OpenCV writes it
    cv2.imwrite(str(tmp_path / "deep" / "red.JPG"), picture)
    image = scenes("none", backgrounds=Backgrounds(tmp_path, 1.0), degradation=CLEAN).render(0).image
    np.testing.assert_allclose(image.reshape(-1, 3).mean(axis=0), (200, 0, 0), atol=4)


def test_bad_backgrounds(tmp_path):
    with pytest.raises(DataError, match="holds no picture"):
        Backgrounds(tmp_path)
    with pytest.raises(DataError, match="holds no picture"):
        Backgrounds(tmp_path / "absent")
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"broken\.png"):
        scenes(backgrounds=Backgrounds(tmp_path, 1.0)).render(0)
    with pytest.raises(ConfigError, match="probability"):
        Backgrounds(clutter_probability=1.5)


def test_bad_font_folder(tmp_path):
    with pytest.raises(DataError, match="holds no usable font"):
        FontBook(tmp_path / "absent")


@pytest.mark.parametrize(
    "make",
    [
        lambda: SceneLayout(8, 64),
        lambda: SceneLayout((200, 100)),
        lambda: SceneLayout(probabilities={"huge": 1}),
        lambda: SceneLayout(probabilities={"large": 0}),
        lambda: SceneLayout(probabilities={}),
        lambda: DenseLayout(heights=(30, 10)),
        lambda: DenseLayout(size=32, heights=(10, 32)),
        lambda: Regime((20, 10), (1, 2), 1.0),
        lambda: Regime((10, 20), (1, 2), -1.0),
        lambda: SyntheticScenes(scenes(), -1),
    ],
)
def test_bad_settings(make):
    with pytest.raises(ConfigError, match="found"):
        make()


@pytest.mark.parametrize("size", [16, 17, 40])
def test_images_too_small_for_text_are_rendered(size):
    for index in range(10):
        assert SceneRenderer(0, SceneLayout(size, size)).render(index).image.shape == (size, size, 3)


def test_image_larger_than_the_noise_tile():
    noisy = Degradation(0, 0, 1.0, 30.0, 0, 0, 0)
    image = SceneRenderer(0, SceneLayout(1100, 2200, probabilities={"none": 1}), degradation=noisy).render(1).image
    assert image.shape == (1100, 2200, 3)


def test_data_set_is_a_run_of_the_renderer():
    data = SyntheticScenes(scenes(), length=4, offset=10)
    assert len(data) == 4
    assert digest(data[1]) == digest(scenes().render(11))
    with pytest.raises(IndexError):
        data[4]
