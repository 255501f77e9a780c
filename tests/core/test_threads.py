"""Pieces of a computation in threads of their own."""

import subprocess
import sys
import threading
import time

import pytest
import torch

from dld_spotter.core.threads import _pool, inference_threads, side_by_side

DEVICE = torch.device("cpu")


@pytest.fixture
def two_threads():
    """Torch computes with two threads, and none has begun."""
    _pool.cache_clear()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def facts(job):
    """What a thread is told: its job, how many threads compute it, and how."""
    half = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
    return job, torch.get_num_threads(), torch.is_inference_mode_enabled(), half, threading.current_thread()


def test_results_come_in_the_order_of_the_jobs_each_from_one_thread_of_its_own(two_threads):
    together = threading.Barrier(2, timeout=20)  # two jobs at a time, or none goes on

    def wait(job):
        together.wait()
        return facts(job)

    with torch.inference_mode():
        results = side_by_side(wait, range(4), inference_threads(DEVICE))
    assert [result[:3] for result in results] == [(job, 1, True) for job in range(4)]
    assert threading.current_thread() not in {result[-1] for result in results}
    assert torch.get_num_threads() == 2


def test_threads_compute_in_the_precision_of_who_asks(two_threads):
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        results = side_by_side(facts, range(2), inference_threads(DEVICE))
    assert {result[3] for result in results} == {(True, torch.bfloat16)}


def test_a_training_and_a_single_thread_compute_where_they_are(two_threads):
    assert inference_threads(DEVICE) == 1
    with torch.inference_mode():
        assert inference_threads(DEVICE) == 2
        assert inference_threads(torch.device("meta")) == 1
    (_, threads, *_, thread), _ = side_by_side(facts, range(2), 1)
    assert (threads, thread) == (2, threading.current_thread())


def test_an_error_of_a_job_is_that_of_the_call(two_threads):
    def fail(job):
        raise ValueError(job)

    with torch.inference_mode(), pytest.raises(ValueError, match="0"):
        side_by_side(fail, range(2), inference_threads(DEVICE))


def test_threads_that_begin_later_compute_with_as_many_as_before(two_threads):
    with torch.inference_mode():
        side_by_side(lambda job: time.sleep(0.05), range(4), inference_threads(DEVICE))
    seen = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [2]


AT_EXIT = """
import atexit
from dld_spotter.core.threads import side_by_side
side_by_side(abs, [-1, -2], 2)  # jobs are taken until the interpreter ends
atexit.register(lambda: print(side_by_side(abs, [-3, -4], 2)))
"""


def test_what_reads_while_the_interpreter_ends_goes_on_without_further_threads():
    ended = subprocess.run([sys.executable, "-c", AT_EXIT], capture_output=True, text=True, timeout=120)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("[3, 4]\n", "", 0)
