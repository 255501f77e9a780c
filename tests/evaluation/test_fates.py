"""The fates of words while images are read, and what is left behind."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dld_spotter.budget.requests import Request
from dld_spotter.core.batches import Sample
from dld_spotter.core.instances import TextInstances
from dld_spotter.core.words import Word
from dld_spotter.evaluation.fates import FateCollector, beside, examples_of, explain, explain_files, leave
from dld_spotter.evaluation.measuring import Counting, evaluate
from dld_spotter.evaluation.predictions import PredictionForm
from dld_spotter.inference.predictor import Predictor
from dld_spotter.inference.torch_backend import TorchBackend
from dld_spotter.metrics.fates import Claim, Fate
from dld_spotter.metrics.rules import Rules
from tests.data.samples import box, sample
from tests.inference.engines.drawn import DrawnEngine
from tests.small import make_spotter


def colours(path: Path) -> int:
    """How many colours a picture has: 1 where it is blank."""
    with Image.open(path) as image:
        return len(image.convert("RGB").getcolors(1 << 24))


def samples_read_by_an_engine() -> list[Sample]:
    """Of the first image an engine reads both words, the second one as another; of the second image nothing is asked for."""
    line = box(10, 20, 70, 16)
    first = sample(64, 96, [line], ["cat dog"], name="line")
    words = TextInstances.of([box(10, 20, 30, 16), box(50, 20, 30, 16)], ["Cat", "dig"])
    return [Sample(first.image, words, "line"), sample(100, 150, name="none")]


def test_an_evaluation_explains_what_it_reads(tmp_path: Path):
    predictor, rules = Predictor(DrawnEngine()), Rules()
    counting = Counting(rules, PredictionForm())
    fates = FateCollector(predictor, counting, most=1, boxes=False)
    point, _ = evaluate(predictor, samples_read_by_an_engine(), Request(scale=1.0), counting, 10, [fates])
    report = fates.leave(tmp_path)
    assert list(fates.images) == ["line", "none"]
    assert [word.fate for word in fates.images["line"].words] == [Fate.CASE, Fate.MISREAD]
    assert report.total.hmean == pytest.approx(point.hmean)
    assert {name: len(found) for name, found in fates.examples.items()} == {"case": 1, "misread": 1}
    told = json.loads((tmp_path / "fates.json").read_text())
    assert (told["images"], told["counts"]) == (2, {"matched": 1, "predicted": 2, "true": 2})
    assert [(row["image"], row["index"], row["fate"], row["read"]) for row in told["words"]] == [
        ("line", 1, "case", "cat"),
        ("line", 2, "misread", "dog"),
    ]
    assert [row["claim"] for row in told["false_predictions"]] == ["of_lost_word"]
    for name in ("fates.png", "fates_examples.png"):
        assert colours(tmp_path / name) > 50
    scores = [word.score for word in predictor.read(samples_read_by_an_engine()[0].image, scale=1.0).words]
    assert max(scores) < 1
    assert sum(one.predictions * one.score for one in report.reliability.bins) == pytest.approx(sum(scores))


def test_one_call_from_python_explains_a_data_set(tmp_path: Path):
    images = [sample(64, 96, [box(10, 20, 70, 16)], ["cat"], name="one"), sample(64, 96, name="none")]
    fates = explain(Predictor(TorchBackend(make_spotter())), images, request=Request(scale=0.5))
    assert list(fates.images) == ["one", "none"]
    assert fates.report.counts.true == 1
    assert fates.leave(tmp_path) == fates.report


def test_the_truths_boxes_are_read_at_the_scale_of_the_reading():
    predictor = Predictor(TorchBackend(make_spotter()))
    image = sample(64, 96, [box(10, 20, 70, 16)], ["cat"], name="one")
    fates = FateCollector(predictor, Counting(Rules(), PredictionForm()))
    fates(image, predictor.read(image.image, scale=0.5))
    (word,) = fates.images["one"].words
    assert word.box is not None
    assert word.box_right is (word.box.upper() == "CAT")


def test_what_is_predicted_is_no_further_region():
    words = [Word(box(0, 0, 10, 10), "a", 0.9), Word(box(20, 0, 10, 10), "b", 0.1)]
    assert beside(words[:1], words) == words[1:]


def test_files_are_explained_without_boxes(tmp_path: Path):
    truths = {"1": TextInstances.of([box(0, 0, 50, 20)], ["cat"]), "2": TextInstances.of([box(0, 0, 50, 20)], ["dog"])}
    found = explain_files(truths, {"1": [Word(box(0, 0, 50, 20), "cot", 1.0)]}, Rules())
    assert [word.fate for fates in found.values() for word in fates.words] == [Fate.MISREAD, Fate.NOT_FOUND]
    report = leave(tmp_path, found, Rules(), scored=False)
    assert (report.overall.box, report.reliability) == (None, None)
    assert colours(tmp_path / "fates.png") > 50
    assert not (tmp_path / "fates_examples.png").exists()


def test_examples_stay_within_the_image():
    truth = TextInstances.of([box(-5, -5, 30, 20), box(300, 300, 20, 10)], ["edge", "outside"])
    image = np.zeros((50, 60, 3), np.uint8)
    found = explain_files({"a": truth}, {"a": [Word(box(40, 40, 30, 30), "x", 0.5)]}, Rules())["a"]
    examples = list(examples_of(found, truth, image))
    assert [example.fate for example in examples] == [Fate.NOT_FOUND, Fate.NOT_FOUND, Claim.INVENTED]
    assert all(example.crop.size for example in examples)
    assert examples[0].truth.tolist() == box(-5, -5, 30, 20).tolist()
    assert examples[2].truth is None
