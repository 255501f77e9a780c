"""What is scored is what is written: archives in every form, read again by ``score``."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dld_spotter.budget.requests import Request
from dld_spotter.core.batches import Sample
from dld_spotter.core.charset import PRINTABLE_ASCII
from dld_spotter.core.instances import TextInstances
from dld_spotter.core.words import Word
from dld_spotter.evaluation.measuring import Counting, evaluate
from dld_spotter.evaluation.predictions import PredictionForm, corners
from dld_spotter.evaluation.scoring import ScoreConfig, score
from dld_spotter.inference.predictor import Reading
from dld_spotter.metrics.formats import read_annotations
from dld_spotter.metrics.lexicons import POLICIES, Lexicon
from dld_spotter.metrics.protocols import PROTOCOLS, TASKS
from dld_spotter.metrics.rules import Rules
from tests.data.samples import box

FORMS = {
    "corners": PredictionForm(),
    "polygons": PredictionForm(polygons=True),
    "confidences": PredictionForm(confidences=True),
    "no commas": PredictionForm(commas=False),
}
READ_AS = {"no commas": "davar"}
TEXTS = (
    "cat",
    "Joe's",
    "P.O.",
    "24h",
    '"cat"',
    'say "hi"',
    "1,5",
    "0,9",
    "a,b",
    "1",
    "####",
    "####5",
    ",",
    "\\",
    '"\\"',
    "x,####y",
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("task", TASKS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.one_of(st.text(PRINTABLE_ASCII + " ", min_size=1, max_size=8), st.sampled_from(TEXTS)), max_size=4),
    numbers=st.lists(st.floats(-20, 2000, width=32), min_size=16, max_size=16),
)
def test_an_archive_is_read_as_it_was_written(tmp_path: Path, form: str, task: str, texts: list[str], numbers: list[float]):
    texts = [text for text in texts if text.strip()]
    polygon = np.array(numbers, np.float32).reshape(8, 2)
    words = [Word(polygon + k, text, 1 - 0.3 * (k % 3)) for k, text in enumerate(texts)]
    FORMS[form].write(tmp_path / "predictions.zip", {"img_1": words, "img_2": []})
    found = read_annotations(tmp_path / "predictions.zip", task, READ_AS.get(form, "rrc"))
    assert found.images["2"] == []
    expected = FORMS[form].as_read(words)
    assert [word.text for word in found.images["1"]] == [word.text for word in expected]
    assert [word.score for word in found.images["1"]] == [word.score for word in expected]
    for word, other in zip(found.images["1"], expected, strict=True):
        np.testing.assert_array_equal(word.polygon, other.polygon)
        assert word.polygon.dtype == other.polygon.dtype == np.float32


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("form", FORMS)
def test_a_single_odd_text_is_read_as_it_was_written(tmp_path: Path, form: str, text: str):
    word = Word(box(1, 2, 30, 10), text, 0.5)
    FORMS[form].write(tmp_path / "predictions.zip", {"img_1": [word]})
    for task in TASKS:
        (found,) = read_annotations(tmp_path / "predictions.zip", task, READ_AS.get(form, "rrc")).images["1"]
        (expected,) = FORMS[form].as_read([word])
        assert (found.text, found.score) == (expected.text, expected.score)


def test_texts_are_kept_as_the_scripts_see_them():
    def seen(form: str, text: str) -> str:
        return FORMS[form].as_read([Word(box(0, 0, 9, 9), text, 1.0)])[0].text

    assert [seen("corners", text) for text in ("1,5", '"cat"', "####5", " cat")] == ["1,5", "cat", "####5", " cat"]
    assert [seen("polygons", text) for text in ("1,5", '"cat"', "a,####b", " cat")] == ["1,5", "cat", "a", "cat"]
    assert [seen("no commas", text) for text in ("1,5", '"cat"', ",")] == ["15", '"cat"', ""]


def test_curved_words_are_written_as_their_corners():
    polygon = np.array([[0, 0], [5, 2], [10, 0], [10, 4], [5, 6], [0.4, 4]])
    assert corners(polygon).tolist() == [[0, 0], [10, 0], [10, 4], [0, 4]]
    assert PredictionForm().line(Word(polygon, "cat", 0.9)) == "0,0,10,0,10,4,0,4,cat"
    assert PredictionForm(confidences=True).line(Word(polygon, "cat", 0.98765)) == "0,0,10,0,10,4,0,4,0.9877,cat"
    curved = "0.00,0.00,5.00,2.00,10.00,0.00,10.00,4.00,5.00,6.00,0.40,4.00,####cat"
    assert PredictionForm(polygons=True).line(Word(polygon, "cat", 0.9)) == curved


def test_points_at_half_pixels_are_those_that_are_written():
    polygon = box(0.5, 1.5, 10, 8) + np.array([[0, 0], [0.255, 0], [0, 0.005], [0, 0]], np.float32)
    assert PredictionForm().points(polygon).tolist() == [[0, 2], [11, 2], [10, 10], [0, 10]]
    assert PredictionForm(polygons=True).points(polygon) == pytest.approx(polygon, abs=0.006)


NAMES = ("img_1", "img_2", "img_3", "img_4", "img_5")
TRUE = ("cat", "dog", "Joe's", "P.O.", "24h", "hi", "###", "face", "bed's")


def drawn(seed: int) -> tuple[list[Sample], dict[str, list[Word]]]:
    """Images with words, and readings of them: moved, at half pixels, false, doubled, misread; or none at all."""
    rng = np.random.default_rng(seed)
    samples, readings = [], {}
    for number, name in enumerate(NAMES):
        count = 0 if number in (1, 3) else int(rng.integers(3, 9))
        polygons = [box(60 * (k % 4) + 2, 30 * (k // 4) + 2, 40 + float(k), 12 + 0.5 * k) for k in range(count)]
        texts = [TRUE[k] for k in rng.integers(0, len(TRUE), count)]
        samples.append(Sample(np.zeros((4, 4, 3), np.uint8), instances(polygons, texts), name))
        moved = [(p + rng.normal(0, 4, p.shape), t) for p, t in zip(polygons, texts, strict=True) if rng.random() < 0.8]
        moved += [(np.floor(p) + 0.5, t) for p, t in moved if rng.random() < 0.4]
        moved += [(box(*rng.uniform(0, 200, 2), 40, 20), "false") for _ in range(0 if number == 1 else 2)]
        words = [read_as(text, rng) for _, text in moved]
        readings[name] = [
            Word(p.astype(np.float32), text, float(rng.uniform(0.3, 1))) for (p, _), text in zip(moved, words, strict=True)
        ]
    return samples, readings


def instances(polygons: Sequence[np.ndarray], texts: Sequence[str]) -> TextInstances:
    return TextInstances.of(polygons, texts, [text == "###" for text in texts])


def read_as(text: str, rng: np.random.Generator) -> str:
    """A reading of a text: right, in quotes, with a comma, with an error, or something else."""
    ways = (text, text, f'"{text}"', f"{text},", f"1,{text}", text[:-1] + "x", str(rng.choice(TEXTS)))
    return ways[int(rng.integers(len(ways)))]


class Scripted:
    """Reads what it was told: the part of a predictor that :func:`evaluate` asks."""

    policy = None

    def __init__(self, samples: Sequence[Sample], readings: Mapping[str, Sequence[Word]]) -> None:
        self.queue: Iterator[Sequence[Word]] = iter([readings[sample.name] for sample in samples])

    def read_request(self, images: Sequence[np.ndarray], request: Request) -> list[Reading]:
        return [Reading(tuple(next(self.queue)), 1.0, 1.0, 0.1, 1.0, 240, 90) for _ in images]


def write_truth(path: Path, samples: Sequence[Sample]) -> Path:
    path.mkdir()
    for sample in samples:
        pairs = zip(sample.instances.polygons, sample.instances.transcriptions, strict=True)
        lines = [",".join(f"{value:g}" for value in p.ravel().tolist()) + f",{text}" for p, text in pairs]
        (path / f"gt_{sample.name}.txt").write_text("\n".join(lines), "utf-8")
    return path


def write_lexicons(folder: Path) -> dict[str, Path | None]:
    """A lexicon for all images, and one for each."""
    (folder / "all.txt").write_text("\n".join(("CAT", "dog", "hi", "false", "1,5", "Joe's")), "utf-8")
    (folder / "each").mkdir()
    for number, name in enumerate(NAMES):
        (folder / "each" / f"voc_{name}.txt").write_text("\n".join(("cat", "bed's", "hi", "24h")[: 2 + number % 3]), "utf-8")
    return {"none": None, "all": folder / "all.txt", "each": folder / "each"}


@pytest.mark.parametrize("curved", [False, True])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_evaluation_says_what_the_script_says_of_its_archive(tmp_path: Path, protocol: str, task: str, curved: bool):
    lexicons, hmeans = write_lexicons(tmp_path), set()
    cases = [("none", "adelaidet"), *((name, policy) for name in ("all", "each") for policy in POLICIES)]
    for seed, (name, policy) in enumerate(cases):
        samples, readings = drawn(seed)
        gt = write_truth(tmp_path / f"gts_{seed}", samples)
        lexicon = None if name == "none" else Lexicon.read(lexicons[name], policy)
        rules = Rules(protocol, task, 0.5, lexicon)
        form = PredictionForm.of(rules, SimpleNamespace(curved=curved))
        point, words = evaluate(Scripted(samples, readings), samples, Request(), Counting(rules, form), 10)
        form.write(tmp_path / "predictions.zip", words)
        given_lexicon = "none" if lexicon is None else str(lexicons[name])
        settings = ScoreConfig(str(gt), str(tmp_path / "predictions.zip"), protocol, task, given_lexicon, policy, resamples=10)
        said = score(settings)
        for key in ("hmean", "precision", "recall"):
            assert getattr(point, key) == pytest.approx(said[key], abs=1e-9), (key, name, policy)
        hmeans.add(round(said["hmean"], 6))
    assert len(hmeans) > 3
    assert max(hmeans) > 0.2


@pytest.mark.parametrize("iou", [0.1, 0.5, 0.7])
def test_a_threshold_is_the_same_one(tmp_path: Path, iou: float):
    samples, readings = drawn(5)
    rules = Rules("davar", "end_to_end", iou)
    form = PredictionForm.of(rules, SimpleNamespace(curved=False))
    point, words = evaluate(Scripted(samples, readings), samples, Request(), Counting(rules, form), 10)
    form.write(tmp_path / "predictions.zip", words)
    gt = write_truth(tmp_path / "gts", samples)
    said = score(ScoreConfig(str(gt), str(tmp_path / "predictions.zip"), "davar", iou=iou, resamples=10))
    assert point.hmean == pytest.approx(said["hmean"], abs=1e-9)


def test_truth_whose_texts_hold_commas_counts_the_same(tmp_path: Path):
    """In the forms of ICDAR, and as JSON under the protocol whose own lines know no commas."""
    texts = ["1,5", "cat,dog", '"hi"', "a,"]
    polygons = [box(10, 30.0 * k + 0.5, 60, 20) for k in range(4)]
    samples = [Sample(np.zeros((4, 4, 3), np.uint8), TextInstances.of(polygons, texts), "img_1")]
    readings = {"img_1": [Word(p + 0.5, text, 0.9) for p, text in zip(polygons, texts, strict=True)]}
    entry = {"image": "img_1.png", "words": [{"polygon": p.tolist(), "text": t} for p, t in zip(polygons, texts, strict=True)]}
    (tmp_path / "gt.jsonl").write_text(json.dumps(entry))
    for protocol in PROTOCOLS:
        rules = Rules(protocol)
        form = PredictionForm.of(rules, SimpleNamespace(curved=False))
        point, words = evaluate(Scripted(samples, readings), samples, Request(), Counting(rules, form), 10)
        form.write(tmp_path / "predictions.zip", words)
        said = score(ScoreConfig(str(tmp_path / "gt.jsonl"), str(tmp_path / "predictions.zip"), protocol, resamples=10))
        assert point.hmean == pytest.approx(said["hmean"], abs=1e-9)
        assert point.hmean > 0.4
