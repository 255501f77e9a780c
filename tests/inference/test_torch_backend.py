import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dld_spotter.core.errors import ConfigError
from dld_spotter.inference import torch_backend
from dld_spotter.inference.torch_backend import TorchBackend
from tests.small import make_spotter, needs_half_precision

CPU = torch.device("cpu")
IMAGE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)


@pytest.mark.parametrize("has", [True, False])
def test_auto_is_half_precision_where_the_processor_has_instructions_for_it(monkeypatch, has):
    monkeypatch.setattr(torch_backend, "has_half_instructions", lambda: has)
    assert TorchBackend(make_spotter(), CPU, "auto").half is has
    assert not torch_backend.reads_in_half("auto", torch.device("cuda"))


def test_single_precision_stays_single(monkeypatch):
    monkeypatch.setattr(torch_backend, "has_half_instructions", lambda: True)
    assert not TorchBackend(make_spotter(), CPU, "fp32").half


def test_an_unknown_precision_is_refused():
    with pytest.raises(ConfigError, match="precision=fp8 is unknown; give one of auto, bf16, fp32"):
        TorchBackend(make_spotter(), CPU, "fp8")


def test_half_precision_is_refused_where_it_is_not_computed_in(monkeypatch):
    monkeypatch.setattr(torch_backend, "computes_in_half", lambda accelerator: False)
    with pytest.raises(ConfigError, match="precision=bf16 needs"):
        TorchBackend(make_spotter(), CPU, "bf16")


@needs_half_precision
def test_half_precision_finds_nearly_the_same_text_map_and_has_seconds_of_its_own():
    single, half = (TorchBackend(make_spotter(), CPU, precision) for precision in ("fp32", "bf16"))
    maps = [backend.detect([IMAGE], 1.0, keep_all=True)[0].probability for backend in (single, half)]
    assert 0 < np.abs(maps[0] - maps[1]).max() < 0.02
    assert maps[1].dtype == np.float32
    assert single.identity() != half.identity()


@needs_half_precision
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_words_are_read_in_either_precision(precision):
    backend = TorchBackend(make_spotter(), CPU, precision)
    place = np.array([[4, 4], [60, 4], [60, 30], [4, 30]], np.float32)
    words = backend.recognize([backend.detect([IMAGE], 1.0)[0].at([place])], [np.arange(1)])
    assert len(words) == 1


@needs_half_precision
@pytest.mark.parametrize(("precision", "encoded"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_half_precision_encodes_words_and_decodes_them_in_single(precision, encoded, monkeypatch):
    place = np.array([[4, 4], [60, 4], [60, 30], [4, 30]], np.float32)
    backend = TorchBackend(make_spotter(), CPU, precision)
    recognizer, gave, given = backend.spotter.recognizer, [], []
    encode, read = recognizer.encode, recognizer.read
    monkeypatch.setattr(recognizer, "encode", lambda crops: gave.append(encode(crops)) or gave[-1])
    monkeypatch.setattr(recognizer, "read", lambda context: given.append(context) or read(context))
    backend.recognize([backend.detect([IMAGE], 1.0)[0].at([place])], [np.arange(1)])
    assert (gave[0].dtype, given[0].dtype) == (encoded, torch.float32)


FORKED = """
import multiprocessing
import cv2
import numpy as np
import torch
from dld_spotter.inference.torch_backend import TorchBackend
from tests.small import make_spotter

torch.set_num_threads(2)
backend = TorchBackend(make_spotter(), torch.device("cpu"))
image = np.random.default_rng(1).integers(0, 256, (480, 640, 3), np.uint8)
cv2.setNumThreads(4)
cv2.GaussianBlur(np.zeros((4000, 4000), np.uint8), (31, 31), 5)  # wakes threads of OpenCV
expected = backend.detect([image], 1.0, keep_all=True)[0].probability
context = multiprocessing.get_context("fork")
answers = context.Queue()
child = context.Process(target=lambda: answers.put(backend.detect([image], 1.0, keep_all=True)[0].probability), daemon=True)
child.start()
np.testing.assert_allclose(answers.get(timeout=60), expected, atol=1e-5)
assert cv2.getNumThreads() == 4
"""


def test_a_process_that_was_forked_after_reading_reads_too():
    """The helpers that compute beside a thread stay behind in the parent, and were waited for for ever.

    In a process of its own, since tests before this one leave threads of other libraries.
    """
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", FORKED], cwd=root, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stderr[-2000:]
