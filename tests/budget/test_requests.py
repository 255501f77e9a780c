"""Budgets as users name them, on requests, predictors and accounts."""

from copy import copy

import numpy as np
import pytest

from dld_spotter.budget import latency
from dld_spotter.budget.calibration import Calibration
from dld_spotter.budget.cost import FlopCost
from dld_spotter.budget.latency import Line
from dld_spotter.budget.requests import BudgetTracker, Request
from dld_spotter.core.errors import ConfigError
from dld_spotter.inference.predictor import Predictor
from dld_spotter.inference.torch_backend import TorchBackend
from dld_spotter.models.detector import TextMapDecoder
from tests.data.samples import box, sample
from tests.expecting import Expecting
from tests.small import SCALES, make_batch, make_spotter

CALIBRATION = Calibration((0.1, 0.2, 0.4), (0.9, 0.5, 0.2))


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(latency, "SIZES", ((64, 96), (96, 128), (160, 192)))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"gamma": 0.1, "budget": 0.3}, r"gamma=0\.1 and budget=0\.3 exclude each other; leave one of them out"),
        ({"scale": 0.5, "budget_ms": 30}, r"scale=0\.5 and budget_ms=30 exclude"),
        ({"budget": 0.3, "budget_gflops": 3, "budget_ms": 9}, "budget=0.3 and budget_gflops=3 and budget_ms=9 exclude"),
        ({"budget": 0}, "budget=0 must be above 0; give such as budget=0.3"),
        ({"budget_ms": float("nan")}, "budget_ms=nan must be above 0"),
        ({"budget_gflops": "much"}, "budget_gflops=much must be a number"),
    ],
)
def test_requests_that_cannot_be(given, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Request(**given)


def test_what_a_request_asks_for():
    assert Request().given == {}
    assert Request(gamma=0.0).given == {"gamma": 0.0}
    assert Request(gamma=0.1).budgeted is None
    assert Request(budget_ms=20).budgeted == ("budget_ms", 20)


def test_every_unit_asks_for_the_same_where_it_means_the_same():
    # Images of 10 GFLOP; 20 ms and 2 ms a GFLOP.
    line = Line(0.02, 0.002)
    same = [
        BudgetTracker("budget", 0.5, CALIBRATION),
        BudgetTracker("budget_gflops", 5.0, CALIBRATION),
        BudgetTracker("budget_ms", 30.0, CALIBRATION, line),
    ]
    for gflops in (5.0, 9.0, 2.0, 4.0):
        assert len({round(tracker.gamma(10.0), 9) for tracker in same}) == 1
        for tracker in same:
            tracker.record(gflops / 10, gflops, line.seconds(gflops))
    assert [tracker.mean for tracker in same] == pytest.approx([0.5, 5.0, 30.0])
    assert [str(tracker).partition(": ")[2] for tracker in same] == [
        "0.5 of full resolution spent per image",
        "5 GFLOP spent per image",
        "30 ms spent per image",
    ]


def test_budgets_that_cannot_be_met():
    with pytest.raises(ConfigError, match=r"budget=0\.1 cannot be met.*from 0\.2 to 0\.9"):
        BudgetTracker("budget", 0.1, CALIBRATION)
    with pytest.raises(ConfigError, match=r"budget_ms=15 cannot be met: here any image takes 20 ms"):
        BudgetTracker("budget_ms", 15, CALIBRATION, Line(0.02, 0.002))


@pytest.fixture(scope="module")
def photos():
    words = np.random.default_rng(0).integers(0, 6, 60)
    return [
        sample(64 + 32 * (i % 3), 96, [box(4 + 14 * k, 10, 12, 8 + 4 * (i % 5)) for k in range(count)], name=f"{i}")
        for i, count in enumerate(words)
    ]


@pytest.fixture(scope="module")
def predictor(photos):
    selector = Expecting()
    spotter = make_spotter()
    spotter.postprocess = TextMapDecoder()  # finds nothing, which takes no time
    batch = make_batch(photos[:20])
    costs = FlopCost(spotter).relative(batch.views[1.0].sizes, SCALES)
    selector.calibration = Calibration.of(selector.losses(batch.thumbnails).double().numpy(), costs.double().numpy())
    return Predictor(TorchBackend(spotter), selector)


def test_a_predictor_holds_a_budget_over_what_it_reads(predictor, photos):
    budget = (predictor.calibration.low + predictor.calibration.high) / 2
    readings = [predictor.read(photo.image, budget=budget) for photo in photos]
    mean = np.mean([reading.relative_cost for reading in readings])
    assert mean == pytest.approx(budget, rel=0.05)
    tracker = predictor.tracker(Request(budget=budget))
    assert (tracker.images, tracker.mean) == (len(photos), pytest.approx(mean, abs=1e-5))


def test_a_predictor_holds_gflops_over_images_of_several_sizes(predictor, photos):
    full = np.mean([predictor.backend.cost(*photo.image.shape[:2], 0) for photo in photos])
    budget = full * (predictor.calibration.low + predictor.calibration.high) / 2
    readings = [predictor.read(photo.image, budget_gflops=budget) for photo in photos]
    assert np.mean([reading.gflops for reading in readings]) == pytest.approx(budget, rel=0.07)


def test_a_budget_in_milliseconds_is_read_with(predictor, photos, monkeypatch):
    monkeypatch.setattr(predictor, "line", lambda: Line(fixed=0.01, slope=0.02))
    reading = predictor.read(photos[0].image, budget_ms=10_000)
    assert reading.scale == max(predictor.read(photos[0].image, gamma=gamma).scale for gamma in (1e-6, 1.0))
    with pytest.raises(ConfigError, match="cannot be met"):
        predictor.read(photos[0].image, budget_ms=1e-6)


@pytest.mark.parametrize("given", [{"budget": 0.5, "gamma": 0.1}, {"budget": 1e-4}, {"budget": 30}])
def test_a_predictor_refuses(predictor, photos, given):
    with pytest.raises(ConfigError, match=r"exclude each other|cannot be met"):
        predictor.read(photos[0].image, **given)


def test_without_a_calibration_there_is_no_budget(predictor, photos):
    selector = copy(predictor.policy)
    selector.calibration = None
    bare = Predictor(predictor.backend, selector)
    with pytest.raises(ConfigError, match=r"budget=0\.5 needs a calibrated selector"):
        bare.read(photos[0].image, budget=0.5)
    alone = Predictor(predictor.backend)
    with pytest.raises(ConfigError, match=r"budget_ms=9 needs a selector"):
        alone.read(photos[0].image, budget_ms=9)
