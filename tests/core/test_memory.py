"""Memory that was freed goes back to the system."""

import os
import platform
import subprocess
import sys
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from dld_spotter.core import memory
from dld_spotter.core.memory import give_back, keep_pages
from dld_spotter.inference import predictor as predicting
from dld_spotter.inference.loading import load
from tests.trained import make_checkpoint

HOLES = """
import numpy as np
from pathlib import Path
from dld_spotter.core.memory import give_back

def resident():
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024

blocks = [np.ones(10_000, np.uint8) for _ in range(20_000)]  # 200 MB, each too small to be mapped on its own
blocks = blocks[::100]  # what is left in between keeps the heap from shrinking
before = resident()
give_back()
print(before - resident())
"""


needs_glibc = pytest.mark.skipif(not memory._library(), reason="not the GNU C library")


@needs_glibc
def test_holes_go_back_to_the_system():
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 80, "megabytes"


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    memory._library.cache_clear()
    try:
        assert memory._library() is None
        give_back()
        keep_pages()
    finally:
        memory._library.cache_clear()


FRESH = """
import resource
import numpy as np
from dld_spotter.core.memory import give_back, keep_pages

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(12_000_000, np.float32)  # 48 MB, which are mapped on their own by default
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

fresh = faults()
keep_pages()
np.ones(12_000_000, np.float32)
print(faults() / fresh)
"""


@needs_glibc
@pytest.mark.skipif(platform.libc_ver()[1] < "2.35", reason="this version of the GNU C library keeps no such large blocks")
def test_pages_of_large_blocks_are_used_again():
    environment = {name: value for name, value in os.environ.items() if name not in memory.CHOSEN_BY_USER}
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True, env=environment)
    assert float(done.stdout) < 0.5


def test_a_predictor_gives_back_now_and_then(tmp_path, monkeypatch):
    calls, sides = [], []
    monkeypatch.setattr(predicting, "give_back", lambda: calls.append(len(sides)))
    monkeypatch.setattr(predicting, "PIXELS", 300)
    predictor = load(make_checkpoint(tmp_path / "student.ckpt"), device="cpu")
    for side in (20, 10, 10, 40, 10, 10, 20):  # read at half of it: 100, 25, 25, 400, ... pixels
        sides.append(side)
        predictor.read(np.zeros((side, side, 3), np.uint8), scale=0.5)
    assert calls == [4]
    for _ in range(20):  # of one size: the first alone differs from what was before
        sides.append(30)
        predictor.read(np.zeros((30, 30, 3), np.uint8), scale=0.5)
    assert calls == [4, 8]
    monkeypatch.setattr(predicting, "PIXELS_OF_ONE_SIZE", 1000)
    predictor.read(np.zeros((30, 30, 3), np.uint8), scale=0.5)
    assert len(calls) == 3


@needs_glibc
def test_what_the_user_has_chosen_stays(monkeypatch):
    class Library:
        asked: ClassVar[list[tuple[int, int]]] = []

        def mallopt(self, name, value):
            self.asked.append((name, value))
            return value <= 2**25 or name != memory.MMAP_THRESHOLD

    monkeypatch.setattr(memory, "_library", Library)
    for name in memory.CHOSEN_BY_USER:
        monkeypatch.delenv(name, raising=False)
    keep_pages()
    assert Library.asked == [(memory.MMAP_THRESHOLD, 2**30), (memory.MMAP_THRESHOLD, 2**25), (memory.TRIM_THRESHOLD, 2**31 - 1)]
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=1000")
    keep_pages()
    assert len(Library.asked) == 3


def test_views_of_a_second_pass_count_as_other_sizes(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(predicting, "give_back", lambda: calls.append(1))
    monkeypatch.setattr(predicting, "PIXELS", 1000)
    predictor = load(make_checkpoint(tmp_path / "student.ckpt"), device="cpu")
    photo = SimpleNamespace(size=(20, 20), scale=1.0)
    for sizes, times in ([(20, 20)], 0), ([(20, 20)], 0), ([(20, 20), (30, 30)], 1):
        predictor._tidy([photo], [SimpleNamespace(sizes=sizes)])
        assert len(calls) == times
