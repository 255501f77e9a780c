"""Real word crops in rendered images."""

from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from shapely import Polygon

from dld_spotter.core.errors import ConfigError
from dld_spotter.data.synthetic import CropPaste, CropSource, DenseLayout, SceneLayout, SceneRenderer, paste
from dld_spotter.data.synthetic.layout import Layout
from dld_spotter.data.synthetic.paste import paste_crop
from tests.data.samples import write_crops

MARGIN = 5
WORDS = ["cat", "Dog!", "EXIT", "3.50"]


def lit_word(width: int, height: int) -> np.ndarray:
    """A dark crop with its word's place filled white."""
    image = np.zeros((height, width, 3), np.uint8)
    image[MARGIN:-MARGIN, MARGIN:-MARGIN] = 255
    return image


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> CropSource:
    crops = [(word, lit_word(60 + 15 * number, 26 + 5 * number)) for number, word in enumerate(WORDS)]
    return CropSource(write_crops(tmp_path_factory.mktemp("crops"), crops, MARGIN))


def layouts(source: CropSource, share: float) -> dict[str, Layout]:
    crops = CropPaste(source, share=share)
    scenes = SceneLayout(128, 192, probabilities={"mixed": 1}, crops=crops)
    return {"scenes": scenes, "dense": DenseLayout(192, (10, 40), crops=crops)}


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_polygon_lies_on_the_pasted_word(source: CropSource, scale: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(paste, "_recolour", lambda rng, patch: patch)
    crops, rng = CropPaste(source, scale=(scale, scale), rotation=15), np.random.default_rng(1)
    for _ in range(20):
        placed = crops.draw(rng, (600, 600)).moved(*rng.uniform(250, 260, 2))
        image = np.zeros((512, 512, 3), np.uint8)
        paste_crop(rng, image, placed)
        white = image[..., 0] / 255
        y, x = np.mgrid[:512, :512] + 0.5
        polygon = Polygon(placed.polygons[0])
        centre = np.array([(white * x).sum(), (white * y).sum()]) / white.sum()
        np.testing.assert_allclose(
            centre, np.array(polygon.centroid.coords[0]), atol=0.03 * max(np.ptp(placed.polygons[0], axis=0))
        )
        fine = np.zeros((1024, 1024), np.uint8)
        cv2.fillPoly(fine, [np.rint(placed.polygons[0] * 2 - 0.5).astype(int)], 255)
        inside = cv2.resize(fine, (512, 512), interpolation=cv2.INTER_AREA) > 127
        lit = white > 0.4
        assert (inside & lit).sum() / (inside | lit).sum() > (0.75 if scale < 1 else 0.85)


def test_each_of_several_words_has_its_own_polygon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(paste, "_recolour", lambda rng, patch: patch)
    (tmp_path / "words").mkdir()
    lines = ["word\timage\tx0\ty0\tw\th\tx1\ty1\tx2\ty2\tx3\ty3\tx4\ty4\ttext"]
    for number, (text, value) in enumerate((("one", 120), ("two", 240))):
        cv2.imwrite(str(tmp_path / "words" / f"{text}.png"), np.full((24, 60, 3), value, np.uint8))
        x, y = 100 + 64 * number, 50 + 2 * number
        corners = [x, y, x + 59, y, x + 59, y + 23, x, y + 23]
        lines.append("\t".join(map(str, [f"{text}.png", "photo.jpg", x, y, 60, 24, *corners, text])))
    (tmp_path / "words_map.tsv").write_text("\n".join(lines))
    crops, rng = CropPaste(CropSource(tmp_path, together=0.3), scale=(1.5, 2.5), rotation=15), np.random.default_rng(2)
    for _ in range(10):
        placed = crops.draw(rng, (600, 600)).moved(256, 256)
        image = np.zeros((512, 512, 3), np.uint8)
        paste_crop(rng, image, placed)
        assert placed.texts == ("one", "two")
        assert placed.ignore == (False, False)
        for polygon, value in zip(placed.polygons, (120, 240), strict=True):
            x, y = polygon.mean(axis=0).astype(int)
            assert np.abs(image[y - 8 : y + 8, x - 20 : x + 20].astype(int) - value).max() <= 3


@pytest.mark.parametrize("kind", ["scenes", "dense"])
def test_real_words_stand_among_rendered_ones_without_overlap(source: CropSource, kind: str):
    real, count = 0, 0
    for index in range(20):
        sample = SceneRenderer(4, layouts(source, 0.5)[kind]).render(index)
        polygons = [Polygon(polygon) for polygon in sample.instances.polygons]
        height, width = sample.image.shape[:2]
        for polygon in polygons:
            assert min(polygon.bounds) >= -1
            assert polygon.bounds[2] <= width + 1
            assert polygon.bounds[3] <= height + 1
        for one, other in combinations(polygons, 2):
            assert one.intersection(other).area < 0.02 * min(one.area, other.area)
        real += sum(text in WORDS for text in sample.instances.transcriptions)
        count += len(polygons)
    assert 0.2 * count < real < 0.8 * count


@pytest.mark.parametrize("kind", ["scenes", "dense"])
def test_seed_and_index_decide(source: CropSource, kind: str):
    one, same, other = (SceneRenderer(seed, layouts(source, 1.0)[kind]) for seed in (1, 1, 2))
    other_order = [same.render(index) for index in (5, 3)][1]
    sample = one.render(3)
    np.testing.assert_array_equal(sample.image, other_order.image)
    assert sample.instances.transcriptions == other_order.instances.transcriptions
    assert (sample.image != other.render(3).image).any()


def test_unreadable_and_tiny_crops_are_dont_care(tmp_path: Path):
    unreadable = CropSource(write_crops(tmp_path / "a", [("###", lit_word(60, 40))], MARGIN))
    words = SceneRenderer(0, DenseLayout(128, (10, 40), crops=CropPaste(unreadable))).render(0).instances
    pasted = [ignore for text, ignore in zip(words.transcriptions, words.ignore, strict=True) if not text]
    assert pasted
    assert all(pasted)
    small = CropSource(write_crops(tmp_path / "b", [("tiny", lit_word(60, 22))], MARGIN))
    layout = SceneLayout(256, 256, probabilities={"mixed": 1}, crops=CropPaste(small, scale=(0.5, 0.6)))
    words = [SceneRenderer(0, layout).render(index).instances for index in range(5)]
    flags = [ignore for w in words for text, ignore in zip(w.transcriptions, w.ignore, strict=True) if text == "tiny"]
    assert flags
    assert all(flags)


def test_sizes_spread_over_the_whole_range(source: CropSource):
    crops, rng = CropPaste(source, scale=(0.5, 3.0)), np.random.default_rng(0)
    scales = np.array([crops.draw(rng, (1000, 1000)).scale for _ in range(400)])
    assert scales.min() >= 0.5
    assert scales.max() <= 3.0
    assert np.median(scales) == pytest.approx(np.sqrt(0.5 * 3.0), rel=0.15)  # evenly in the logarithm


def test_what_does_not_fit_is_shrunk_or_left_out(source: CropSource):
    crops, rng = CropPaste(source, scale=(0.5, 3.0)), np.random.default_rng(0)
    drawn = [crops.draw(rng, (70, 50)) for _ in range(50)]
    assert any(drawn)
    assert all((np.ptp(crop.outline(), axis=0) <= (72, 52)).all() for crop in drawn if crop)
    assert crops.draw(rng, (5, 5)) is None
    assert crops.draw(rng, (100, 100), heights=(500, 600)) is None


@pytest.mark.parametrize("wrong", [{"scale": (2, 1)}, {"scale": (0, 1)}, {"share": 1.5}, {"margin_probability": -1}])
def test_unusable_settings_are_refused(source: CropSource, wrong: dict):
    with pytest.raises(ConfigError, match=r"crops\."):
        CropPaste(source, **wrong)
