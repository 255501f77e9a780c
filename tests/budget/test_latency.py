import json
import time

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from dld_spotter.budget import latency
from dld_spotter.budget.cost import FlopCost, MeasuredLatency, identify
from dld_spotter.budget.latency import Line, cache_folder, known_line, measure_line
from dld_spotter.inference.torch_backend import TorchBackend
from dld_spotter.models.folding import folded
from tests.small import make_spotter


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(latency, "SIZES", ((64, 96), (96, 128), (160, 192)))


def test_a_line_by_hand():
    line = Line.through([1, 2, 4], [0.03, 0.05, 0.09])
    assert (line.fixed, line.slope) == (pytest.approx(0.01), pytest.approx(0.02))
    assert line.seconds(10) == pytest.approx(0.21)
    assert line.gflops(0.21) == pytest.approx(10)


def test_no_part_of_a_line_is_below_zero():
    assert Line.through([1, 2, 4], [0.01, 0.03, 0.07]).fixed == 0
    flat = Line.through([1, 2, 4], [0.05, 0.04, 0.03])
    assert flat.slope > 0
    assert flat.seconds(1) == pytest.approx(flat.seconds(4), rel=1e-5)


def test_measured_seconds_are_those_of_the_reader():
    def gflops(height, width):
        return height * width / 1e6

    line = measure_line(lambda *size: time.sleep(0.005 + 0.01 * gflops(*size)), gflops)
    assert line.fixed == pytest.approx(0.005, abs=0.003)
    assert line.slope == pytest.approx(0.01, rel=0.4)


def test_a_line_is_measured_once_for_weights_device_and_threads():
    calls = []

    def measure():
        calls.append(1)
        return Line(0.01, 0.02)

    for key in [("w", "cpu", 1), ("w", "cpu", 1), ("w", "cpu", 2), ("v", "cpu", 1), ("w", "gpu", 1), ("w", "cpu", 1)]:
        assert known_line(*key, measure) == Line(0.01, 0.02)
    assert len(calls) == 4
    assert len(json.loads((cache_folder() / "latency.json").read_text())) == 4


@pytest.mark.parametrize("content", ["", "[]", '{"w": 1}', '{"w": {"fixed": "x", "slope": 1}}'])
def test_a_damaged_cache_is_measured_anew(content):
    cache_folder().mkdir(parents=True)
    (cache_folder() / "latency.json").write_text(content)
    assert known_line("w", "cpu", 1, lambda: Line(1.0, 2.0)) == Line(1.0, 2.0)
    assert known_line("w", "cpu", 1, lambda: Line(3.0, 4.0)) == Line(1.0, 2.0)


def test_a_cache_that_cannot_be_written_is_no_obstacle(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert known_line("w", "cpu", 1, lambda: Line(1.0, 2.0)) == Line(1.0, 2.0)


def test_seconds_as_cost_model():
    """They are those of the spotter that reads, measured once for both."""
    spotter, flops = make_spotter(), FlopCost(make_spotter())
    line = known_line(*TorchBackend(spotter).identity(), lambda: Line(0.01, 2.0))
    seconds = MeasuredLatency(spotter)
    assert seconds.cost(96, 128, 3) == pytest.approx(line.seconds(flops.cost(96, 128, 3)))
    low, full = (line.seconds(flops.cost(*size)) for size in ((48, 64), (96, 128)))
    assert seconds.relative(torch.tensor([[96, 128]]), (0.5, 1.0))[0].tolist() == pytest.approx([low / full, 1])


def test_measuring_leaves_the_mode_of_the_spotter():
    spotter = make_spotter().train()
    assert MeasuredLatency(spotter).measure(folded(spotter)).seconds(0.1) > 0
    assert spotter.training


def test_identity_follows_the_weights():
    assert identify(make_spotter(0)) == identify(make_spotter(0))
    assert identify(make_spotter(0))[0] != identify(make_spotter(1))[0]


def test_least_squares_as_scipy_has_them():
    """Random rows, of which some want a negative part of either number, or of both."""
    rng = np.random.default_rng(0)
    signs = set()
    for _ in range(300):
        rows, targets = rng.normal(size=(6, 2)) + rng.uniform(-1, 1, 2), rng.normal(size=6)
        found = latency.least_squares(rows, targets)
        np.testing.assert_allclose(found, nnls(rows, targets)[0], rtol=0, atol=1e-10)
        signs.add(tuple((found > 0).tolist()))
    assert signs == {(True, True), (True, False), (False, True), (False, False)}


def test_least_squares_of_columns_that_say_the_same():
    rows = np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])
    found = latency.least_squares(rows, np.array([2.0, 4.0, 6.0]))
    assert (found >= 0).all()
    np.testing.assert_allclose(rows @ found, [2, 4, 6])
