"""Selectors on made-up images: what their cost weights spend, and whether checkpoints keep it."""

import pytest
import torch

from dld_spotter.budget.calibration import Calibration
from dld_spotter.budget.cost import FlopCost
from dld_spotter.core.errors import ConfigError
from dld_spotter.inference.checkpoint import amend, load_checkpoint
from dld_spotter.selection.gumbel import GumbelSelector
from dld_spotter.selection.survey import calibrate
from tests.data.samples import box, sample
from tests.small import SCALES, THUMBNAIL, make_batch, make_spotter
from tests.trained import make_checkpoint


@pytest.fixture(scope="module")
def loader():
    sizes = [(96, 128), (64, 96), (160, 128), (96, 96)]
    samples = [sample(*size, [box(10, 10, 60, 20)] * i, ["cat"] * i, name=f"{i}") for i, size in enumerate(sizes)]
    return [make_batch(samples[:3]), make_batch(samples[2:])]  # one image twice, as where another file was damaged


@pytest.fixture(scope="module")
def flops():
    return FlopCost(make_spotter())


def make_selector():
    torch.manual_seed(3)
    selector = GumbelSelector(SCALES, 0.1, [0.5, 1.0, 3.0], [4, 4, 4, 4], 8)
    selector.thumbnail = THUMBNAIL
    return selector


def test_every_image_counts_once_with_its_words_and_the_decision(loader, flops):
    selector = make_selector()
    calibration = calibrate(selector, loader, flops)
    assert (calibration.images, calibration.continuous, calibration.gammas) == (4, False, selector.gammas)
    spent = []
    for i, (height, width) in enumerate(((96, 128), (64, 96), (160, 128), (96, 96))):
        batch, row = (loader[0], i) if i < 3 else (loader[1], 1)
        index = selector.choose(batch.thumbnails, batch.views[1.0].sizes, torch.ones(len(batch), len(SCALES)))[row]
        size = (max(1, round(side * SCALES[index])) for side in (height, width))
        spent.append((flops.cost(*size, i) / flops.cost(height, width, i)) + selector.gflops / flops.cost(height, width))
    assert calibration.costs[1] == pytest.approx(sum(spent) / 4)
    with pytest.raises(ConfigError, match="cannot be met"):
        calibration.gamma_for(calibration.low * 0.9)


def test_a_checkpoint_keeps_it(tmp_path, loader, flops):
    path = make_checkpoint(tmp_path / "student.ckpt")
    before = load_checkpoint(path)
    calibration = calibrate(make_selector(), loader, flops)
    amend(path, {"calibration": calibration.to_dict()})
    after = load_checkpoint(path)
    assert Calibration.from_dict(after.provenance["calibration"], str(path)) == calibration
    assert after.provenance == before.provenance | {"calibration": calibration.to_dict()}
    assert after.state.keys() == before.state.keys()
    assert all(torch.equal(after.state[name], before.state[name]) for name in before.state)
    assert [file.name for file in tmp_path.iterdir()] == ["student.ckpt"]
