"""Milliseconds as a user asks for them, of a spotter whose passes and words take known seconds."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

import dld_spotter
from dld_spotter.budget import pass_latency
from dld_spotter.budget.pass_latency import PassLatency, Work, measure_passes
from dld_spotter.budget.requests import COLD, Request
from dld_spotter.core.errors import CheckpointError
from dld_spotter.inference import predictor as reading
from dld_spotter.inference import timing
from dld_spotter.inference.checkpoint import amend
from dld_spotter.inference.predictor import Predictor
from tests.budget.test_candidates import CANDIDATES
from tests.data.samples import box, sample
from tests.trained import POINTS, make_checkpoint

SIZE = (128, 192)
IMAGE = sample(*SIZE, [box(10, 10, 60, 20)], ["cat"]).image


class Clock:
    """Seconds that pass in the passes and words of a backend alone."""

    def __init__(self, spotter: Predictor, latency: PassLatency) -> None:
        self.now, self.latency, self.backend, self.slow = 0.0, latency, spotter.backend, 1.0
        self._detect, self._recognize = spotter.backend.detect, spotter.backend.recognize
        spotter.backend.detect, spotter.backend.recognize = self.detect, self.recognize

    def __call__(self) -> float:
        return self.now

    def detect(self, images, scale, keep_all=False):
        found = self._detect(images, scale, keep_all)
        self.now += self.slow * (self.latency.fixed + self.latency.per_gflop * self.backend.cost(*found[0].size, 0))
        return found

    def recognize(self, detections, which):
        self.now += self.slow * self.latency.per_word * sum(map(len, which))
        return self._recognize(detections, which)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(pass_latency, "BLANKS", ((64, 96, 1.0), (128, 192, 0.5), (192, 256, 1.0)))
    monkeypatch.setattr(pass_latency, "SCENE", SIZE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a student with operating points, without candidates."""
    return make_checkpoint(tmp_path / "student.ckpt", selector=False, operating_points=True)


def with_candidates(path: Path) -> Predictor:
    """A student whose candidates are those of the tests by hand, for images of ``SIZE``."""
    full = dld_spotter.load(path, device="cpu").backend.cost(*SIZE, 0)
    shares = [share * full / 10 for share in CANDIDATES.gflops]
    amend(path, {"candidates": CANDIDATES.to_dict() | {"gflops": shares}, "operating_points": CANDIDATES.best().to_dict()})
    return dld_spotter.load(path, device="cpu")


def slow_passes(spotter: Predictor) -> PassLatency:
    """100 ms in full resolution, 10 ms an image, 20 a second pass; words take none."""
    return PassLatency(0.01, 0.02, 0.1 / spotter.backend.cost(*SIZE, 0), 0.0)


def test_a_budget_of_milliseconds_chooses_by_the_clock_and_one_of_flops_does_not(path, monkeypatch):
    spotter = with_candidates(path)
    monkeypatch.setattr(spotter, "pass_latency", lambda: slow_passes(spotter))
    assert spotter.read(IMAGE, budget_ms=35).scale == 0.5
    assert spotter.read(IMAGE, budget=0.2).scale == 0.3
    assert spotter.read(IMAGE, budget_ms=111).scale == 1.0
    assert spotter.read(IMAGE, budget_ms=111, max_cost=0.5).relative_cost <= 0.5


def test_the_first_photos_of_a_slow_start_leave_the_next_ones_alone(path, monkeypatch):
    spotter = with_candidates(path)
    latency = slow_passes(spotter)
    clock = Clock(spotter, latency)
    monkeypatch.setattr(spotter, "pass_latency", lambda: latency)
    monkeypatch.setattr(reading.time, "perf_counter", clock)
    clock.slow = 30.0
    first = [spotter.read(IMAGE, budget_ms=35) for _ in range(COLD)]
    clock.slow = 1.0
    later = [spotter.read(IMAGE, budget_ms=35) for _ in range(12)]
    assert {one.scale for one in (*first, *later)} == {0.5}
    assert 1000 * np.mean([one.seconds for one in later]) == pytest.approx(35, rel=0.01)
    tracker = spotter.tracker(Request(budget_ms=35))
    assert tracker.mean == pytest.approx((COLD * 30 * 35 + 12 * 35) / (COLD + 12), rel=0.01)  # which is told as it was
    # A process that has read before has no cold start: what is slow now counts.
    clock.slow = 30.0
    spotter.read(IMAGE, budget_ms=35)
    clock.slow = 1.0
    assert spotter.read(IMAGE, budget_ms=35).scale == 0.3


def test_who_goes_on_from_lines_goes_on_alike(path, monkeypatch):
    one, other = with_candidates(path), dld_spotter.load(path, device="cpu")
    for spotter in (one, other):
        monkeypatch.setattr(spotter, "pass_latency", lambda: slow_passes(one))
    seconds = [9.0, 0.2, 0.1, 0.03, 0.05, 0.04]
    lines = [{"width": 192, "height": 128, "relative_cost": 0.3, "gflops": 0.1, "seconds": one} for one in seconds]
    request = Request(budget_ms=35)
    other.catch_up(request, [[line] for line in lines])
    tracker = one.tracker(request)
    for number, taken in enumerate(seconds):
        tracker.gamma(one.full_cost([SIZE]))
        tracker.record(0.3, 0.1, taken, cold=number < COLD)
    assert other.tracker(request).gamma(1.0) == tracker.gamma(1.0)
    assert other.tracker(request).mean == tracker.mean


def test_a_checkpoint_without_candidates_is_held_by_the_line(path, monkeypatch):
    spotter = dld_spotter.load(path, device="cpu")
    assert spotter.policy.candidates is None
    assert spotter.timed_points() is None
    line = timing.Line(0.01, 0.1 / spotter.backend.cost(*SIZE, 0))
    monkeypatch.setattr(spotter, "line", lambda: line)
    monkeypatch.setattr(spotter, "pass_latency", lambda: pytest.fail("nobody needs it"))
    for budget in (35, 60, 110):
        share = (budget - 10) / 100
        expected = POINTS.at(POINTS.calibration.aim(share))
        assert spotter.read(IMAGE, budget_ms=budget).scale == expected.scale


def test_what_passes_take_is_measured_with_the_backend_and_kept(path, monkeypatch):
    spotter = dld_spotter.load(path, device="cpu")
    true = PassLatency(0.01, 0.01, 0.5, 0.002)
    clock = Clock(spotter, true)
    monkeypatch.setattr(timing, "measure_passes", partial(measure_passes, clock=clock))
    found = spotter.pass_latency()
    for scale in (0.3, 0.5, 1.0):  # this spotter sees one word in anything
        start = clock.now
        read = spotter.read(IMAGE, scale=scale)
        work = Work(1, spotter.backend.cost(*(round(scale * side) for side in SIZE), 0), 1)
        assert read.gflops == pytest.approx(spotter.backend.cost(*(round(scale * side) for side in SIZE), 1))
        assert found.seconds(work) == pytest.approx(clock.now - start) == true.seconds(work)
    now = clock.now
    assert spotter.pass_latency() == found
    assert clock.now == now  # nothing is read again


def test_damaged_candidates_are_told_when_a_file_is_opened(path):
    amend(path, {"candidates": CANDIDATES.to_dict() | {"passes": [1.0]}})
    with pytest.raises(
        CheckpointError, match=r"student\.ckpt holds a damaged or older Candidates .*; run fit_operating_points"
    ):
        dld_spotter.load(path, device="cpu")
    amend(path, {"candidates": CANDIDATES.to_dict()})
    assert dld_spotter.load(path, device="cpu").policy.candidates == CANDIDATES
