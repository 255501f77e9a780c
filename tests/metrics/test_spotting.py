import pickle
import socket

import numpy as np
import pytest
import torch.distributed as distributed
import torch.multiprocessing as multiprocessing

from dld_spotter.core.batches import TextInstances, Word
from dld_spotter.core.errors import ConfigError
from dld_spotter.metrics.lexicons import Lexicon, WordList
from dld_spotter.metrics.recognition import NormalizedEditSimilarity, WordAccuracy
from dld_spotter.metrics.spotting import DetectionHmean, EndToEndHmean, WordSpottingHmean

SQUARE = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], np.float32)


def _image(truth, text):
    return [Word(SQUARE, text, 1.0)], TextInstances.of([SQUARE], [truth])


IMAGES = [_image("one", "one"), _image("two", "too"), _image("A24", "A24"), ([], TextInstances.of([SQUARE], ["gone"]))]


def _score(metric, images):
    for words, truth in images:
        metric.update([words], [truth])
    return {key: round(float(value), 6) for key, value in metric.compute().items()}


@pytest.mark.parametrize(
    ("kind", "precision", "recall"),
    [(DetectionHmean, 1, 3 / 4), (EndToEndHmean, 2 / 3, 2 / 4), (WordSpottingHmean, 1 / 2, 1 / 3)],
)
def test_tasks_by_hand(kind, precision, recall):
    hmean = 2 * precision * recall / (precision + recall)
    expected = {"precision": round(precision, 6), "recall": round(recall, 6), "hmean": round(hmean, 6)}
    assert _score(kind(), IMAGES) == expected


def test_batches_and_one_at_a_time_agree():
    together = EndToEndHmean()
    words, truths = zip(*IMAGES, strict=True)
    together.update(words, truths)
    assert {key: round(float(value), 6) for key, value in together.compute().items()} == _score(EndToEndHmean(), IMAGES)


def test_nothing_counts_zero():
    metric = EndToEndHmean()
    metric.update([], [])
    assert [float(value) for value in metric.compute().values()] == [0, 0, 0]


def test_survives_pickling():
    metric = EndToEndHmean("davar", 0.1)
    _score(metric, IMAGES[:2])
    assert _score(pickle.loads(pickle.dumps(metric)), IMAGES[2:]) == _score(EndToEndHmean("davar", 0.1), IMAGES)


READINGS = [("one", "One"), ("tow", "two"), ("", "abcd"), ("", ""), ("x", "xyz")]


@pytest.mark.parametrize("kind", [WordAccuracy, NormalizedEditSimilarity])
def test_recognition_survives_pickling_and_any_split(kind):
    together, parts = kind(), kind()
    together.update(*zip(*READINGS, strict=True))
    for text, truth in READINGS:
        parts.update([text], [truth])
        parts = pickle.loads(pickle.dumps(parts))
    assert parts.compute() == pytest.approx(together.compute())


@pytest.mark.parametrize("kind", [DetectionHmean, EndToEndHmean, WordSpottingHmean])
def test_every_task_pickles_and_merges(kind):
    first, second = kind(), pickle.loads(pickle.dumps(kind()))
    for metric, images in ((first, IMAGES[:1]), (second, IMAGES[1:])):
        metric.update(*zip(*images, strict=True))
    first.merge_state(second)
    assert {key: round(float(value), 6) for key, value in first.compute().items()} == _score(kind(), IMAGES)


def test_lexicons():
    shared = Lexicon("full", WordList(("TWO", "ONE", "GONE"), "adelaidet"))
    assert _score(EndToEndHmean(lexicon=shared), IMAGES[:3])["precision"] == 1.0
    strong = EndToEndHmean(lexicon=Lexicon("strong", None, {"1": WordList(("TWO",), "davar")}))
    words, truth = IMAGES[1]
    strong.update([words], [truth], ["img_1"])
    assert strong.compute()["hmean"] == 1
    with pytest.raises(ConfigError, match="needs names"):
        strong.update([words], [truth])


def _rank(rank, port, results):
    distributed.init_process_group("gloo", init_method=f"tcp://localhost:{port}", rank=rank, world_size=2)
    end_to_end, accuracy = EndToEndHmean(), WordAccuracy()
    # Uneven shares: an average of the two ranks' figures would be wrong.
    scores = _score(end_to_end, IMAGES[:1] if rank == 0 else IMAGES[1:])
    accuracy.update(*((["a"], ["a"]) if rank == 0 else (["b", "c"], ["x", "y"])))
    results[rank] = (scores, float(accuracy.compute()))
    distributed.destroy_process_group()


def test_ranks_are_summed_not_averaged():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    with multiprocessing.Manager() as manager:
        results = manager.dict()
        multiprocessing.start_processes(_rank, (port, results), nprocs=2, start_method="fork")
        assert results[0] == results[1] == (_score(EndToEndHmean(), IMAGES), pytest.approx(1 / 3))


def test_recognition_by_hand():
    accuracy, similarity = WordAccuracy(), NormalizedEditSimilarity()
    for metric in (accuracy, similarity):
        metric.update(["One", "tow"], ["ONE", "two"])
        metric.update(["", ""], ["abcd", ""])
    assert accuracy.compute() == pytest.approx(2 / 4)
    assert similarity.compute() == pytest.approx((1 + 1 / 3 + 0 + 1) / 4)
    strict = WordAccuracy(case_sensitive=True)
    strict.update(["One"], ["ONE"])
    assert strict.compute() == 0
