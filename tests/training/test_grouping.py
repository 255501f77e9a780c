"""Images go to the scales chosen for them and their words come back in order."""

import numpy as np
import pytest
import torch

from dld_spotter.training.modules import same_scale
from tests.small import SCALES
from tests.training.test_modules import make_module


@pytest.mark.parametrize("index", [[0], [2, 2, 2], [1, 0, 1, 1, 2, 1, 1, 1], [0] * 7])
def test_groups_cover_every_image_once_in_powers_of_two(index: list[int]):
    groups = list(same_scale(torch.tensor(index)))
    assert sorted(torch.cat([images for _, images in groups]).tolist()) == list(range(len(index)))
    assert all(index[image] == k for k, images in groups for image in images.tolist())
    assert all(len(images) in (1, 2, 4, 8) for _, images in groups)


def test_scales_in_whole_groups_as_on_a_gpu():
    index = torch.tensor([2, 0, 2, 2, 0, 0, 0, 0, 0, 0])
    found = {k: images.tolist() for k, images in same_scale(index, powers=False)}
    assert found == {0: [1, 4, 5, 6, 7, 8, 9], 2: [0, 2, 3]}
    assert [len(images) for _, images in same_scale(index)] == [4, 2, 1, 2, 1]


def test_every_image_is_read_at_its_own_scale(spotter, batch):
    index, read = torch.tensor([2, 0, 1]), []
    module = make_module().eval()
    module.student = spotter
    module.selector.choose = lambda *_: index
    module.score = lambda words, *_: read.append(words)
    module.validation_step(batch, 0)
    (together,) = read
    for image, k in enumerate(index.tolist()):
        alone = spotter.spot(batch.views[SCALES[k]].select(torch.tensor([image])))[0]
        assert [word.text for word in together[image]] == [word.text for word in alone]
        for one, other in zip(together[image], alone, strict=True):
            np.testing.assert_allclose(one.polygon, other.polygon, atol=1e-3)
    assert any(together)
