"""The weights that travel with the package read what they were trained for."""

from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.inference.checkpoint import load_checkpoint, locate
from dld_spotter.inference.loading import load
from dld_spotter.metrics.matching import Hmean, score_image


def test_bundled_weights_are_small_enough_to_travel():
    assert locate("bundled").stat().st_size <= 12 * 10**6


def test_bundled_weights_carry_what_they_need():
    content = load_checkpoint("bundled")
    assert "student" in content.parts()
    assert content.provenance["scales"][-1] == 1.0


def test_bundled_weights_read_unseen_scenes():
    renderer = SceneRenderer(77, SceneLayout(256, 256, probabilities={"medium": 1}))
    spotter = load("bundled", device="cpu")
    samples = [renderer.render(index) for index in range(12)]
    counts = [score_image(sample.instances, spotter.read(sample.image).words) for sample in samples]
    assert Hmean.of(counts).hmean > 0.5
