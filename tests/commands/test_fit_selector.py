"""Giving a student a selector, as a user does, and what the selector learns on the way."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from dld_spotter import fit_selector
from dld_spotter.budget.calibration import Calibration
from dld_spotter.config.entry import ROOT
from dld_spotter.core.errors import CheckpointError, ConfigError
from dld_spotter.inference.checkpoint import load_checkpoint
from dld_spotter.selection.fitting import ThumbnailSet, false_positive_cost, fit_outcomes, judge_heights, learn_heights
from dld_spotter.selection.quality import QualitySelector
from dld_spotter.tradeoff import Outcomes
from tests.small import SCALES
from tests.trained import make_checkpoint

SMALL = (
    "data.train.datasets.rendered.renderer.layout.height=[64,160]",
    "data.train.datasets.rendered.renderer.layout.width=[64,160]",
    "data.validation.renderer.layout.height=96",
    "data.validation.renderer.layout.width=96",
    "data.validation.length=4",
    "data.workers=0",
    "images=3",
    "thumbnails=8",
    "steps=2",
    "batch=4",
    "thumbnail=32",
    "selector.channels=[4,4,4,4]",
    "selector.hidden=8",
)


def config(checkpoint: Path, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("fit_selector", overrides=[f"ckpt={checkpoint}", *SMALL, *overrides])


def table(matched: list[list[int]], predicted: list[list[int]], true: list[int], scales: tuple[float, ...]) -> Outcomes:
    """Outcomes of images named a, b, ... whose cost is their scale."""
    shape = np.shape(matched)
    cost = np.broadcast_to(scales, shape)
    names = tuple("abcdefgh"[: shape[0]])
    counts = [np.array(values) for values in (matched, predicted)]
    return Outcomes(names, scales, *counts, np.broadcast_to(np.array(true)[:, None], shape), cost, cost, cost)


def test_a_student_gets_a_selector_for_any_budget(tmp_path: Path):
    student = make_checkpoint(tmp_path / "student.ckpt", selector=False, full_resolution_crops=True)
    path = fit_selector.run(config(student), tmp_path)
    fitted = load_checkpoint(path)
    assert fitted.parts() == ["student", "selector"]
    before, after = load_checkpoint(student).weights("student"), fitted.weights("student")
    assert all(torch.equal(before[name], after[name]) for name in before)
    selector = fitted.policy()
    assert selector.scales == SCALES
    assert int(selector.readings) == 3
    assert fitted.provenance["thumbnail"] == 32
    assert selector.thumbnail == 32
    calibration = Calibration.from_dict(fitted.provenance["calibration"], "test")
    assert 0 < calibration.low <= calibration.high <= 1.1
    outcomes = Outcomes.load(tmp_path / "outcomes_student.npz")
    assert len(outcomes.names) == 3
    cost = load_checkpoint(path).config("selector")["false_positive_cost"]
    assert cost == pytest.approx(false_positive_cost(outcomes), abs=1e-3)


def test_readings_are_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    student = make_checkpoint(tmp_path / "student.ckpt", selector=False)
    fit_selector.run(config(student), tmp_path)
    first = load_checkpoint(tmp_path / "student.ckpt").policy()
    make_checkpoint(tmp_path / "again.ckpt", selector=False)
    monkeypatch.setattr(fit_selector, "measure", lambda *_: pytest.fail("read once more"))
    (tmp_path / "second").mkdir()
    known = f"outcomes={tmp_path / 'outcomes_student.npz'}"
    second = load_checkpoint(fit_selector.run(config(tmp_path / "again.ckpt", known), tmp_path / "second")).policy()
    torch.testing.assert_close(second.table, first.table)
    with pytest.raises(ConfigError, match=r"has the scales \[0\.3, 0\.5, 1\.0\], expected \[0\.5, 1\.0\]"):
        fit_selector.run(config(tmp_path / "again.ckpt", known, "scales=[0.5,1.0]"), tmp_path / "second")


def test_what_thumbnails_show_is_not_learnt_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    student = make_checkpoint(tmp_path / "given.ckpt", selector=False)
    first = fit_selector.run(config(student), tmp_path)
    monkeypatch.setattr(fit_selector, "learn", lambda *_: pytest.fail("learnt once more"))
    (tmp_path / "second").mkdir()
    second = fit_selector.run(config(student, f"network={first}", "seed=2"), tmp_path / "second")
    before, after = (load_checkpoint(path).weights("selector") for path in (first, second))
    for name, value in before.items():
        assert torch.equal(value, after[name]) or not name.startswith("network.")
    for wrong, message in (("thumbnail=64", "sees thumbnails of 32 pixels"), ("selector.bins=9", "other bins of height")):
        with pytest.raises(ConfigError, match=message):
            fit_selector.run(config(student, f"network={first}", wrong), tmp_path / "second")


def test_what_cannot_be_fitted_is_refused(tmp_path: Path):
    student = make_checkpoint(tmp_path / "student.ckpt", selector=False)
    for wrong in ("images=0", "thumbnails=-1", "steps=1.5", "batch=0"):
        with pytest.raises(ConfigError, match=f"{wrong} must be a whole number of at least 1"):
            fit_selector.run(config(student, wrong), tmp_path)
    content = torch.load(student, weights_only=True)
    content["state_dict"] = {name.replace("student.", "teacher."): value for name, value in content["state_dict"].items()}
    torch.save(content, tmp_path / "teacher.ckpt")
    with pytest.raises(CheckpointError, match="holds no student"):
        fit_selector.run(config(tmp_path / "teacher.ckpt"), tmp_path)


def test_a_false_word_costs_what_it_takes_from_the_hmean():
    outcomes = table([[3, 6]], [[5, 8]], [12], (0.5, 1.0))
    matched, predicted, true = 6, 8, 12  # at 1.0, where the Hmean is 12 / 20

    def hmean(matched: float, predicted: float) -> float:
        return 2 * matched / (predicted + true)

    step = 1e-6
    lost = hmean(matched, predicted) - hmean(matched, predicted + step)
    gained = hmean(matched + step, predicted + step) - hmean(matched, predicted)
    assert false_positive_cost(outcomes) == pytest.approx(lost / gained, rel=1e-4)


def test_the_table_follows_what_was_read():
    selector = QualitySelector((0.5, 1.0), 0.1, [1.0], bins=3, heights=(10, 40))
    small, large = torch.tensor([0.0, 10, 0]), torch.tensor([0.0, 0, 10])
    known = {"a": small, "b": large, "c": small, "d": large, "unused": large}
    # Small words are read at 1.0 alone, large ones at both scales; nothing is read falsely.
    counts = [[0, 8], [9, 9], [0, 8], [9, 9]]
    fit_outcomes(selector, known, table(counts, counts, [10, 10, 10, 10], (0.5, 1.0)))
    right, false = selector.outcomes(torch.stack([small, large])).unbind(1)
    np.testing.assert_allclose(right, [[0, 8], [9, 9]], atol=0.6)
    assert false.max() < 0.3
    assert selector.words == 10
    assert selector.readings == 4


def test_thumbnails_tell_heights():
    selector = QualitySelector((0.5, 1.0), 0.1, [1.0], bins=3, heights=(10, 40), channels=[8, 8, 8, 8], hidden=16)
    generator = torch.Generator().manual_seed(0)
    kinds = torch.randint(2, (64,), generator=generator)
    thumbnails = torch.randint(0, 60, (64, 3, 32, 32), dtype=torch.uint8, generator=generator)
    thumbnails[kinds == 1, :, 8:24, 4:28] = 255
    thumbnails = ThumbnailSet(thumbnails, torch.stack([1.0 - kinds, kinds.float() * 0, 3.0 * kinds], dim=1))
    torch.manual_seed(0)
    learn_heights(selector, thumbnails, 60, 16, 1e-2, 0)
    found, nothing = judge_heights(selector, thumbnails)
    shown = thumbnails.shown.numpy()
    mean = np.broadcast_to(shown.mean(0), shown.shape)
    logs = np.where(shown > 0, shown * np.log(np.where(shown > 0, shown, 1) / np.maximum(mean, 1e-6)), 0)
    assert nothing == pytest.approx(2 * float((logs - shown + mean).sum(1).mean()), rel=1e-3)
    assert found < 0.3 * nothing
