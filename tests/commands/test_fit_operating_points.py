"""Giving a student its operating points, as a user does, and what budgets spend with them."""

from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

import dld_spotter
from dld_spotter import fit_operating_points
from dld_spotter.budget import pass_latency
from dld_spotter.budget.candidates import Candidates
from dld_spotter.budget.operating_points import OperatingPoint, OperatingPoints
from dld_spotter.budget.pass_latency import PassLatency
from dld_spotter.config.entry import ROOT
from dld_spotter.core.errors import CheckpointError, ConfigError
from dld_spotter.core.score_scaling import ScoreScaling
from dld_spotter.data.photos import ReferenceSize
from dld_spotter.fit_operating_points import THRESHOLDS, rule_for, try_points
from dld_spotter.inference.checkpoint import amend, load_checkpoint
from dld_spotter.inference.predictor import Predictor
from dld_spotter.inference.second_pass.probing import Prober
from dld_spotter.inference.torch_backend import TorchBackend
from dld_spotter.metrics.rules import Rules
from dld_spotter.selection.second_pass.gains import Gains
from dld_spotter.selection.second_pass.rule import SecondPassRule
from tests.data.samples import box, sample
from tests.inference.second_pass.boxes import read_in_two_passes
from tests.small import SCALES, make_spotter
from tests.trained import POINTS, make_checkpoint

SMALL = (
    "data.validation.renderer.layout.height=[128,192]",
    "data.validation.renderer.layout.width=192",
    "data.validation.length=6",
    "data.workers=0",
    "images=4",
    "evaluation.rules.task=detection",
    "second_pass.threshold=0.3",
)


@pytest.fixture(autouse=True)
def quickly_measured(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(pass_latency, "BLANKS", ((64, 96, 1.0), (128, 192, 0.5), (128, 192, 1.0)))
    monkeypatch.setattr(pass_latency, "SCENE", (128, 192))


def config(checkpoint: Path, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("fit_operating_points", overrides=[f"ckpt={checkpoint}", *SMALL, *overrides])


def test_a_student_gets_operating_points_for_any_budget(tmp_path: Path):
    student = make_checkpoint(tmp_path / "student.ckpt")
    path = fit_operating_points.run(config(student), tmp_path / "fitted")
    fitted = load_checkpoint(path)
    assert fitted.parts() == ["student"]  # they take the place of the selector
    points = OperatingPoints.from_dict(fitted.provenance["operating_points"], "test")
    assert points.images == 4
    assert set(points.scales) <= set(SCALES)
    assert fitted.provenance["second_pass"]["threshold"] == 0.3
    assert fitted.provenance["second_pass"]["min_height"] == 12  # with which the gains were learned
    predictor = dld_spotter.load(path, device="cpu")
    assert fitted.provenance["score_scaling"] == predictor.scaling.to_dict() != ScoreScaling().to_dict()
    assert predictor.rule.threshold == 0.3
    ruled = dld_spotter.load(path, device="cpu", second_pass=SecondPassRule(gain_threshold=7.0)).rule
    # What was learned is kept beside another gain threshold.
    assert ruled == SecondPassRule(threshold=0.3, gain_threshold=7.0, min_height=12.0, gains=predictor.rule.gains)
    assert ruled.gains != SecondPassRule().gains
    budget = (points.calibration.low + points.calibration.high) / 2
    reading = predictor.read(sample(96, 128, [box(10, 10, 60, 20)], ["cat"]).image, budget=budget)
    assert reading.scale in points.scales


def test_a_checkpoint_carries_points_for_flops_and_for_any_clock(tmp_path: Path, monkeypatch, capsys):
    student = make_checkpoint(tmp_path / "student.ckpt")
    clock = PassLatency(0.01, 5.0, 0.5, 0.001)  # on which no second pass pays
    monkeypatch.setattr(fit_operating_points, "pass_latency_of", lambda *given: clock)
    path = fit_operating_points.run(config(student), tmp_path / "flops")
    printed = capsys.readouterr().out
    tried = Candidates.from_dict(load_checkpoint(path).provenance["candidates"], "test")
    assert tried.points == [OperatingPoint(s, t) for s in SCALES[:-1] for t in (*THRESHOLDS, inf)] + [OperatingPoint(1.0)]
    by_flops = OperatingPoints.from_dict(load_checkpoint(path).provenance["operating_points"], "test")
    assert by_flops == tried.best()
    assert sum(line.split()[:1] == ["0.3"] for line in printed.splitlines()) == len(THRESHOLDS) + 1
    assert "a second pass" in printed
    chosen = dld_spotter.load(path, device="cpu")
    assert chosen.policy.candidates == tried
    monkeypatch.setattr(chosen, "pass_latency", lambda: clock)
    by_clock = chosen.timed_points().at(tried.full).points
    seconds = tried.seconds(clock)
    assert by_clock == tried.best([one / seconds[-1] for one in seconds])
    assert all(tried.passes[tried.points.index(point)] == 1 for point in by_clock.points)
    again = fit_operating_points.run(config(student, "cost=latency"), tmp_path / "clock")
    facts = load_checkpoint(again).provenance
    assert facts["candidates"] == tried.to_dict()
    kept = OperatingPoints.from_dict(facts["operating_points"], "test")
    assert set(kept.points) <= set(by_clock.points)  # by which budget= and gamma= are held then
    assert kept == tried.among(by_clock)


def test_points_are_not_chosen_by_pixels(tmp_path: Path):
    student = make_checkpoint(tmp_path / "student.ckpt")
    with pytest.raises(ConfigError, match="not by megapixels; give cost=flops or cost=latency"):
        fit_operating_points.run(config(student, "cost=area"), tmp_path)


def test_words_cut_out_of_the_full_resolution_are_read_once_unless_asked_otherwise():
    usual, asked = SecondPassRule(threshold=0.3), SecondPassRule(min_height=9.0)
    assert rule_for(usual, make_spotter(full_resolution_crops=True)) == replace(usual, min_height=inf)
    assert rule_for(usual, make_spotter(full_resolution_crops=False)) == usual
    assert rule_for(asked, make_spotter(full_resolution_crops=True)) == asked


def test_what_no_operating_point_can_spend_is_refused(tmp_path: Path):
    path = fit_operating_points.run(config(make_checkpoint(tmp_path / "student.ckpt")), tmp_path / "fitted")
    predictor = dld_spotter.load(path, device="cpu")
    with pytest.raises(ConfigError, match=r"budget=0\.001 cannot be met"):
        predictor.read(np.zeros((64, 64, 3), np.uint8), budget=0.001)
    with pytest.raises(ConfigError, match="gamma=-1 must be at least 0"):
        predictor.read(np.zeros((64, 64, 3), np.uint8), gamma=-1)


@pytest.mark.parametrize("min_height", [0.0, 8.0, 100.0])
@pytest.mark.parametrize("between", [0.0, 2.0])
def test_probes_foresee_what_a_second_pass_gives(between: float, min_height: float):
    """Of gains at full resolution, or of twice as much at a scale below."""
    tables = {second: ((gain,) * 5,) * 4 for second, gain in ((0.5, between), (1.0, 1.0))}
    rule = SecondPassRule(threshold=0.3, context=2, min_height=min_height, gains=Gains({SCALES[0]: tables}))
    predictor, rules = Predictor(TorchBackend(make_spotter(1)), rule=rule), Rules(task="detection")
    backend = predictor.backend
    samples = [sample(192, 256, [box(20 + 9 * k, 30, 80, 24), box(140, 120 - k, 60, 30)], ["cat", "dog"]) for k in range(3)]
    for one in samples:
        size, probes = one.image.shape[:2], Prober(predictor, rules).probe(one, SCALES)
        for scale, probe in zip(SCALES, probes, strict=True):
            for threshold in (0.0, inf):
                found = read_in_two_passes(backend, one.image, scale, replace(rule, gain_threshold=threshold))
                counts, cost = probe.at(threshold, rule, backend.cost)
                expected = rules.count(one.name, one.instances, found.words)
                full = found.full(size, backend.cost)
                if scale == 1.0 or threshold == inf:
                    assert counts.tolist() == list(expected)
                    assert cost == pytest.approx(found.spent(backend.cost) / full, rel=1e-6)
                else:  # each region is counted alone: what two of them share is not foreseen
                    assert abs(counts - np.array(expected, float)).max() <= 1
                    assert cost == pytest.approx(found.spent(backend.cost) / full, rel=0.06)


def test_operating_points_rise_in_cost_and_hmean():
    rule = SecondPassRule(threshold=0.3)
    predictor = Predictor(TorchBackend(make_spotter(1)), rule=rule)
    samples = [sample(128, 128, [box(20, 30 + 9 * k, 80, 24)], ["cat"]) for k in range(3)]
    prober = Prober(predictor, Rules(task="detection"))
    probes = [prober.probe(one, SCALES) for one in samples]
    cost = predictor.backend.cost
    tried, gains, hmeans = try_points(probes, SCALES, rule, cost)
    points = tried.best()
    assert (np.diff(points.costs) > 0).all()
    assert (np.diff(points.losses) < 0).all()
    assert len(hmeans) == len(tried.points)
    assert tried.images == 3
    once = [predictor.backend.detect([one.image], 0.5)[0] for one in samples]
    single = tried.points.index(OperatingPoint(0.5))
    assert (tried.passes[single], tried.gflops[single]) == (1, pytest.approx(cost(*once[0].size, 0)))
    assert tried.words[single] == np.mean([len(one.all) for one in once])
    assert tried.costs[single] == pytest.approx(np.mean([probe[1].at(inf, rule, cost)[1] for probe in probes]))
    eager = tried.points.index(OperatingPoint(0.3, THRESHOLDS[0]))
    assert 1 <= tried.passes[eager] <= 2
    assert tried.full == pytest.approx(cost(128, 128, 0))
    assert gains.tables.keys() == set(SCALES[:-1])


def test_a_blank_image_has_no_region():
    spotter = make_spotter(1)
    spotter.head.output.bias.data.fill_(-20)
    predictor = Predictor(TorchBackend(spotter))
    probes = Prober(predictor, Rules()).probe(sample(64, 64, [], []), SCALES)
    assert all(len(probe.found) == 0 for probe in probes)
    cost = predictor.backend.cost
    spent = [probe.at(0.0, SecondPassRule(), cost)[1] for probe in probes]
    assert spent == [probe.first.spent(cost) / cost(64, 64, 0) for probe in probes]


def test_probes_are_of_the_reference():
    large = sample(128, 192, [box(20, 30, 80, 24)], ["cat"])
    predictor = Predictor(TorchBackend(make_spotter(1)), reference=ReferenceSize(long=96))
    rules = Rules(task="detection")
    probes = Prober(predictor, rules).probe(large, SCALES)
    assert {probe.size for probe in probes} == {(64, 96)}
    for scale, probe in zip(SCALES, probes, strict=True):
        words = predictor.read(large.image, scale=scale).words
        assert probe.counts.tolist() == list(rules.count(large.name, large.instances, words))


def test_wrong_settings_are_named(tmp_path: Path):
    student = make_checkpoint(tmp_path / "student.ckpt")
    with pytest.raises(ConfigError, match="images=0 must be a whole number of at least 1"):
        fit_operating_points.run(config(student, "images=0"), tmp_path)
    with pytest.raises(ConfigError, match=r"second_pass\.gain_threshold=3\.0 is what fit_operating_points looks for"):
        fit_operating_points.run(config(student, "second_pass.gain_threshold=3.0"), tmp_path)
    with pytest.raises(CheckpointError, match=r"absent\.ckpt does not exist"):
        fit_operating_points.run(config(tmp_path / "absent.ckpt"), tmp_path)


@pytest.mark.parametrize("points", [POINTS, OperatingPoints((0.3, 1.0), (inf, inf), (0.0, -0.3), (0.2, 1.0), 9)])
def test_a_budget_is_held_whatever_rule_is_given_beside_it(points: OperatingPoints, tmp_path: Path):
    path = make_checkpoint(tmp_path / "student.ckpt", selector=False, operating_points=True)
    amend(path, {"operating_points": points.to_dict()})
    image = sample(96, 128, [box(10, 10, 60, 20)], ["cat"]).image
    for gamma in (2.0, 0.5, 0.01):
        ruled = dld_spotter.load(path, device="cpu", second_pass=SecondPassRule(threshold=0.05))
        spent = [one.read(image, gamma=gamma).gflops for one in (dld_spotter.load(path, device="cpu"), ruled)]
        assert spent[0] == spent[1]  # the gain threshold is that of the operating point
    ruled = dld_spotter.load(path, device="cpu", second_pass=SecondPassRule(threshold=0.05, gain_threshold=0.0))
    with pytest.raises(ConfigError, match="have thresholds of their own; give scale="):
        ruled.read(image, gamma=0.5)
    once, twice = (one.read(image, scale=0.3) for one in (dld_spotter.load(path, device="cpu"), ruled))
    assert once.second_pass_share == 0 < twice.second_pass_share  # that of the rule is for a scale that is asked for


def test_a_word_that_is_read_twice_is_charged_twice(tmp_path: Path):
    path = make_checkpoint(tmp_path / "student.ckpt", selector=False, operating_points=True)
    predictor = dld_spotter.load(path, device="cpu")
    image = sample(96, 128, [box(10, 10, 60, 20)], ["cat"]).image
    found, point, cost = predictor.read(image, gamma=2.0), predictor.decide(image, 2.0), predictor.backend.cost
    rule = replace(predictor.rule, gain_threshold=point.second_pass)
    result = read_in_two_passes(predictor.backend, image, found.scale, rule)
    (first, second), (words, words_again) = result.sizes, result.reads
    assert words > 0
    assert words_again > 0
    assert found.gflops == pytest.approx(cost(*first, words) + cost(*second, words_again))
    assert found.relative_cost == pytest.approx(found.gflops / cost(96, 128, words + words_again - result.again))


@pytest.mark.parametrize("rule", [None, {"threshold": 3.0}, {"unknown": 1}, "0.15", 5])
def test_a_damaged_rule_is_told(rule: object, tmp_path: Path):
    path = make_checkpoint(tmp_path / "student.ckpt", selector=False, operating_points=True)
    amend(path, {"second_pass": rule})
    with pytest.raises(CheckpointError, match=r"student\.ckpt holds a damaged or older SecondPassRule"):
        dld_spotter.load(path, device="cpu")
