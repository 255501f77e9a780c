"""Giving a student the steps of a ladder, as a user does, and what budgets spend with it."""

from math import inf
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

import dld_spotter
from dld_spotter import fit_operating_points as fit_ladder
from dld_spotter.budget.cost import FlopCost
from dld_spotter.budget.operating_points import OperatingPoints
from dld_spotter.config.entry import ROOT
from dld_spotter.core.errors import CheckpointError, ConfigError
from dld_spotter.fit_operating_points import best_steps
from dld_spotter.inference.checkpoint import amend, load_checkpoint
from dld_spotter.inference.second_pass.probing import Prober
from dld_spotter.inference.second_pass.reader import SecondLook, look
from dld_spotter.metrics.rules import Rules
from dld_spotter.selection.second_pass.gains import Gains
from dld_spotter.selection.second_pass.rule import SecondPassRule
from tests.data.samples import box, sample
from tests.small import SCALES, make_batch, make_spotter
from tests.trained import make_checkpoint

SMALL = (
    "data.validation.renderer.layout.height=[128,192]",
    "data.validation.renderer.layout.width=192",
    "data.validation.length=6",
    "data.workers=0",
    "images=4",
    "evaluation.rules.task=detection",
    "escalation.threshold=0.3",
)


def config(checkpoint: Path, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("fit_ladder", overrides=[f"ckpt={checkpoint}", *SMALL, *overrides])


def test_a_student_gets_steps_for_any_budget(tmp_path: Path):
    student = make_checkpoint(tmp_path / "student.ckpt")
    path = fit_ladder.run(config(student), tmp_path / "fitted")
    fitted = load_checkpoint(path)
    assert fitted.parts() == ["student"]  # the ladder takes the place of the selector
    steps = OperatingPoints.read(fitted.provenance["ladder"], "test")
    assert steps.images == 4
    assert set(steps.scales) <= set(SCALES)
    assert fitted.provenance["escalation"]["threshold"] == 0.3
    reader = dld_spotter.load(path, device="cpu")
    assert reader.reader.rule.threshold == 0.3
    ruled = dld_spotter.load(path, device="cpu", escalation=SecondPassRule(price=7.0)).reader.rule
    assert ruled == SecondPassRule(
        price=7.0, legible=12.0, gains=reader.reader.rule.gains
    )  # what was learned is kept beside another price
    assert ruled.gains != SecondPassRule().gains
    budget = (steps.calibration.low + steps.calibration.high) / 2
    reading = reader.read(sample(96, 128, [box(10, 10, 60, 20)], ["cat"]).image, budget=budget)
    assert reading.scale in steps.scales


def test_what_no_step_can_spend_is_refused(tmp_path: Path):
    path = fit_ladder.run(config(make_checkpoint(tmp_path / "student.ckpt")), tmp_path / "fitted")
    reader = dld_spotter.load(path, device="cpu")
    with pytest.raises(ConfigError, match=r"budget=0\.001 cannot be met"):
        reader.read(np.zeros((64, 64, 3), np.uint8), budget=0.001)
    with pytest.raises(ConfigError, match="gamma=-1 must be at least 0"):
        reader.read(np.zeros((64, 64, 3), np.uint8), gamma=-1)


@pytest.mark.parametrize("legible", [0.0, 8.0, 100.0])
@pytest.mark.parametrize("between", [0.0, 2.0])
def test_probes_foresee_what_a_second_look_gives(between: float, legible: float):
    """Of gains at full resolution, or of twice as much at a scale below."""
    tables = {second: ((gain,) * 5,) * 4 for second, gain in ((0.5, between), (1.0, 1.0))}
    spotter, rule = (
        make_spotter(1).eval(),
        SecondPassRule(threshold=0.3, context=2, legible=legible, gains=Gains({SCALES[0]: tables})),
    )
    rules, flops = Rules(task="detection"), FlopCost(spotter)
    samples = [sample(192, 256, [box(20 + 9 * k, 30, 80, 24), box(140, 120 - k, 60, 30)], ["cat", "dog"]) for k in range(3)]
    for batch in (make_batch([one]) for one in samples):
        probes = Prober(spotter, rules, rule).probe(batch, SCALES)
        for scale, probe in zip(SCALES, probes, strict=True):
            for price in (0.0, inf):
                (found,) = look(SecondLook(spotter, rule), batch.view(scale), [price])
                counts, cost = probe.at(price, rule, flops.cost)
                expected = rules.count(batch.names[0], batch.instances[0], found.words)
                size = batch.views[1.0].sizes[0].tolist()
                full = found.full(size, flops.cost)
                if scale == 1.0 or price == inf:
                    assert counts.tolist() == list(expected)
                    assert cost == pytest.approx(found.spent(flops.cost) / full, rel=1e-6)
                else:  # each place is counted alone: what two of them share is not foreseen
                    assert abs(counts - np.array(expected, float)).max() <= 1
                    assert cost == pytest.approx(found.spent(flops.cost) / full, rel=0.06)


def test_steps_rise_in_cost_and_hmean():
    spotter, rule = make_spotter(1).eval(), SecondPassRule(threshold=0.3)
    batches = [make_batch([sample(128, 128, [box(20, 30 + 9 * k, 80, 24)], ["cat"])]) for k in range(3)]
    prober = Prober(spotter, Rules(task="detection"), rule)
    steps, gains, hmeans = best_steps([prober.probe(batch, SCALES) for batch in batches], SCALES, rule, prober.flops.cost)
    assert (np.diff(steps.costs) > 0).all()
    assert (np.diff(steps.losses) < 0).all()
    assert len(hmeans) == len(steps.costs)
    assert gains.tables.keys() == set(SCALES[:-1])


def test_a_blank_image_has_no_place(tmp_path: Path):
    spotter = make_spotter(1).eval()
    spotter.head.output.bias.data.fill_(-20)
    batch = make_batch([sample(64, 64, [], [])])
    probes = Prober(spotter, Rules(), SecondPassRule()).probe(batch, SCALES)
    assert all(len(probe.found) == 0 for probe in probes)
    spent = [probe.at(0.0, SecondPassRule(), FlopCost(spotter).cost)[1] for probe in probes]
    assert spent == [probe.first.spent(FlopCost(spotter).cost) / FlopCost(spotter).cost(64, 64) for probe in probes]


def test_wrong_settings_are_named(tmp_path: Path):
    student = make_checkpoint(tmp_path / "student.ckpt")
    with pytest.raises(ConfigError, match="images=0 must be a whole number of at least 1"):
        fit_ladder.run(config(student, "images=0"), tmp_path)
    with pytest.raises(ConfigError, match=r"escalation\.price=3\.0 is what fit_ladder looks for"):
        fit_ladder.run(config(student, "escalation.price=3.0"), tmp_path)
    with pytest.raises(CheckpointError, match=r"absent\.ckpt does not exist"):
        fit_ladder.run(config(tmp_path / "absent.ckpt"), tmp_path)


def test_a_budget_is_held_whatever_rule_is_given_beside_it(tmp_path: Path):
    path = make_checkpoint(tmp_path / "student.ckpt", selector=False, ladder=True)
    image = sample(96, 128, [box(10, 10, 60, 20)], ["cat"]).image
    for gamma in (0.5, 0.01):
        ruled = dld_spotter.load(path, device="cpu", escalation=SecondPassRule(threshold=0.05, price=0.0))
        spent = [reader.read(image, gamma=gamma).gflops for reader in (dld_spotter.load(path, device="cpu"), ruled)]
        assert spent[0] == spent[1]  # the price is that of the step


def test_a_word_that_is_read_twice_is_charged_twice(tmp_path: Path):
    reader = dld_spotter.load(make_checkpoint(tmp_path / "student.ckpt", selector=False, ladder=True), device="cpu")
    image = sample(96, 128, [box(10, 10, 60, 20)], ["cat"]).image
    found = reader.read(image, gamma=2.0)
    (look,) = reader.spot([image], found.scale, [reader.price_for(2.0)])
    (first, again), (words, words_again) = look.sizes, look.reads
    assert words > 0
    assert words_again > 0
    assert found.gflops == pytest.approx(reader.gflops(*first, words) + reader.gflops(*again, words_again))
    assert found.relative_cost == pytest.approx(found.gflops / reader.gflops(96, 128, words + words_again - look.again))


@pytest.mark.parametrize("rule", [None, {"threshold": 3.0}, {"unknown": 1}, "0.15"])
def test_a_damaged_rule_is_told(rule: object, tmp_path: Path):
    path = make_checkpoint(tmp_path / "student.ckpt", selector=False, ladder=True)
    amend(path, {"escalation": rule})
    with pytest.raises(CheckpointError, match=r"student\.ckpt holds a damaged or older rule of escalation"):
        dld_spotter.load(path, device="cpu")
