import json

import numpy as np
import pytest
import torch

from dld_spotter.core.batches import Sample, Word
from dld_spotter.core.instances import TextInstances
from dld_spotter.data.photos import ReferenceSize
from dld_spotter.evaluation import retention
from dld_spotter.evaluation.retention import HALF_WAY, NOW, START, Retention, better, compare, half_way, read_rightly
from tests.small import CHARSET, make_spotter

SQUARE = np.array([[4, 4], [40, 4], [40, 20], [4, 20]], np.float32)


def sample(*words: tuple[str, bool]) -> Sample:
    truth = TextInstances.of(
        [SQUARE + 5 * i for i in range(len(words))], [text for text, _ in words], [flag for _, flag in words]
    )
    return Sample(np.full((64, 96, 3), 128, np.uint8), truth, "one")


class Reads:
    """A backend that reads the same texts everywhere, in order."""

    def __init__(self, *texts: str) -> None:
        self.texts, self.asked = texts, []

    def detect(self, images, scale):
        self.size = images[0].shape
        return [None]

    def read_boxes(self, detections, polygons):
        self.asked.append(polygons)
        return [Word(polygon, text, 1.0) for polygon, text in zip(polygons, self.texts, strict=True)]


def test_words_that_count_are_compared_without_case():
    backend = Reads("GOT", "dog")
    words = sample(("got", False), ("", False), ("bad", True), ("fed", False), ("xyz", False))  # x, y and z cannot be written
    right = read_rightly(backend, [words, sample()], ReferenceSize(long=1280), CHARSET)
    assert right.tolist() == [True, False]
    assert len(backend.asked) == 1
    np.testing.assert_array_equal(backend.asked[0][1], SQUARE + 15)


def test_words_are_read_at_full_resolution():
    backend = Reads("got")
    read_rightly(backend, [sample(("got", False))], ReferenceSize(long=48), CHARSET)
    assert backend.size == (32, 48, 3)
    np.testing.assert_allclose(backend.asked[0][0], SQUARE / 2)


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
        ((5, 7, 6), (5, 1, 5), NOW),  # own words come first
        ((5, 7, 7), (5, 1, 5), HALF_WAY),  # of equals what forgot less
        ((5, 7, 7), (5, 5, 5), NOW),
        ((9, 7, 6), (9, 1, 1), NOW),  # the start is there already
    ],
)
def test_the_better_weights_read_most_of_the_users_words(own, others, expected):
    names = (START, NOW, HALF_WAY)
    found = {
        "own": Retention(9, dict(zip(names, own, strict=True))),
        "others": Retention(9, dict(zip(names, others, strict=True))),
    }
    assert better(found, "own") == expected


def test_each_set_is_read_with_each_of_the_weights():
    spotters = {START: make_spotter(0), NOW: make_spotter(1)}
    found = compare(
        spotters, {"own": [sample(("got", False))], "none": [sample()]}, ReferenceSize(long=1280), torch.device("cpu")
    )
    assert {name: (one.words, set(one.right)) for name, one in found.items()} == {
        "own": (1, set(spotters)),
        "none": (0, set(spotters)),
    }


def test_rendered_scenes_are_the_same_every_time():
    first, second = retention.rendered(2), retention.rendered(1)
    np.testing.assert_array_equal(first[0].image, second[0].image)
    assert len(first) == 2


def test_the_report_names_the_better_file_and_what_changed(tmp_path, capsys):
    found = {"validation images": Retention(10, {START: 4, NOW: 7}), "rendered scenes": Retention(8, {START: 6, NOW: 5})}
    retention.report(found, NOW, {NOW: "checkpoints/student.ckpt"}, tmp_path)
    printed = capsys.readouterr().out
    assert (
        "The better weights are checkpoints/student.ckpt: +3 of 10 words of validation images, -1 of 8 words of rendered scenes"
        in printed
    )
    left = json.loads((tmp_path / "retention.json").read_text())
    assert left["better"] == "checkpoints/student.ckpt"
    assert left["sets"]["rendered scenes"] == {"words": 8, "right": {START: 6, NOW: 5}}
    assert "Nothing was gained" not in printed


def test_a_training_that_made_things_worse_says_so(tmp_path, capsys):
    found = {"validation images": Retention(10, {START: 7, NOW: 6})}
    retention.report(found, NOW, {NOW: "checkpoints/teacher.ckpt"}, tmp_path)
    assert "Nothing was gained" in capsys.readouterr().out
