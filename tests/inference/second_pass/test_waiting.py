"""What waits in a first view is read, whatever a second pass takes or finds."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from dld_spotter.budget.cap import CostCap
from dld_spotter.selection.second_pass.gains import Gains
from dld_spotter.selection.second_pass.rule import SecondPassRule
from tests.data.samples import box, sample
from tests.inference.second_pass.boxes import BoxBackend, photo, read_in_two_passes
from tests.small import make_batch, make_spotter

ELSEWHERE = SecondPassRule(gain_threshold=0.0, gains=Gains({0.4: {1.0: ((0.0,) * 5, (0.0,) * 5, (0.0,) * 5, (1.0,) * 5)}}))
"""Reads again what was not found, never what waits."""
LOW = [(20 + 40 * k, 20, 50 + 40 * k, 34) for k in range(8)]


@pytest.mark.parametrize(
    "image",
    [
        photo(*LOW, dim=(100, 100, 160, 130)),  # where a second pass finds nothing
        photo(*LOW, *((100 + 8 * k, 100, 106 + 8 * k, 107) for k in range(12))),  # one text from afar, which is twelve words
    ],
)
@pytest.mark.parametrize("words_of_a_photo", [20, 50, 100])
def test_a_cap_leaves_enough_for_it(image: np.ndarray, words_of_a_photo: int):
    def cost(height: int, width: int, words: float) -> float:
        return height * width / image[..., 0].size + words / words_of_a_photo

    again, backend = 0, BoxBackend(least=4, cost=cost)
    for most in np.linspace(0.25, 0.95, 71):
        cap = CostCap(float(most), image.shape[:2], cost)
        rules = (replace(ELSEWHERE, gain_threshold=threshold) for threshold in (inf, 0.0))
        once, twice = (read_in_two_passes(backend, image, 0.4, rule, cap) for rule in rules)
        assert once.reads[0] <= twice.reads[0]
        assert twice.spent(cost) / twice.full(image.shape[:2], cost) <= most
        again += len(twice.sizes) == 2
    assert again


def test_an_image_of_several_is_read_as_it_is_alone():
    spotter = make_spotter(1).eval()
    regions = ((20, 30, 80, 24), (40, 70, 60, 30), (70, 20, 50, 40))
    view = make_batch([sample(128, 160, [box(*region)], ["cat"]) for region in regions]).views[1.0]
    all_detections = spotter.detect(view)
    together = spotter.recognize(all_detections, [detections.all for detections in all_detections])
    assert any(together[1:])
    for detections, words in zip(all_detections, together, strict=True):
        (alone,) = spotter.recognize([detections], [detections.all])
        assert [word.text for word in alone] == [word.text for word in words]
        np.testing.assert_allclose([word.score for word in alone], [word.score for word in words], atol=1e-4)
