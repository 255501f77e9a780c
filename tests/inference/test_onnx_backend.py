"""What an exported spotter needs beside its graphs; whole exports are in ``tests/integration/test_onnx.py``."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch

from dld_spotter.budget.cost import FlopCost
from dld_spotter.core.errors import CheckpointError, ConfigError
from dld_spotter.inference.graphs import export_selector, export_spotter
from dld_spotter.inference.onnx_backend import OnnxBackend, OnnxSelectorPolicy
from dld_spotter.models.folding import folded
from dld_spotter.models.spotter import Spotter
from dld_spotter.models.word_recognizer import WordRecognizer
from dld_spotter.selection.baselines import FixedScale
from dld_spotter.selection.gumbel import GumbelSelector
from tests.expecting import Expecting
from tests.small import SCALES, THUMBNAIL, make_spotter

FACTORS = (0.3, 1.0, 3.0)


@pytest.mark.parametrize("kind", [GumbelSelector, Expecting])
def test_selector_decides_as_in_torch(kind, tmp_path):
    """By its graph alone; the export's other graphs are left out."""
    torch.manual_seed(0)
    given = {"channels": [4, 4, 4, 4], "hidden": 8}
    selector = (Expecting(0.1, FACTORS) if kind is Expecting else kind(SCALES, 0.1, FACTORS, **given)).eval()
    selector.thumbnail = THUMBNAIL
    gammas = (*selector.gammas, None, *((0.0, 2.0, 50.0) if selector.continuous else ()))
    selector, cost = folded(selector), FlopCost(make_spotter()).cost
    meta = {
        "selector": export_selector(selector, tmp_path),
        "thumbnail": THUMBNAIL,
        "gflops": {"selector": selector.gflops},
    }
    backend = SimpleNamespace(meta=meta, folder=tmp_path, open=lambda name: onnxruntime.InferenceSession(tmp_path / name))
    exported = OnnxSelectorPolicy(backend)
    assert (exported.scales, exported.gammas, exported.gflops) == (selector.scales, selector.gammas, selector.gflops)
    assert (exported.continuous, exported.default_gamma) == (selector.continuous, selector.default_gamma)
    rng = np.random.default_rng(0)
    decided = set()
    for side in (40, 90, 200, 420):
        image = rng.integers(0, int(rng.integers(20, 256)), (side, 2 * side, 3), dtype=np.uint8)
        for gamma in gammas:
            point = selector.decide(image, cost, gamma)
            assert exported.decide(image, cost, gamma) == point
            assert exported.alternatives(point) == selector.alternatives(point)
            decided.add(point)
    assert len(decided) > 1
    for policy in (exported, selector):
        with pytest.raises(ConfigError, match="gamma=-1"):
            policy.check(-1)


def test_selectors_that_learn_nothing_have_no_graph(tmp_path):
    with pytest.raises(ConfigError, match="FixedScale"):
        export_selector(FixedScale(SCALES, 0.1, FACTORS, 0.5), tmp_path)


def test_families_without_graphs_are_refused(tmp_path):
    spotter = make_spotter()
    spotter.recognizer.graphs = partial(WordRecognizer.graphs, spotter.recognizer)
    with pytest.raises(ConfigError, match="no graphs of Recognizer"):
        export_spotter(spotter, tmp_path)
    spotter.graphs = partial(Spotter.graphs, spotter)
    with pytest.raises(ConfigError, match="no graphs of TextMapSpotter"):
        export_spotter(spotter, tmp_path)


@pytest.mark.parametrize("answers", [[], [np.zeros((1, 0, 0))] * 9, [None], "text"])
def test_graphs_that_are_none_of_an_export_are_told(tmp_path, answers):
    backend = OnnxBackend.__new__(OnnxBackend)
    backend.folder, backend.vocabulary = tmp_path, None
    backend.meta = {"stride": 32, "min_score": 0.5, "full_resolution_crops": False}
    backend._detector = SimpleNamespace(run=lambda *_: answers)
    with pytest.raises(CheckpointError, match="holds graphs that do not read as those of an export"):
        backend.detect([np.zeros((40, 60, 3), np.uint8)], 1.0)


def test_a_graph_that_takes_other_inputs_is_told(tmp_path):
    torch.manual_seed(0)
    selector = GumbelSelector(SCALES, 0.1, FACTORS, channels=[4, 4, 4, 4], hidden=8).eval()
    selector.thumbnail = THUMBNAIL
    export_selector(folded(selector), tmp_path)
    backend = OnnxBackend.__new__(OnnxBackend)
    backend.folder, backend.vocabulary = tmp_path, None
    backend.meta = {"stride": 32, "min_score": 0.5, "full_resolution_crops": False}
    backend._detector = onnxruntime.InferenceSession(tmp_path / "selector.onnx")
    with pytest.raises(CheckpointError, match="export again"):
        backend.detect([np.zeros((40, 60, 3), np.uint8)], 1.0)
