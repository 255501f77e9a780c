"""How long reading takes here: for each pass, for what it detects, and for the words that it reads. Needs no torch."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import ClassVar, NamedTuple

import numpy as np

from dld_spotter.budget.engine_latency import page
from dld_spotter.budget.latency import Line, remembered
from dld_spotter.core.errors import DataError
from dld_spotter.core.records import Record

BLANKS = ((192, 256, 1.0), (384, 512, 1.0), (720, 1280, 0.2), (720, 1280, 0.4), (720, 1280, 1.0))
"""Height and width of the images without text that are read, and at which scale."""
PAGE = (384, 576)
"""Height and width of the page of 24 words."""
FIRST = 0.5
"""Scale of the first of two passes over that page."""
REPEATS = 3


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


def measure_passes(read: Read, word: float, clock: Callable[[], float] = time.perf_counter) -> PassLatency:
    """Time a reader on images without text and on a page of words, each once more beforehand.

    Args:
        read: reads, and says what that took.
        word: GFLOP of reading a word. Where no word of the page is read, words are taken to cost what these GFLOP do; where it
            is not read twice, a second pass to cost what a first one does.
        clock: tells seconds.
    """
    blanks = [_timed(read, np.zeros((height, width, 3), np.uint8), scale, False, clock) for height, width, scale in BLANKS]
    line = Line.through([work.gflops + word * work.words for _, work in blanks], [seconds for seconds, _ in blanks])
    seconds, work = _timed(read, page(*PAGE), 1.0, False, clock)
    rest = seconds - line.seconds(work.gflops)
    known = PassLatency(line.fixed, 0.0, line.slope, max(rest, 0.0) / work.words if work.words else word * line.slope)
    seconds, work = _timed(read, page(*PAGE), FIRST, True, clock)
    rest = seconds - known.seconds(work)
    again = max(rest, 0.0) / (work.passes - 1) if work.passes > 1 else line.fixed
    return PassLatency(known.fixed, again, known.per_gflop, known.per_word)


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
