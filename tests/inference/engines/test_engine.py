"""What all engines share: they see pixels of a view, and give words in pixels of the reference."""

import numpy as np
import pytest
import torch

from dld_spotter.budget.requests import Request
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.words import Word
from dld_spotter.data.photos import ReferenceSize
from dld_spotter.inference.adaptive_engine import ENGINE_RULE
from dld_spotter.inference.predictor import Predictor
from tests.data.samples import box, sample
from tests.inference.engines.drawn import DrawnEngine
from tests.small import make_batch

LINE = box(10, 20, 70, 16)


IMAGES = [sample(64, 96, [LINE], ["cat dog"], name="line"), sample(100, 150, name="none")]
"""An image with a line of two words, and a larger one without."""


def read(engine: DrawnEngine, scale: float) -> list[list[Word]]:
    """Read both images."""
    predictor = Predictor(engine)
    return [list(reading.words) for reading in predictor.read_all([one.image for one in IMAGES], scale=scale)]


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_a_line_is_cut_into_words_in_pixels_of_the_reference(scale):
    first, second = read(DrawnEngine(), scale)
    assert [(word.text, word.score) for word in first] == [("cat", 0.9), ("dog", 0.9)]
    np.testing.assert_allclose(first[0].polygon, box(10, 20, 30, 16), atol=1.5)
    np.testing.assert_allclose(first[1].polygon, box(50, 20, 30, 16), atol=1.5)
    assert first[0].polygon.dtype == np.float32
    assert second == []


def test_the_engine_sees_each_image_at_its_scale_without_padding():
    engine = DrawnEngine()
    read(engine, 0.5)
    assert [image.shape for image in engine.seen] == [(32, 48, 3), (50, 75, 3)]
    assert all(image.dtype == np.uint8 and image.flags.c_contiguous for image in engine.seen)
    view = make_batch(IMAGES, (0.5, 1.0)).views[0.5]  # as a spotter sees it
    np.testing.assert_array_equal(engine.seen[1], view.images[1, :, :50, :75].permute(1, 2, 0))


def test_the_engine_sees_the_reference_of_a_large_photo():
    engine = DrawnEngine()
    large = np.kron(IMAGES[0].image, np.ones((4, 4, 1), np.uint8))
    reading = Predictor(engine, reference=ReferenceSize(long=192)).read(large, scale=0.5)
    assert engine.seen[0].shape == (64, 96, 3)
    assert (reading.width, reading.height) == (384, 256)
    np.testing.assert_allclose(reading.words[0].polygon, 4 * box(10, 20, 30, 16), atol=6)


def test_text_that_holds_no_word_is_none():
    assert read(DrawnEngine("  "), 1.0) == [[], []]


def test_an_engine_costs_area_and_nobody_knows_its_gflops():
    engine = DrawnEngine()
    reading = Predictor(engine).read(IMAGES[1].image, scale=0.5)
    assert reading.relative_cost == pytest.approx(64 * 96 / (128 * 160))  # 50 x 75 of 100 x 150, to multiples of 32
    assert np.isnan(reading.gflops)
    assert reading.seconds > 0
    assert engine.describe() == "drawn 1.2, relative cost by area"


def test_an_engine_reads_once_where_no_second_pass_is_asked_for():
    engine = DrawnEngine()
    Predictor(engine).read(IMAGES[0].image, scale=0.5)
    assert len(engine.seen) == 1


def test_a_second_pass_sees_the_original_pixels_of_what_was_read_and_little_else():
    engine = DrawnEngine()
    large = sample(256, 512, [LINE], ["cat dog"]).image
    reading = Predictor(engine, rule=ENGINE_RULE, gain_threshold=0.0).read(large, scale=0.5)
    assert [word.text for word in reading.words] == ["cat", "dog"]
    np.testing.assert_allclose(reading.words[0].polygon, box(10, 20, 30, 16), atol=1.5)
    first, second = engine.seen
    assert first.shape == (128, 256, 3)
    height, width = second.shape[:2]
    assert (height, width) < (60, 120)
    around = [large[top : top + height, left : left + width] for top in range(20) for left in range(10)]
    assert sum(np.array_equal(second, pixels) for pixels in around) == 1


def test_what_was_dropped_for_its_score_is_read_again():
    class Doubtful(DrawnEngine):
        """Sure of what it sees closely alone."""

        def read(self, image):
            return [line._replace(score=0.9 if image.shape[1] != 256 else 0.3) for line in super().read(image)]

    engine = Doubtful()
    engine.min_score = 0.5
    large = sample(256, 512, [LINE], ["cat dog"]).image
    assert Predictor(engine).read(large, scale=0.5).words == ()
    again = Predictor(engine, rule=ENGINE_RULE, gain_threshold=2.0).read(large, scale=0.5)
    assert [(word.text, word.score) for word in again.words] == [("cat", 0.9), ("dog", 0.9)]


def test_an_image_may_be_enlarged():
    engine = DrawnEngine()
    reading = Predictor(engine).read(IMAGES[0].image, scale=2.0)
    assert engine.seen[0].shape == (128, 192, 3)
    np.testing.assert_allclose(reading.words[0].polygon, box(10, 20, 30, 16), atol=1.5)
    for scale in (0, 4.1):
        with pytest.raises(ConfigError, match="must be above 0 and at most 4"):
            Predictor(engine).check(Request(scale=scale))


def test_threads_are_those_of_the_spotters_unless_given():
    assert DrawnEngine().threads == torch.get_num_threads()
    assert DrawnEngine(threads=3).threads == 3
    for threads in (0, 1.5, "two"):
        with pytest.raises(ConfigError, match=r"engine\.threads="):
            DrawnEngine(threads=threads)


def test_an_engine_that_is_not_installed_says_how_to_install_it():
    class Absent(DrawnEngine):
        name = "absent"

        @classmethod
        def missing(cls):
            return "it is not installed; pip install it"

    with pytest.raises(ConfigError, match="engine=absent cannot run here: it is not installed; pip install it"):
        Absent()
