"""What passes and words take, from readings whose seconds are known."""

import json

import numpy as np
import pytest
from scipy.optimize import nnls

from dld_spotter.budget import pass_latency
from dld_spotter.budget.latency import cache_folder
from dld_spotter.budget.pass_latency import PassLatency, Work, known_passes, measure_passes
from dld_spotter.core.errors import CheckpointError

TRUE = PassLatency(fixed=0.012, again=0.02, per_gflop=0.006, per_word=0.003)
WORD = 0.2
"""GFLOP."""


class Reader:
    """Takes as long as ``TRUE`` says on a clock of its own; the first reading of a kind takes much longer.

    Args:
        words: that it reads of an image with text.
        passes: of which the second one sees a fifth of the image.
    """

    def __init__(self, words: int = 10, passes: int = 2) -> None:
        self.now, self.words, self.passes = 0.0, words, passes
        self.seen: set[tuple[object, ...]] = set()

    def __call__(self, image: np.ndarray, scale: float, twice: bool) -> Work:
        gflops = 22e-6 * image.shape[0] * image.shape[1] * scale**2
        again = twice and self.passes == 2
        work = Work(2 if again else 1, gflops + (1.5 if again else 0), (self.words + 3 * again) if image.any() else 0)
        kind = (image.shape, scale, twice, bool(image.any()))
        self.now += TRUE.seconds(work) * (1 if kind in self.seen else 9)
        self.seen.add(kind)
        return work

    def clock(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_seconds_by_hand():
    assert TRUE.seconds(Work(1, 2.0, 4)) == pytest.approx(0.012 + 0.012 + 0.012)
    assert TRUE.seconds(Work(1.5, 2.0, 4)) == pytest.approx(0.036 + 0.01)


def test_each_part_is_found_and_the_first_reading_of_a_size_does_not_count():
    reader = Reader()
    found = measure_passes(reader, WORD, reader.clock)
    for name, value in TRUE.to_dict().items():
        assert getattr(found, name) == pytest.approx(value), name


def test_what_is_not_read_is_taken_to_cost_its_gflops_and_what_is_not_read_twice_a_pass():
    reader = Reader(words=0, passes=1)
    found = measure_passes(reader, WORD, reader.clock)
    assert found.per_word == pytest.approx(WORD * TRUE.per_gflop)
    assert found.again == found.fixed == pytest.approx(TRUE.fixed)


def test_a_reader_that_takes_no_time_for_pixels_still_orders_them():
    found = measure_passes(lambda image, scale, twice: Work(1, image.size * scale, 0), WORD, iter(range(1000)).__next__)
    assert (found.fixed, found.per_gflop) == (pytest.approx(1.0), pass_latency.LEAST)


def test_no_part_is_below_zero():
    """As scipy has them."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        rows = rng.normal(size=(9, 4)) + rng.uniform(-1, 1, 4)
        np.testing.assert_allclose(pass_latency._without_negatives(rows), nnls(rows, np.ones(9))[0], rtol=0, atol=1e-9)


def test_it_is_measured_once_for_weights_device_and_threads():
    calls = []

    def measure() -> PassLatency:
        calls.append(1)
        return TRUE

    for key in [("w", "cpu", 1), ("w", "cpu", 1), ("w", "cpu", 2), ("v", "cpu", 1), ("w", "cpu", 1)]:
        assert known_passes(*key, measure) == TRUE
    assert len(calls) == 3
    assert len(json.loads((cache_folder() / "pass_latency.json").read_text())) == 3


@pytest.mark.parametrize(
    "wrong", [{"fixed": -1.0}, {"per_gflop": 0.0}, {"per_word": "inf"}, {"again": None}, {"again": float("nan")}]
)
def test_damage_is_told_and_a_damaged_cache_measured_anew(wrong):
    values = TRUE.to_dict() | wrong
    with pytest.raises(CheckpointError, match=r"here holds a damaged or older PassLatency .*; measure it again"):
        PassLatency.from_dict(values, "here")
    known_passes("w", "cpu", 1, lambda: TRUE)
    path = cache_folder() / "pass_latency.json"
    path.write_text(json.dumps(dict.fromkeys(json.loads(path.read_text()), values)))
    assert known_passes("w", "cpu", 1, lambda: PassLatency(1.0, 1.0, 1.0, 1.0)) == PassLatency(1.0, 1.0, 1.0, 1.0)


def test_the_scene_is_the_same_every_time():
    assert (pass_latency.scene() == pass_latency.scene()).all()
    assert pass_latency.scene(36, 64).shape == (36, 64, 3)
