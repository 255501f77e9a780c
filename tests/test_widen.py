"""A spotter grown to twice its widths, see experiments/small/widen.py."""

import runpy
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from dld_spotter.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from dld_spotter.data.views import make_view
from dld_spotter.entry import ROOT
from tests.data.samples import box, sample
from tests.small import SCALES, SPOTTER, THUMBNAIL, make_batch, make_spotter

WIDEN = runpy.run_path(str(Path(__file__).parents[1] / "experiments" / "small" / "widen.py"))


@pytest.fixture
def narrow(tmp_path) -> Checkpoint:
    """A spotter whose batch statistics and residual blocks are not those of the beginning."""
    spotter = make_spotter(blocks=[1, 1]).eval()
    for name, value in spotter.state_dict().items():
        if name.endswith(("running_var", "second.1.weight")):
            value.uniform_(0.5, 1.5)
    facts = {"format": 1, "model": {"student": SPOTTER | {"blocks": [1, 1]}}, "scales": list(SCALES), "thumbnail": THUMBNAIL}
    save_checkpoint(tmp_path / "narrow.ckpt", {"student": spotter}, facts)
    return load_checkpoint(tmp_path / "narrow.ckpt")


def test_reads_as_before(narrow):
    wide, _ = WIDEN["widen"](narrow)
    batch = make_batch([sample(96, 128, [box(8, 8, 60, 20), box(30, 50, 70, 24)], ["cat", "dog"])])
    with torch.inference_mode():
        expected, found = (
            spotter.eval()(batch.views[1.0], batch.sides, batch.image_index, batch.labels)
            for spotter in (narrow.spotter(), wide)
        )
    assert torch.allclose(found.detection.text, expected.detection.text, atol=1e-4)
    assert torch.allclose(found.detection.threshold, expected.detection.threshold, atol=1e-4)
    assert torch.allclose(found.recognition.logits, expected.recognition.logits, atol=1e-4)
    assert torch.allclose(found.recognition.ctc_logits, expected.recognition.ctc_logits, atol=1e-4)
    assert expected.recognition.logits.std() > 0.01  # something to compare


def test_copies_learn_different_things(narrow):
    """Two units that give the same and take the same would be one for ever."""
    wide, _ = WIDEN["widen"](narrow)
    wide.train()
    batch = make_batch([sample(96, 128, [box(8, 8, 60, 20), box(30, 50, 70, 24)], ["cat", "dog"])])
    output = wide(batch.views[1.0], batch.sides, batch.image_index, batch.labels)
    (output.recognition.logits.square().sum() + output.detection.text.square().sum()).backward()
    compared = 0
    for name, parameter in wide.named_parameters():
        taken = parameter.grad is not None and parameter.grad.any()  # no word is large enough for the coarse levels
        if taken and parameter.dim() == 4 and "output" not in name:
            first, second = parameter.grad.flatten(1).chunk(2)
            assert not torch.allclose(first, second, rtol=1e-2), name
            compared += 1
    assert compared > 10


def test_written_as_a_checkpoint_that_trains(narrow, tmp_path):
    WIDEN["main"](str(narrow.path), str(tmp_path / "wide.ckpt"))
    wide = load_checkpoint(tmp_path / "wide.ckpt")
    counts = [sum(value.numel() for value in c.spotter().parameters()) for c in (narrow, wide)]
    assert wide.config("student")["channels"] == 2 * SPOTTER["channels"]
    assert 3 < counts[1] / counts[0] < 4.2
    view = make_view([sample(64, 96).image], 1.0)
    assert len(wide.spotter().spot(view)) == 1


def test_small_is_twice_tiny():
    """What widen.py writes is what conf/spotter/small.yaml builds."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", ["spotter@model.student=small"])
    tiny, small = (OmegaConf.to_container(config.model[part], resolve=True) for part in ("teacher", "student"))
    grown = WIDEN["doubled_config"](tiny)
    assert {key: grown[key] for key in grown if key != "_target_"} == {key: small[key] for key in small if key != "_target_"}
