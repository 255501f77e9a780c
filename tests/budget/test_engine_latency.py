"""What an engine takes is told apart by pixels and words."""

import numpy as np
import pytest

from dld_spotter.budget import engine_latency
from dld_spotter.budget.engine_latency import PAGE, EngineLatency, known_latency, measure_engine, page


@pytest.fixture
def clock(monkeypatch):
    """A clock that an engine moves on."""
    now = [0.0]
    monkeypatch.setattr(engine_latency.time, "perf_counter", lambda: now[0])
    return now


def reader(clock, words=40):
    def read(image):
        found = words if image.max() == 255 else 0
        clock[0] += 0.01 + 0.2 * image[..., 0].size / 1e6 + 0.005 * found
        return found

    return read


def test_pixels_words_and_what_every_reading_takes_are_told_apart(clock):
    found = measure_engine(reader(clock))
    assert (found.fixed, found.per_pixel, found.per_word) == pytest.approx((0.01, 0.2, 0.005))
    assert found.seconds(1000, 1000, 10) == pytest.approx(0.01 + 0.2 + 0.05)


def test_words_cost_nothing_where_none_is_read(clock):
    assert measure_engine(reader(clock, words=0)).per_word == 0


def test_an_engine_is_measured_once(clock, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = known_latency("drawn 1", "cpu", 2, reader(clock))
    assert known_latency("drawn 1", "cpu", 2, None) == first
    known_latency("drawn 2", "cpu", 2, reader(clock))
    assert known_latency("drawn 1", "cpu", 2, None) == first


def test_the_page_is_written_on():
    drawn = page()
    assert drawn.shape == (*PAGE, 3)
    assert 0.02 < (drawn < 128).mean() < 0.3
    assert isinstance(EngineLatency.from_dict(EngineLatency(0.0, 1.0, 0.0).to_dict(), "test"), EngineLatency)
    assert np.unique(drawn).max() == 255
