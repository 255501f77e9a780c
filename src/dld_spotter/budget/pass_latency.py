"""How long reading takes here: for each pass, for what it detects, and for the words that it reads. Needs no torch."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, combinations
from math import isfinite
from typing import ClassVar, NamedTuple

import cv2
import numpy as np

from dld_spotter.budget.engine_latency import WORDS
from dld_spotter.budget.latency import remembered
from dld_spotter.core.arrays import Floats
from dld_spotter.core.errors import DataError
from dld_spotter.core.records import Record

BLANKS = ((192, 256, 1.0), (720, 1280, 0.2), (720, 1280, 0.5), (720, 1280, 1.0))
"""Height and width of the images without text that are read, and at which scale."""
SCENE = (720, 1280)
"""Height and width of the image with words."""
ONCE, TWICE = (0.2, 0.4, 1.0), (0.2, 0.3)
"""Scales at which it is read in one pass, and those of the first of two."""
REPEATS = 4
LEAST = 1e-9
"""Seconds per GFLOP where reading does not take longer for more of them: the least that still orders sizes."""


class Work(NamedTuple):
    """What reading an image took, or what it takes on average.

    Args:
        passes: of the detector.
        gflops: of detecting alone, in all passes.
        words: that went through the recogniser.
    """

    passes: float
    gflops: float
    words: float


Read = Callable[[np.ndarray, float, bool], Work]
"""Reads an image ``(H, W, 3)`` at a scale; where it is asked to, in a second pass too, whatever that may bring."""


@dataclass(frozen=True)
class PassLatency(Record):
    """``seconds = fixed + per_gflop * GFLOP of detecting + per_word * words``, and ``again`` where there is a second pass.

    Args:
        fixed: seconds of any image that is read, its first pass included.
        again: seconds that a second pass takes beyond its pixels and words.
        per_gflop: seconds per GFLOP of detecting.
        per_word: seconds per word.
    """

    remedy: ClassVar[str] = "measure it again"

    fixed: float
    again: float
    per_gflop: float
    per_word: float

    def __post_init__(self) -> None:
        numbers = (self.fixed, self.again, self.per_gflop, self.per_word)
        if not (all(isfinite(number) and number >= 0 for number in numbers) and self.per_gflop > 0):
            raise DataError(f"a latency needs numbers of at least 0, and GFLOP that take time; found {self}")

    def seconds(self, work: Work) -> float:
        """Seconds of an image, or mean seconds of images."""
        return self.fixed + self.again * (work.passes - 1) + self.per_gflop * work.gflops + self.per_word * work.words


def scene(height: int = SCENE[0], width: int = SCENE[1]) -> np.ndarray:
    """An image ``(H, W, 3)`` somewhat like a photo: colours that run into each other, edges, and 16 words of several sizes."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(60, 200, (9, 16, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for x, y, w, h in (rng.random((40, 4)) * (width, height, width / 5, height / 5)).astype(int).tolist():
        cv2.rectangle(image, (x, y), (x + w, y + h), rng.integers(0, 255, 3).tolist(), int(rng.integers(1, 8)))
    for k in range(16):
        place = (int((0.03 + 0.24 * (k % 4)) * width), int((0.15 + 0.24 * (k // 4)) * height))
        size = 0.5 * 1.8 ** (k % 4) * height / 720
        cv2.putText(image, WORDS[k // 2], place, cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), max(1, round(2 * size)))
    return image


def measure_passes(read: Read, word: float, clock: Callable[[], float] = time.perf_counter) -> PassLatency:
    """Time a reader on images without text and on one with words, each once more beforehand.

    Args:
        read: reads, and says what that took.
        word: GFLOP of reading a word. Where no word is read, words are taken to cost what these GFLOP do; where nothing is read
            twice, a second pass to cost what a first one does.
        clock: tells seconds.
    """
    written = scene(*SCENE)
    tried = [(np.zeros((height, width, 3), np.uint8), scale, False) for height, width, scale in BLANKS]
    tried += [*((written, scale, False) for scale in ONCE), *((written, scale, True) for scale in TWICE)]
    seconds, work = zip(*(_timed(read, *way, clock) for way in tried), strict=True)
    passes, gflops, words = np.array(work, float).T
    columns = np.stack([np.ones(len(work)), passes - 1, gflops, words], axis=1)
    found = _without_negatives(columns / np.array(seconds)[:, None])
    fixed, again, per_gflop, per_word = found.tolist()
    per_gflop = max(per_gflop, LEAST)
    return PassLatency(
        fixed, again if passes.max() > 1 else fixed, per_gflop, per_word if words.max() > 0 else word * per_gflop
    )


def _without_negatives(rows: Floats) -> Floats:
    """Numbers ``(C,)`` of at least 0 for which ``rows`` ``(N, C)`` come nearest to 1: the best of all sets of columns."""
    best, least = np.zeros(rows.shape[1]), float(len(rows))
    columns = [k for k in range(rows.shape[1]) if rows[:, k].any()]
    for chosen in map(list, chain.from_iterable(combinations(columns, count) for count in range(1, len(columns) + 1))):
        found = np.linalg.lstsq(rows[:, chosen], np.ones(len(rows)), rcond=None)[0]
        error = float(((rows[:, chosen] @ found - 1) ** 2).sum())
        if (found >= 0).all() and error < least:
            best, least = np.zeros(rows.shape[1]), error
            best[chosen] = found
    return best


def known_passes(weights: str, device: str, threads: int, measure: Callable[[], PassLatency]) -> PassLatency:
    """The latency of a reader on this machine, measured where no earlier run has; arguments as of :func:`known_line`."""
    key = f"{weights} on {platform.node()} {device} with {threads} threads"
    return remembered("pass_latency.json", PassLatency, key, measure)


def _timed(read: Read, image: np.ndarray, scale: float, twice: bool, clock: Callable[[], float]) -> tuple[float, Work]:
    """The least seconds of a few readings, and what one took."""
    work, least = read(image, scale, twice), float("inf")
    for _ in range(REPEATS):
        start = clock()
        read(image, scale, twice)
        least = min(least, clock() - start)
    return least, work
