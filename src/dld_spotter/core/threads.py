"""Independent pieces of a computation, each in a thread of its own."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

Job = TypeVar("Job")
Result = TypeVar("Result")


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

    return list(_pool(os.getpid(), threads).map(compute, jobs))


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of a process that compute alone each; one that is forked off has none of its parent's."""
    del process
    pool = ThreadPoolExecutor(threads, "dld_spotter", lambda: torch.set_num_threads(1))
    list(pool.map(lambda _: None, range(threads)))
    torch.set_num_threads(threads)  # torch takes the number that was set last for threads that are yet to come
    return pool
