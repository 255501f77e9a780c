"""A spotter grown to twice its widths, see experiments/24_double_width/widen.py."""

import runpy
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from dld_spotter.config.entry import ROOT
from dld_spotter.inference.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from tests.data.samples import box, sample
from tests.small import SCALES, SPOTTER, THUMBNAIL, make_batch, make_spotter

WIDEN = runpy.run_path(str(Path(__file__).parents[2] / "experiments" / "24_double_width" / "widen.py"))


@pytest.fixture
def narrow(tmp_path) -> Checkpoint:
    """A spotter as training leaves it: channels differ, residual blocks work, attention looks somewhere."""
    spotter = make_spotter(blocks=[1, 1]).eval()
    for name, value in spotter.state_dict().items():
        if name.endswith(("running_var", "second.1.weight")):
            value.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            value.normal_(std=0.1)
        elif "attention" in name and not name.endswith("scale"):
            value.normal_(std=1.0)
    facts = {"format": 1, "model": {"student": SPOTTER | {"blocks": [1, 1]}}, "scales": list(SCALES), "thumbnail": THUMBNAIL}
    save_checkpoint(tmp_path / "narrow.ckpt", {"student": spotter}, facts)
    return load_checkpoint(tmp_path / "narrow.ckpt")


@pytest.fixture
def words() -> tuple:
    """A view with two words, as a spotter's forward pass takes it."""
    batch = make_batch([sample(96, 128, [box(8, 8, 60, 20), box(30, 50, 70, 24)], ["cat", "dog"])])
    return batch.views[1.0], batch.boundaries, batch.image_index, batch.labels


def assert_same(found, expected, tolerance: float) -> None:
    """Compare all that a spotter computes of given words."""
    for part in ("text", "threshold"):
        assert torch.allclose(getattr(found.detection, part), getattr(expected.detection, part), atol=tolerance)
    for part in ("logits", "ctc_logits"):
        assert torch.allclose(getattr(found.recognition, part), getattr(expected.recognition, part), atol=tolerance)


@torch.inference_mode()
def test_reads_as_before(narrow, words):
    wide, _ = WIDEN["widen"](narrow)
    expected = narrow.spotter()(*words)
    assert expected.recognition.logits.std() > 0.5  # something to compare
    assert_same(wide.eval()(*words), expected, 1e-3)


@torch.inference_mode()
@pytest.mark.parametrize("forgotten", ["MATCHED", "JOINED"])
def test_attention_that_is_not_scaled_or_joined_would_be_seen(narrow, words, monkeypatch, forgotten):
    monkeypatch.setitem(WIDEN["widened"].__globals__, forgotten, ("nothing",))
    with pytest.raises(AssertionError):
        assert_same(WIDEN["widen"](narrow)[0].eval()(*words), narrow.spotter()(*words), 1e-3)


def test_copies_learn_different_things(narrow, words):
    """Two units that give the same and take the same would be one for ever."""
    wide, _ = WIDEN["widen"](narrow)
    output = wide.train()(*words)
    (output.recognition.logits.square().sum() + output.detection.text.square().sum()).backward()
    compared = 0
    for name, parameter in wide.named_parameters():
        taken = parameter.grad is not None and parameter.grad.any()  # no word is large enough for the coarse levels
        if taken and parameter.dim() == 4 and "output" not in name:
            first, second = parameter.grad.flatten(1).chunk(2)
            assert not torch.allclose(first, second, rtol=1e-2), name
            compared += 1
    assert compared > 10


@torch.inference_mode()
def test_written_as_a_checkpoint(narrow, words, tmp_path):
    WIDEN["main"](str(narrow.path), str(tmp_path / "wide.ckpt"))
    wide = load_checkpoint(tmp_path / "wide.ckpt")
    assert wide.config("student")["channels"] == 2 * SPOTTER["channels"]
    assert_same(wide.spotter()(*words), narrow.spotter()(*words), 0.1)  # in half precision


def test_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="layers=2"):
        WIDEN["doubled_config"](SPOTTER | {"layers": 2})


def test_small_is_twice_tiny():
    """What widen.py writes is what conf/spotter/small.yaml builds."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", ["spotter@model.student=small"])
    tiny, small = (OmegaConf.to_container(config.model[part], resolve=True) for part in ("teacher", "student"))
    grown = WIDEN["doubled_config"](tiny)
    assert grown == small
