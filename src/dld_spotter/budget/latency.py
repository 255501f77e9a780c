"""How many seconds a GFLOP takes here: a short measurement over a few sizes, kept for the next run. Needs no torch."""

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

import numpy as np

from dld_spotter.core.arrays import Floats
from dld_spotter.core.errors import CheckpointError
from dld_spotter.core.records import Record

SIZES = ((192, 256), (384, 512), (576, 768), (768, 1024), (960, 1280))
"""Heights and widths that are measured."""
REPEATS = 3


@dataclass(frozen=True)
class Line(Record):
    """``seconds = fixed + slope * GFLOP``.

    Args:
        fixed: seconds that every image takes, whatever its size.
        slope: seconds per GFLOP.
    """

    fixed: float
    slope: float

    @classmethod
    def through(cls, gflops: Sequence[float], seconds: Sequence[float]) -> Self:
        """Fit measured seconds with the least relative error; neither number is below 0."""
        taken = np.array(seconds, float)
        fixed, slope = least_squares(np.stack([1 / taken, np.array(gflops, float) / taken], axis=1), np.ones(len(taken)))
        # Where reading does not take longer for more GFLOP, the least slope that still orders sizes.
        return cls(float(fixed), max(float(slope), 1e-9))

    def seconds(self, gflops: float) -> float:
        """Seconds of so many GFLOP."""
        return self.fixed + self.slope * gflops

    def gflops(self, seconds: float) -> float:
        """GFLOP that fit into so many seconds; below 0 where not even the fixed part does."""
        return (seconds - self.fixed) / self.slope


def least_squares(rows: Floats, targets: Floats) -> Floats:
    """The two numbers ``(2,)`` of least squared error ``|rows @ x - targets|``, neither below 0.

    The joint solution where it has no negative part; else one of them is 0, and the better of both single solutions is taken.

    Args:
        rows: ``(N, 2)``, no column all zero.
        targets: ``(N,)``.
    """
    joint = np.asarray(np.linalg.lstsq(rows, targets, rcond=None)[0], float)
    if (joint >= 0).all():
        return joint
    alone = np.diag(np.maximum(rows.T @ targets / (rows**2).sum(0), 0.0))  # (2, 2), one solution a row
    errors = ((rows @ alone.T - targets[:, None]) ** 2).sum(0)
    better: Floats = alone[errors.argmin()]
    return better


def measure_line(read: Callable[[int, int], object], gflops: Callable[[int, int], float]) -> Line:
    """Time a reader on images of a few sizes; every size once more beforehand, since its first run prepares kernels.

    Args:
        read: reads an image of this height and width.
        gflops: what that counts.
    """
    seconds = []
    for size in SIZES:
        read(*size)
        seconds.append(min(_timed(read, size) for _ in range(REPEATS)))
    return Line.through([gflops(*size) for size in SIZES], seconds)


def _timed(read: Callable[[int, int], object], size: tuple[int, int]) -> float:
    start = time.perf_counter()
    read(*size)
    return time.perf_counter() - start


R = TypeVar("R", bound=Record)


def known_line(weights: str, device: str, threads: int, measure: Callable[[], Line]) -> Line:
    """The line of a reader on this machine, measured where no earlier run has.

    Args:
        weights: fingerprint of what reads.
        device: where it reads.
        threads: with how many threads.
        measure: measures it.
    """
    return remembered("latency.json", Line, f"{weights} on {platform.node()} {device} with {threads} threads", measure)


def remembered(file: str, kind: type[R], key: str, measure: Callable[[], R], most: int | None = None) -> R:
    """What was measured for a key on this machine, from a file of the cache, or measured now and kept there.

    Args:
        file: its name in :func:`cache_folder`; it holds records of one kind.
        kind: of the record.
        key: says of what.
        measure: measures it.
        most: records that the file holds at most, the latest; None for all.
    """
    path = cache_folder() / file
    known = _read_cache(path, kind)
    if key not in known:
        known[key] = measure()
        kept = dict(list(known.items())[-most:]) if most else known
        with suppress(OSError):  # a home that cannot be written to: measured again next time
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}")
            partial.write_text(json.dumps({name: record.to_dict() for name, record in kept.items()}, indent=1) + "\n", "utf-8")
            partial.replace(path)
    return known[key]


def cache_folder() -> Path:
    """Where this user's caches of the package lie; ``XDG_CACHE_HOME`` decides, else ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dld_spotter"


def _read_cache(path: Path, kind: type[R]) -> dict[str, R]:
    """What earlier runs have measured; a file that is missing or damaged holds nothing."""
    try:
        content = json.loads(path.read_text("utf-8"))
        return {key: kind.from_dict(record, str(path)) for key, record in content.items()}
    except (OSError, ValueError, AttributeError, RecursionError, CheckpointError):
        return {}
