"""Independent pieces of a computation, each in a thread of its own."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier
from typing import TypeVar

import torch

Job = TypeVar("Job")
Result = TypeVar("Result")
SECONDS = 10.0
"""How long threads may take to begin; without them jobs are computed one after the other."""


def inference_threads(device: torch.device) -> int:
    """How many threads :func:`side_by_side` may take on a device: torch's own number, 1 but for inference on CPU."""
    return torch.get_num_threads() if device.type == "cpu" and torch.is_inference_mode_enabled() else 1


def side_by_side(function: Callable[[Job], Result], jobs: Sequence[Job], threads: int) -> list[Result]:
    """``function`` of every job, each computed by one of ``threads`` from its beginning to its end.

    Small tensors are not worth several threads, which wait for one another at the end of every operation. Jobs begin in their
    order, so the longest should come first.
    """
    if threads < 2 or len(jobs) < 2:
        return [function(job) for job in jobs]
    half, kind = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def compute(job: Job) -> Result:
        with torch.inference_mode(), torch.autocast("cpu", kind, enabled=half):  # both are of a thread, not of the process
            return function(job)

    try:
        results = _pool(os.getpid(), threads).map(compute, jobs)
    except RuntimeError:  # none can be begun, as while the interpreter ends: a thread of the user's own may read until then
        return [function(job) for job in jobs]
    return list(results)


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of a process that compute alone each; one that is forked off has none of its parent's."""
    del process
    pool = ThreadPoolExecutor(threads, "dld_spotter", _compute_alone)
    begun = Barrier(threads, timeout=SECONDS)  # all begin now: by itself a pool begins a further one when none is idle
    try:
        list(pool.map(lambda _: begun.wait(), range(threads)))
    finally:
        torch.set_num_threads(threads)  # torch takes the number that was set last for threads that are yet to come
    return pool


def _compute_alone() -> None:
    torch.get_num_threads()  # asked first, torch sets the number of a new thread; it would do so later, and undo the next line
    torch.set_num_threads(1)
