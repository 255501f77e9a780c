"""The weights that travel with the package read what they were trained for."""

import pytest

from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.inference.checkpoint import load_checkpoint, locate
from dld_spotter.inference.loading import load
from dld_spotter.metrics.matching import Hmean, score_image


@pytest.mark.parametrize("name", ["bundled", "bundled_ppocr"])
def test_bundled_weights_are_small_enough_to_travel(name):
    assert locate(name).stat().st_size <= 12 * 10**6


def test_bundled_weights_carry_what_they_need():
    content = load_checkpoint("bundled")
    assert "student" in content.parts()
    assert content.provenance["scales"][-1] == 1.0


@pytest.mark.parametrize(("name", "least"), [("bundled", 0.5), ("bundled_ppocr", 0.5)])
def test_bundled_weights_read_unseen_scenes(name, least):
    renderer = SceneRenderer(77, SceneLayout(256, 256, probabilities={"medium": 1}))
    spotter = load(name, device="cpu")
    samples = [renderer.render(index) for index in range(12)]
    counts = [score_image(sample.instances, spotter.read(sample.image).words) for sample in samples]
    assert Hmean.of(counts).hmean > least
