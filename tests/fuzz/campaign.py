"""Shares inputs out to processes, starts again those that end, and counts what happened."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any

from tests.fuzz.worker import CHUNK

ROOT = Path(__file__).parents[2]
STUCK = 180
"""Seconds of the clock after which a process that says nothing hangs; those of the processor are limited by the system."""


@dataclass
class Tally:
    """What became of the inputs of a target."""

    inputs: int = 0
    seconds: float = 0.0
    memory: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    examples: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, fault: Mapping[str, Any]) -> None:
        """Count a fault, of whose kind the first is kept."""
        kind = f"{fault['fault']} {fault.get('place', '')}".strip()
        self.faults[kind] += 1
        self.examples.setdefault(kind, dict(fault))


def shares(weights: Mapping[str, float], total: int) -> dict[str, int]:
    """Divide inputs by weight; they sum to ``total``.

    >>> shares({"a": 1, "b": 2}, 10)
    {'a': 3, 'b': 7}
    """
    whole = sum(weights.values())
    counts = {name: int(total * weight / whole) for name, weight in weights.items()}
    last = list(counts)[-1]
    counts[last] += total - sum(counts.values())
    return counts


class Worker:
    """A process that tries inputs; it is started again where it ends.

    Args:
        folder: scratch space.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None

    def run(self, name: str, seed: int, first: int, count: int, tally: Tally) -> None:
        """Try a chunk of inputs, each once, also where the process ends meanwhile."""
        after = first
        while after < first + count:
            tried = self._once({"target": name, "seed": seed, "first": first, "count": count, "after": after}, tally)
            tally.inputs += tried
            after += tried
            if self.process is None and not tried:
                raise RuntimeError(f"the process for {name} ends before its first input; run python -m tests.fuzz.worker")

    def _once(self, job: dict[str, Any], tally: Tally) -> int:
        process = self.process = self.process or self._start()
        assert process.stdin
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        tried = 0
        for line in self._answers(process):
            if line.startswith("+"):
                tried += 1
                continue
            answer = json.loads(line)
            if "done" in answer:
                tally.memory = max(tally.memory, answer["memory"] * 1024)
                return tried
            tally.add(answer)
        ended, self.process = process.wait(), None
        fault = "hang" if ended in (-signal.SIGXCPU, -signal.SIGKILL) else f"ended with {ended}"
        tally.add({"fault": fault, "number": job["after"] + tried - 1})
        return tried

    def _start(self) -> "subprocess.Popen[str]":
        quiet = {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "PYTHONHASHSEED": "0"}
        return subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self.folder / "stderr.txt").open("w"),
            text=True,
            cwd=ROOT,
            env={**os.environ, **quiet},
        )

    def _answers(self, process: "subprocess.Popen[str]") -> Iterator[str]:
        """Lines until the process ends, or says nothing for too long, which ends it."""
        assert process.stdout
        rest, pipe, patience = b"", process.stdout.fileno(), 3 * STUCK  # it imports first
        while True:
            if not select.select([pipe], [], [], patience)[0]:
                process.kill()
                return
            content = os.read(pipe, 2**16)
            if not content:
                return
            patience = STUCK
            *lines, rest = (rest + content).split(b"\n")
            yield from (line.decode() for line in lines)

    def close(self) -> None:
        """End the process."""
        if self.process:
            self.process.kill()
            self.process.wait()


def campaign(counts: Mapping[str, int], seed: int, folder: Path, processes: int = 1) -> Iterator[tuple[str, Tally]]:
    """Try so many inputs of each target; gives the tallies in the order of the targets.

    Args:
        counts: target -> number of inputs.
        seed: of all of them.
        folder: scratch space.
        processes: so many at a time.
    """
    idle: Queue[Worker] = Queue()
    workers = [Worker(folder / str(number)) for number in range(processes)]
    for worker in workers:
        worker.folder.mkdir()
        idle.put(worker)

    def tallied(name: str) -> Tally:
        worker, tally, start = idle.get(), Tally(), time.monotonic()
        try:
            for first in range(0, counts[name], CHUNK):
                worker.run(name, seed, first, min(CHUNK, counts[name] - first), tally)
        finally:
            idle.put(worker)
        tally.seconds = time.monotonic() - start
        return tally

    try:
        with ThreadPoolExecutor(processes) as threads:
            yield from zip(counts, threads.map(tallied, counts), strict=True)
    finally:
        for worker in workers:
            worker.close()
