"""Layouts that are put together from others."""

import pytest

from dld_spotter.core.errors import ConfigError
from dld_spotter.data.synthetic import DenseLayout, MixedLayout, SceneLayout, SceneRenderer


def test_a_mixture_draws_its_layouts_by_their_frequency():
    layouts = {"dense": DenseLayout(size=64, words=3), "scenes": SceneLayout(64, 64)}
    renderer = SceneRenderer(3, MixedLayout(layouts, {"dense": 1, "scenes": 3}))
    dense = sum(renderer.render(index).name.startswith("dense") for index in range(200))
    assert 30 <= dense <= 70


@pytest.mark.parametrize("probabilities", [{"dense": 1, "other": 1}, {}, {"dense": 0}, {"dense": -1}])
def test_a_mixture_needs_a_frequency_for_every_layout(probabilities: dict[str, float]):
    with pytest.raises(ConfigError, match=r"layout\.probabilities"):
        MixedLayout({"dense": DenseLayout()}, probabilities)
