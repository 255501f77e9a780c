"""How long an OCR engine takes here: for starting, for pixels, and for the words that it reads. Needs no torch."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from dld_spotter.budget.latency import Line, remembered
from dld_spotter.core.errors import DataError
from dld_spotter.core.records import Record

BLANKS = ((288, 512), (512, 896), (736, 1280))
"""Heights and widths of the images without text that are read."""
PAGE = (1024, 768)
"""Height and width of the page of words."""
WORDS = ("market", "street", "coffee", "total", "station", "number", "bridge", "open")
ROW, COLUMN = 40, 180
"""Pixels from one row of words to the next, and from one word of a row to the next."""
REPEATS = 2


@dataclass(frozen=True)
class EngineLatency(Record):
    """``seconds = fixed + per_pixel * millions of pixels + per_word * words``.

    Args:
        fixed: seconds of every reading, such as those in which a command starts.
        per_pixel: seconds per million of pixels.
        per_word: seconds per word.
    """

    remedy: ClassVar[str] = "measure it again"

    fixed: float
    per_pixel: float
    per_word: float

    def __post_init__(self) -> None:
        if not (self.fixed >= 0 and self.per_pixel > 0 and self.per_word >= 0):
            raise DataError(f"a latency needs numbers of at least 0, and pixels that take time; found {self}")

    def seconds(self, height: int, width: int, words: float) -> float:
        """Seconds that reading a view of this size with so many words takes."""
        return self.fixed + self.per_pixel * height * width / 1e6 + self.per_word * words


def page() -> np.ndarray:
    """A white page ``(H, W, 3)`` with 96 black words, for measuring what reading words takes."""
    height, width = PAGE
    image = np.full((height, width, 3), 255, np.uint8)
    rows, columns = (height - ROW) // ROW, width // COLUMN
    for k in range(rows * columns):
        place = (10 + COLUMN * (k % columns), ROW * (k // columns + 1))
        cv2.putText(image, WORDS[k % len(WORDS)], place, cv2.FONT_HERSHEY_SIMPLEX, 0.9, (0, 0, 0), 2, cv2.LINE_AA)
    return image


def measure_engine(read: Callable[[np.ndarray], int]) -> EngineLatency:
    """Time an engine on images without text and on a page of words, each size once more beforehand.

    Args:
        read: reads an image ``(H, W, 3)`` and returns how many words it has read. Where it reads none of the page, words are
            taken to cost nothing.
    """
    blanks = [np.full((*size, 3), 127, np.uint8) for size in BLANKS]
    line = Line.through([image[..., 0].size / 1e6 for image in blanks], [_timed(read, image)[0] for image in blanks])
    written = page()
    seconds, words = _timed(read, written)
    rest = seconds - line.seconds(written[..., 0].size / 1e6)
    return EngineLatency(line.fixed, line.slope, max(rest, 0.0) / words if words else 0.0)


def known_latency(engine: str, device: str, threads: int, read: Callable[[np.ndarray], int]) -> EngineLatency:
    """The latency of an engine on this machine, measured where no earlier run has.

    Args:
        engine: name, version and settings.
        device: where it reads.
        threads: with how many threads.
        read: as of :func:`measure_engine`.
    """
    key = f"{engine} on {platform.node()} {device} with {threads} threads"
    return remembered("engine_latency.json", EngineLatency, key, lambda: measure_engine(read))


def _timed(read: Callable[[np.ndarray], int], image: np.ndarray) -> tuple[float, int]:
    """The least seconds of a few readings, and the words of the last."""
    words, least = read(image), float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        words = read(image)
        least = min(least, time.perf_counter() - start)
    return least, words
