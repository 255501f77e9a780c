"""Selectors on made-up images: what their cost weights spend, and whether checkpoints keep it."""

import pytest
import torch

from dld_spotter.budget.calibration import Calibration
from dld_spotter.budget.cost import FlopCost
from dld_spotter.core.errors import ConfigError
from dld_spotter.inference.checkpoint import amend, load_checkpoint
from dld_spotter.selection.gumbel import GumbelSelector
from dld_spotter.selection.quality import QualitySelector
from dld_spotter.selection.survey import calibrate, survey
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


def make_quality():
    torch.manual_seed(3)
    selector = QualitySelector(SCALES, 0.2, [0.5, 1.0], [4, 4, 4, 4], 8)
    selector.thumbnail = THUMBNAIL
    return selector


def test_every_image_is_asked_about_once(loader, flops):
    selector = make_quality()
    seen = survey(selector, loader, flops)
    assert seen.names == ("0", "1", "2", "3")
    assert seen.costs[:, -1].tolist() == seen.spent[:, -1].tolist() == [1.0] * 4
    assert seen.spent[2, 0] == pytest.approx(flops.cost(48, 38, 2) / flops.cost(160, 128, 2))
    assert seen.overhead[1] == pytest.approx(selector.gflops / flops.cost(64, 96))
    first = loader[0]
    choices = selector(first.thumbnails, first.views[1.0].sizes, torch.from_numpy(seen.costs[:3]).float())
    assert seen.index[:, :3].tolist() == [choice.index.tolist() for choice in choices]


def test_a_selector_of_any_weight_gives_a_curve(loader, flops):
    selector = make_quality()
    calibration, seen = calibrate(selector, loader, flops), survey(selector, loader, flops)
    assert calibration.continuous
    assert calibration.images == 4
    for gamma, expected in ((calibration.gammas[0] / 2, calibration.high), (calibration.gammas[-1] * 2, calibration.low)):
        index = (seen.losses + gamma * seen.costs).argmin(1)
        assert (seen.spent[range(4), index] + seen.overhead).mean() == pytest.approx(expected)


def test_a_selector_of_heads_gives_their_costs(loader, flops):
    selector = GumbelSelector(SCALES, 0.1, [0.5, 1.0, 3.0], [4, 4, 4, 4], 8)
    calibration, seen = calibrate(selector, loader, flops), survey(selector, loader, flops)
    assert not calibration.continuous
    assert calibration.gammas == selector.gammas
    assert calibration.costs[1] == pytest.approx((seen.spent[range(4), seen.index[1]] + seen.overhead).mean())
    with pytest.raises(ConfigError, match="cannot be met"):
        calibration.gamma_for(calibration.low * 0.9)


def test_a_checkpoint_keeps_it(tmp_path, loader, flops):
    path = make_checkpoint(tmp_path / "student.ckpt")
    before = load_checkpoint(path)
    calibration = calibrate(make_quality(), loader, flops)
    amend(path, {"calibration": calibration.to_dict()})
    after = load_checkpoint(path)
    assert Calibration.from_dict(after.provenance["calibration"], str(path)) == calibration
    assert after.provenance == before.provenance | {"calibration": calibration.to_dict()}
    assert after.state.keys() == before.state.keys()
    assert all(torch.equal(after.state[name], before.state[name]) for name in before.state)
    assert [file.name for file in tmp_path.iterdir()] == ["student.ckpt"]
