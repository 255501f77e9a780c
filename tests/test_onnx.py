"""What an exported spotter needs beside its graphs; whole exports are in ``tests/integration/test_onnx.py``."""

import numpy as np
import pytest
import torch

from dld_spotter.cost import FlopCost
from dld_spotter.errors import CheckpointError, ConfigError
from dld_spotter.graphs import export_selector, export_spotter
from dld_spotter.models.selector import FixedScale, GumbelSelector, QualitySelector
from dld_spotter.onnx import FORMAT, META, SELECTOR, OnnxSpotter, read_meta
from dld_spotter.parity import Agreement, compare_words
from dld_spotter.reading import DynamicSpotter
from dld_spotter.word import Word
from tests.small import SCALES, THUMBNAIL, make_spotter

FACTORS = (0.3, 1.0, 3.0)
SELECTORS = {"heads": GumbelSelector, "losses": QualitySelector}


@pytest.mark.parametrize("rule", SELECTORS)
def test_selector_chooses_as_in_torch(rule, tmp_path):
    """By the graph and the rule alone; both of a reader's other graphs are left out."""
    torch.manual_seed(0)
    selector = SELECTORS[rule](SCALES, 0.1, FACTORS, channels=[4, 4, 4, 4], hidden=8).eval()
    if rule == "losses":
        selector.table.uniform_()  # before it has seen a word, all scales promise the same
    gammas = (*selector.gammas, None) if rule == "heads" else (*selector.gammas, None, 0.0, 2.0, 50.0)
    reader = DynamicSpotter(make_spotter().eval(), selector, THUMBNAIL, device="cpu")
    exported = object.__new__(OnnxSpotter)
    exported.meta = {
        "selector": export_selector(selector, THUMBNAIL, tmp_path),
        "thumbnail": THUMBNAIL,
        "stride": 32,
        "gflops": {"per_pixel": FlopCost(reader.spotter).cost(64, 64) / 64**2, "per_word": 0.0},
    }
    exported._selector = _session(tmp_path / SELECTOR)
    rng = np.random.default_rng(0)
    chosen = set()
    for side in (40, 90, 200, 420):
        image = rng.integers(0, int(rng.integers(20, 256)), (side, 2 * side, 3), dtype=np.uint8)
        for gamma in gammas:
            scale = reader.choose(image, gamma)
            assert exported.choose(image, gamma) == scale
            chosen.add(scale)
    assert len(chosen) > 1
    with pytest.raises(ConfigError, match="gamma=-1"):
        exported.check_gamma(-1)


def _session(path):
    import onnxruntime

    return onnxruntime.InferenceSession(path)


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        (None, r"meta\.json does not exist"),
        ("{", "cannot be read"),
        *((meta, f"format {FORMAT}") for meta in ('{"format": 99}', "[]")),
    ],
)
def test_bad_meta_is_told(tmp_path, meta, words):
    if meta is not None:
        (tmp_path / META).write_text(meta)
    with pytest.raises(CheckpointError, match=words):
        read_meta(tmp_path)


def test_selectors_that_learn_nothing_have_no_graph(tmp_path):
    with pytest.raises(ConfigError, match="FixedScale"):
        export_selector(FixedScale(SCALES, 0.1, FACTORS, 0.5), THUMBNAIL, tmp_path)


def test_other_families_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="Linear"):
        export_spotter(torch.nn.Linear(1, 1), tmp_path)


def test_words_are_counted_where_sides_differ():
    word = Word(np.array([[0, 0], [9, 0], [9, 4], [0, 4]], np.float32), "cat", 0.9)
    far = Word(word.polygon + 50, "dog", 0.5)
    assert compare_words([], []) == (0, 0, 0, 0)
    assert compare_words([word, far], [far, word]) == (2, 2, 2, 2)
    assert compare_words([word], []) == compare_words([], [word]) == (1, 0, 0, 0)
    assert compare_words([word], [Word(word.polygon + 0.6, "cut", 0.9005)]) == (1, 0, 0, 1)
    assert Agreement().shares() == {"polygons": 1, "texts": 1, "scores": 1}
