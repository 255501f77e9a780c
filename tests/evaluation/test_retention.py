import json

import numpy as np
import pytest
import torch

from dld_spotter.core.batches import Sample, Word
from dld_spotter.core.instances import TextInstances
from dld_spotter.data.photos import ReferenceSize
from dld_spotter.evaluation import retention
from dld_spotter.evaluation.retention import HALF_WAY, NOW, START, Read, Retention, better, compare, half_way, legible, read
from tests.small import CHARSET, make_spotter

SQUARE = np.array([[4, 4], [24, 4], [24, 20], [4, 20]], np.float32)


def moved(right: float) -> np.ndarray:
    return SQUARE + np.array([right, 0], np.float32)


def sample(*words: tuple[str, bool]) -> Sample:
    places = [moved(30 * i) for i in range(len(words))]
    truth = TextInstances.of(places, [text for text, _ in words], [flag for _, flag in words])
    return Sample(np.full((64, 192, 3), 128, np.uint8), truth, "one")


class Found:
    all = np.arange(2)


class Reads:
    """A backend that finds the words that it is given, and reads texts that it is given from boxes."""

    def __init__(self, found: list[Word], *texts: str) -> None:
        self.found, self.texts, self.asked = found, texts, []

    def detect(self, images, scale):
        assert scale == 1.0
        return [Found]

    def recognize(self, detections, which):
        assert which[0] is Found.all
        return [self.found]

    def read_boxes(self, detections, polygons):
        self.asked.append(polygons)
        return [Word(polygon, text, 1.0) for polygon, text in zip(polygons, self.texts, strict=True)]


def test_words_are_read_where_they_are_found_and_where_the_truth_says_they_are():
    words = sample(("got", False), ("", False), ("bad", True), ("fed", False), ("xyz", False))  # x, y and z cannot be written
    assert legible(words, CHARSET) == [0, 3]
    backend = Reads([Word(SQUARE, "GOT", 0.9), Word(moved(90), "dog", 0.9)], "GOT", "fed")
    figures = read(backend, [words], CHARSET)
    assert figures.matched == 1
    assert figures.from_boxes == 2
    precision, recall = 1 / 2, 1 / 4  # of GOT and dog the first is right, of got, a word without text, fed and xyz as well
    assert figures.hmean == pytest.approx(2 * precision * recall / (precision + recall))
    np.testing.assert_array_equal(backend.asked[0][1], moved(90))


def test_half_way_is_the_mean_of_both_weights():
    start, now = make_spotter(0), make_spotter(1)
    mean = half_way(start, now)
    for name, value in mean.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (start.state_dict()[name] + now.state_dict()[name]) / 2)
    assert not any(a is b for a, b in zip(mean.parameters(), now.parameters(), strict=True))


def test_there_is_nothing_half_way_to_another_shape():
    assert half_way(make_spotter(), make_spotter(hidden=16)) is None


@pytest.mark.parametrize(
    ("own", "others", "expected"),
    [
        ((0.5, 0.7, 0.6), (0.5, 0.1, 0.5), NOW),  # own images come first
        ((0.5, 0.7, 0.7), (0.5, 0.1, 0.5), HALF_WAY),  # of equals what forgot less
        ((0.5, 0.7, 0.7), (0.5, 0.5, 0.5), NOW),
        ((0.7, 0.7, 0.6), (0.9, 0.9, 0.9), START),  # nothing was gained
        ((0.9, 0.7, 0.6), (0.1, 0.9, 0.9), START),
    ],
)
def test_the_better_weights_read_most_of_the_users_images(own, others, expected):
    def of(values):
        return Retention(9, {name: Read(value, 1, 1) for name, value in zip((START, NOW, HALF_WAY), values, strict=True)})

    assert better({"own": of(own), "others": of(others)}, "own") == expected


def test_each_set_is_read_with_each_of_the_weights_at_full_resolution(monkeypatch):
    seen = []
    monkeypatch.setattr(retention, "read", lambda backend, samples, charset: seen.append(samples) or Read(0, 0, 0))
    spotters = {START: make_spotter(0), NOW: make_spotter(1)}
    found = compare(
        spotters, {"own": [sample(("got", False))], "none": [sample()]}, ReferenceSize(long=96), torch.device("cpu")
    )
    assert {name: (one.words, set(one.read)) for name, one in found.items()} == {
        "own": (1, set(spotters)),
        "none": (0, set(spotters)),
    }
    assert len(seen) == 4
    assert seen[0][0].image.shape == (32, 96, 3)


def test_a_spotter_is_read_with():
    found = compare({START: make_spotter()}, {"own": [sample(("got", False))]}, ReferenceSize(long=192), torch.device("cpu"))
    assert found["own"].words == 1


def test_rendered_scenes_are_the_same_every_time():
    first, second = retention.rendered(2), retention.rendered(1)
    np.testing.assert_array_equal(first[0].image, second[0].image)
    assert len(first) == 2


FILES = {START: "bundled", NOW: "checkpoints/student.ckpt"}


def test_the_report_names_the_better_file_and_what_changed(tmp_path, capsys):
    found = {
        "validation images": Retention(10, {START: Read(0.4, 4, 5), NOW: Read(0.7, 7, 8)}),
        "rendered scenes": Retention(8, {START: Read(0.6, 5, 6), NOW: Read(0.55, 5, 6)}),
    }
    retention.report(found, NOW, FILES, tmp_path)
    printed = " ".join(capsys.readouterr().out.split())
    assert "are checkpoints/student.ckpt: Hmean +30.0% of validation images, -5.0% of rendered scenes since" in printed
    left = json.loads((tmp_path / "retention.json").read_text())
    assert left["better"] == "checkpoints/student.ckpt"
    assert left["sets"]["rendered scenes"]["read"][NOW] == {"hmean": 0.55, "matched": 5, "from_boxes": 6}


def test_a_training_that_gained_nothing_says_so(tmp_path, capsys):
    found = {"validation images": Retention(10, {START: Read(0.7, 7, 7), NOW: Read(0.6, 6, 6)})}
    retention.report(found, START, FILES, tmp_path)
    assert "Nothing was gained: bundled reads no less" in capsys.readouterr().out
