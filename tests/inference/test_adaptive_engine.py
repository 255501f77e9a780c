"""An engine under a budget, from Python: what it is shown, what it takes, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

import dld_spotter
from dld_spotter.budget.engine_latency import EngineLatency
from dld_spotter.budget.operating_points import OperatingPoint
from dld_spotter.core.errors import ConfigError
from dld_spotter.inference import adaptive_engine, predictor
from dld_spotter.inference.adaptive_engine import AdaptiveEngine
from dld_spotter.inference.pieces import PieceRule
from dld_spotter.selection.sizes.fitting import fit_policy
from dld_spotter.selection.sizes.outcomes import EngineOutcomes
from dld_spotter.selection.sizes.policy import SizePolicy
from tests.data.samples import box, sample
from tests.inference.engines.drawn import DrawnEngine
from tests.selection.sizes.test_policy import outcomes, striped

LATENCY = EngineLatency(0.001, 0.1, 0.0)
"""A tenth of a second per million of pixels."""


class Clocked(DrawnEngine):
    """An engine that takes just as long as ``LATENCY`` says, by a clock of its own."""

    now = 0.0

    def read(self, image):
        self.now += LATENCY.seconds(*image.shape[:2], 0)
        self.seen.append(image)
        return []


@pytest.fixture
def policy() -> SizePolicy:
    table = outcomes()
    return fit_policy(replace(table, engine=DrawnEngine().fingerprint()), 1280)


@pytest.fixture
def engine(policy, monkeypatch) -> Clocked:
    engine = Clocked()
    monkeypatch.setattr(adaptive_engine, "known_latency", lambda *_: LATENCY)
    monkeypatch.setattr(predictor.time, "perf_counter", lambda: engine.now)
    return engine


@pytest.mark.parametrize("budget_ms", [20, 45, 80])
def test_a_stream_takes_what_it_may_take_on_average(engine, policy, budget_ms):
    adaptive = dld_spotter.AdaptiveEngine(engine, policy)
    images = [striped(3 if k % 2 else 40, k) for k in range(300)]
    seconds = [adaptive(image, budget_ms=budget_ms).seconds for image in images]
    assert 1000 * np.mean(seconds) == pytest.approx(budget_ms, rel=0.08)
    assert 1000 * seconds[0] < 94  # what the largest size takes: not even the first image is beyond any bound


def test_the_first_images_are_within_the_budget_already(engine, policy):
    adaptive = AdaptiveEngine(engine, policy)
    seconds = [adaptive(striped(3 if k % 2 else 40, k), budget_ms=50).seconds for k in range(6)]
    assert 1000 * np.mean(seconds) < 60


def test_fine_text_is_enlarged_and_coarse_text_reduced(engine, policy):
    adaptive = AdaptiveEngine(engine, policy)
    adaptive(striped(3, 50), gamma=0.1)
    adaptive(striped(40, 50), gamma=0.1)
    assert [image.shape[:2] for image in engine.seen] == [(720, 1280), (180, 320)]


def test_words_are_in_pixels_of_the_image(policy, monkeypatch):
    monkeypatch.setattr(adaptive_engine, "known_latency", lambda *_: LATENCY)
    reading = AdaptiveEngine(DrawnEngine(), policy)(sample(64, 96, [box(10, 20, 70, 16)], ["cat dog"]).image)
    assert [word.text for word in reading.words] == ["cat", "dog"]
    np.testing.assert_allclose(reading.words[0].polygon, box(10, 20, 30, 16), atol=1.5)


def test_a_policy_of_another_engine_or_setting_is_refused(policy, tmp_path):
    other = DrawnEngine()
    other.min_score = 0.7
    with pytest.raises(
        ConfigError, match=r"learnt from drawn 1\.2 \(min_score=0\.0\), and the engine is drawn 1\.2 \(min_score=0\.7\)"
    ):
        AdaptiveEngine(other, policy)
    policy.save(tmp_path / "policy.json")
    with pytest.raises(ConfigError, match=r"policy=.*policy\.json was learnt from"):
        AdaptiveEngine(other, tmp_path / "policy.json")


@pytest.mark.parametrize("request_", [{"budget": 0.3}, {"budget_gflops": 5}, {"max_cost": 0.5}])
def test_what_nobody_knows_of_an_engine_cannot_be_asked_for(engine, policy, request_):
    with pytest.raises(ConfigError, match="cannot be asked of an engine"):
        AdaptiveEngine(engine, policy).read(striped(3, 0), **request_)


def test_a_second_pass_is_taken_where_it_pays(monkeypatch):
    """The first pass at the middle size and a second one reads everything that the largest size does, for less."""
    table = outcomes()
    matched, again = np.hstack([table.matched, table.matched[:, 2:]]), np.zeros((24, 4))
    again[:, 3] = 0.05
    more = {name: np.hstack([getattr(table, name)] * 2)[:, :4] for name in ("predicted", "true", "words", "seconds")}
    more["predicted"] = matched
    engine = DrawnEngine()
    sizes, thresholds = np.array([320, 640, 1280, 640]), np.array([np.inf, np.inf, np.inf, 0.5])
    taught = EngineOutcomes(
        engine.fingerprint(), table.names, table.sides, table.features, sizes, thresholds, matched, again=again, **more
    )
    policy = fit_policy(taught, 1280)
    cost = EngineLatency(0.0, 0.1, 0.0).seconds
    point = policy.decide(striped(3, 99), cost, 0.1)
    assert (point.scale, point.second_pass) == (1.0, 0.5)


def test_each_piece_of_a_long_image_is_decided_for(engine, policy, monkeypatch):
    long, adaptive, seen = np.concatenate([striped(3, k) for k in range(8)], axis=1), AdaptiveEngine(engine, policy), []
    monkeypatch.setattr(policy, "decide", lambda image, *_: seen.append(image.shape[:2]) or OperatingPoint(0.5))
    reading = adaptive(long, gamma=0.1)
    assert reading.pieces == len(seen) > 2
    assert [image.shape[:2] for image in engine.seen] == [(height // 2, width // 2) for height, width in seen]
    assert AdaptiveEngine(engine, policy, PieceRule(tiles="false"))(long, gamma=0.1).pieces == 1
