"""The Hmean that training follows: the same figures for any split into batches and ranks."""

import pickle
import socket

import numpy as np
import torch.distributed as distributed
import torch.multiprocessing as multiprocessing

from dld_spotter.core.batches import TextInstances, Word
from dld_spotter.metrics.spotting import EndToEndHmean

SQUARE = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], np.float32)


def _image(truth, text):
    return [Word(SQUARE, text, 1.0)], TextInstances.of([SQUARE], [truth])


IMAGES = [_image("one", "one"), _image("two", "too"), _image("A24", "A24"), ([], TextInstances.of([SQUARE], ["gone"]))]
EXPECTED = {"precision": 0.666667, "recall": 0.5, "hmean": 0.571429}


def _figures(metric):
    return {key: round(float(value), 6) for key, value in metric.compute().items()}


def _score(metric, images):
    for words, truth in images:
        metric.update([words], [truth])
    return _figures(metric)


def test_batches_and_one_at_a_time_agree():
    together = EndToEndHmean()
    together.update(*zip(*IMAGES, strict=True))
    assert _figures(together) == _score(EndToEndHmean(), IMAGES) == EXPECTED


def test_nothing_counts_zero():
    metric = EndToEndHmean()
    metric.update([], [])
    assert list(_figures(metric).values()) == [0, 0, 0]


def test_it_pickles_and_merges():
    first, second = EndToEndHmean(), pickle.loads(pickle.dumps(EndToEndHmean()))
    first.update(*zip(*IMAGES[:1], strict=True))
    second.update(*zip(*IMAGES[1:3], strict=True))
    second = pickle.loads(pickle.dumps(second))
    second.update(*zip(*IMAGES[3:], strict=True))
    first.merge_state(second)
    assert _figures(first) == EXPECTED


def _rank(rank, port, results):
    distributed.init_process_group("gloo", init_method=f"tcp://localhost:{port}", rank=rank, world_size=2)
    # Uneven shares: an average of the two ranks' figures would be wrong.
    results[rank] = _score(EndToEndHmean(), IMAGES[:1] if rank == 0 else IMAGES[1:])
    distributed.destroy_process_group()


def test_ranks_are_summed_not_averaged():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    with multiprocessing.Manager() as manager:
        results = manager.dict()
        multiprocessing.start_processes(_rank, (port, results), nprocs=2, start_method="fork")
        assert results[0] == results[1] == EXPECTED
