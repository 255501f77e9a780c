"""Things before the words, and what becomes of the words behind them."""

import cv2
import numpy as np
import pytest

from dld_spotter.core.errors import ConfigError
from dld_spotter.data.synthetic import Degradation, Occlusion, SceneLayout, SceneRenderer
from dld_spotter.data.synthetic.occlude import hidden_share, hidden_share_of_letters
from tests.data.samples import box, turned_box

CLEAN = Degradation(blur_probability=0, noise_probability=0, shading_probability=0, exposure_probability=0, jpeg_probability=0)


def renderer(probability: float | None, **options) -> SceneRenderer:
    occlusion = None if probability is None else Occlusion(probability, **options)
    layout = SceneLayout(256, 256, probabilities={"medium": 1})
    return SceneRenderer(0, layout, degradation=CLEAN, occlusion=occlusion)


@pytest.mark.parametrize(
    ("polygon", "share"),
    [(box(10, 10, 40, 20), 0.5), (box(30, 10, 20, 20), 1.0), (box(0, 10, 20, 20), 0.0), (box(-20, 40, 100, 9), 4 / 7)],
)
def test_the_share_of_a_word_that_is_hidden(polygon, share):
    covered = np.zeros((64, 70), np.uint8)
    covered[:, 30:] = 255  # the last polygon crosses the border: what of it lies on the image counts
    assert hidden_share(covered, polygon) == pytest.approx(share, abs=0.02)


def test_half_transparent_cover_counts_half():
    assert hidden_share(np.full((64, 64), 51, np.uint8), turned_box(30, 30, 40, 10, 30)) == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(("left", "right", "share"), [(20, 30, 1.0), (25, 35, 0.5), (20, 22, 0.2), (0, 10, 0.0)])
def test_one_letter_that_is_hidden_is_enough(left, right, share):
    covered = np.zeros((40, 120), np.uint8)
    covered[:, left:right] = 255
    assert hidden_share_of_letters(covered, box(10, 10, 100, 20), 10) == pytest.approx(share, abs=0.06)


def test_a_wire_along_a_word_leaves_all_its_letters_legible():
    covered = np.zeros((40, 120), np.uint8)
    covered[18:20] = 255
    assert hidden_share_of_letters(covered, box(10, 10, 100, 20), 10) == pytest.approx(0.1, abs=0.03)


def test_hidden_words_are_dont_care_and_the_others_keep_their_pixels():
    hidden = counting = 0
    for index in range(30):
        before, after = renderer(None).render(index), renderer(1.0).render(index)
        assert after.instances.transcriptions == before.instances.transcriptions
        changed = (255 * (before.image != after.image).any(axis=2)).astype(np.uint8)
        assert changed.any()
        words, were = after.instances, before.instances.ignore
        for polygon, text, was, now in zip(words.polygons, words.transcriptions, were, words.ignore, strict=True):
            assert now >= was
            share = hidden_share_of_letters(changed, polygon, len(text))
            if not now:
                counting += 1
                assert share < 0.3 + 0.3  # soft edges change pixels that they hardly hide
            elif not was:
                hidden += 1
                assert share > 0.15  # some of a thing may have the colour of what it hides
    assert hidden > 15
    assert counting > hidden


def test_nothing_stands_before_the_words_of_most_images():
    changed = [(renderer(None).render(i).image != renderer(0.3).render(i).image).any() for i in range(60)]
    assert 0.15 < np.mean(changed) < 0.45


def test_images_without_words_are_left_alone():
    image = np.full((32, 32, 3), 9, np.uint8)
    assert Occlusion(1.0).apply(np.random.default_rng(0), image, [], []) == []
    assert (image == 9).all()


def test_words_at_and_beyond_the_border():
    image = np.full((40, 40, 3), 9, np.uint8)
    words = [box(-30, -30, 20, 10), box(30, 30, 30, 30), box(39.5, 0, 0.4, 0.4), box(-5, -5, 60, 60)]
    for seed in range(50):
        assert len(Occlusion(1.0).apply(np.random.default_rng(seed), image, words, ["word", "a", "", "b"])) == 4


def test_a_seed_repeats_and_another_differs():
    first, again = (renderer(1.0).render(3).image for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(
    "wrong", [{"probability": 1.5}, {"count": (0, 2)}, {"count": (3, 2)}, {"count": (1,)}, {"max_hidden": -1}]
)
def test_bad_settings(wrong):
    with pytest.raises(ConfigError, match="occlusion needs"):
        Occlusion(**wrong)


def spread_of(image: np.ndarray) -> float:
    """Standard deviation in pixels of where the light of one bright point has gone."""
    x = np.arange(image.shape[1])
    light = image[..., 0].astype(float)
    centre = (light * x).sum() / light.sum()
    return float(np.sqrt((light * (x - centre) ** 2).sum() / light.sum()))


def degraded(image: np.ndarray, text_height: float = 40.0, **options) -> list[np.ndarray]:
    off = dict.fromkeys(("blur", "noise", "shading", "exposure", "jpeg"), 0)
    camera = Degradation(**{f"{name}_probability": chance for name, chance in (off | options).items()})
    return [camera.apply(np.random.default_rng(seed), image.copy(), text_height) for seed in range(20)]


def test_defocus_spreads_a_point_evenly_over_a_disc():
    point = np.zeros((41, 41, 3), np.uint8)
    point[19:22, 19:22] = 255
    spreads = [spread_of(image) for image in degraded(point, defocus=1)]
    most = 0.12 * 40  # radius; a disc's standard deviation along one axis is half of it
    assert 0.15 * most < min(spreads)
    assert 0.35 * most < max(spreads) < 0.5 * most + 0.8  # the point itself is three pixels wide
    disc = max(degraded(np.clip(10 * point, 0, 255), defocus=1), key=spread_of)[..., 0]
    assert np.ptp(disc[19:22, 18:23]) <= 2, "flat in the middle, unlike a Gaussian"


def test_small_words_are_hardly_defocused():
    point = np.zeros((41, 41, 3), np.uint8)
    point[20, 20] = 255
    assert all(spread_of(image) < 0.75 for image in degraded(point, text_height=8, defocus=1))


def test_low_light_is_dark_and_grainy_and_words_stay_visible():
    image = np.full((64, 64, 3), 230, np.uint8)
    image[:, 32:] = 60
    for dark in degraded(image, low_light=1):
        bright, dim = dark[:, :32].astype(float), dark[:, 32:].astype(float)
        assert 0.1 * 230 < bright[..., 0].mean() < 0.52 * 230
        assert bright.mean() - dim.mean() > 4 * max(bright[..., 0].std(), 0.5), "contrast above the grain"
        assert cv2.meanStdDev(dark[:, :32])[1].min() > 0.2
        assert bright[..., 2].mean() <= bright[..., 0].mean() + 1


def test_what_is_off_draws_nothing():
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    generators = [np.random.default_rng(1), np.random.default_rng(1)]
    Degradation(0, 0, 0, 0, 0, 0, 0).apply(generators[0], image, 20)
    for _ in range(5):  # blur, shading, exposure, noise, JPEG ask once each
        generators[1].random()
    assert generators[0].random() == generators[1].random()


@pytest.mark.parametrize("name", ["defocus_probability", "low_light_probability", "jpeg_probability"])
def test_shares_are_checked(name):
    with pytest.raises(ConfigError, match=rf"degradation\..*'{name}': 1\.5"):
        Degradation(**{name: 1.5})
