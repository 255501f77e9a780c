"""What all engines share: they see pixels of a view, and give words in pixels of the reference."""

import numpy as np
import pytest
import torch

from dld_spotter.core.errors import ConfigError
from tests.data.samples import box, sample
from tests.inference.engines.drawn import DrawnEngine
from tests.small import make_batch

LINE = box(10, 20, 70, 16)


@pytest.fixture
def batch():
    """An image with a line of two words beside a larger one without, so that the first is padded."""
    return make_batch([sample(64, 96, [LINE], ["cat dog"], name="line"), sample(100, 150, name="none")], (0.5, 1.0))


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_a_line_is_cut_into_words_in_pixels_of_the_reference(batch, scale):
    first, second = DrawnEngine().spot(batch.view(scale))
    assert [(word.text, word.score) for word in first] == [("cat", 0.9), ("dog", 0.9)]
    np.testing.assert_allclose(first[0].polygon, box(10, 20, 30, 16), atol=1.5)
    np.testing.assert_allclose(first[1].polygon, box(50, 20, 30, 16), atol=1.5)
    assert first[0].polygon.dtype == np.float32
    assert second == []


def test_the_engine_sees_each_image_at_its_scale_without_padding(batch):
    engine = DrawnEngine()
    engine.spot(batch.view(0.5))
    assert [image.shape for image in engine.seen] == [(32, 48, 3), (50, 75, 3)]
    assert all(image.dtype == np.uint8 and image.flags.c_contiguous for image in engine.seen)
    np.testing.assert_array_equal(engine.seen[1], batch.views[0.5].images[1, :, :50, :75].permute(1, 2, 0))


def test_text_that_holds_no_word_is_none(batch):
    assert DrawnEngine("  ").spot(batch.view(1.0)) == [[], []]


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
