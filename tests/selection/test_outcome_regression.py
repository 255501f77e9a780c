"""What the selector that counts words learns in training: heights from thumbnails, and a table of what is read."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dld_spotter.core.batches import Word
from dld_spotter.core.charset import Charset
from dld_spotter.core.errors import ConfigError
from dld_spotter.data.collate import Collate
from dld_spotter.metrics.rules import Rules
from dld_spotter.selection.objective import Evidence
from dld_spotter.selection.outcome_regression import OutcomeRegression
from dld_spotter.selection.quality import QualitySelector
from tests.data.samples import box, sample

BINS, SCALES = 4, (0.25, 1.0)


@pytest.mark.parametrize("setting", ["capacity", "images"])
def test_learning_from_nothing_is_refused(setting):
    with pytest.raises(ConfigError, match=rf"selection\.{setting} .*found 0"):
        OutcomeRegression(Rules(), **{setting: 0})


SIDE, LARGE, SMALL = 256, 64, 16


class Student(torch.nn.Module):
    """Reads a word rightly where it is at least 12 pixels high in the view; a small one becomes another word."""

    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def spot(self, view):
        scale = float(view.sizes[0, 0]) / SIDE
        return [[self.read(word, scale) for word in image.polygons] for image in self.batch.instances[: len(view.sizes)]]

    def read(self, polygon, scale):
        return Word(polygon, "abc" if np.ptp(polygon[:, 1]) * scale >= 12 else "cba", 1.0)


def scene(high, place):
    """Two bright bars of one height."""
    return sample(SIDE, SIDE, [box(place, 10, 180, high), box(place, 140, 180, high)], ["abc", "abc"], name=f"{high}-{place}")


def evidence(*heights):
    places = torch.randint(4, 60, (len(heights),)).tolist()
    batch = Collate(Charset("abc"), SCALES, thumbnail=32, max_length=4)([scene(*s) for s in zip(heights, places, strict=True)])
    costs = torch.tensor([[1 / 16, 1.0]]).expand(len(heights), -1)
    return Evidence(Student(batch), batch, SimpleNamespace(logits=None), costs, 1.0)


@pytest.fixture(scope="module")
def taught():
    """A selector after a few dozen steps on images of large or of small words."""
    torch.manual_seed(0)
    selector = QualitySelector(SCALES, 0.1, [1.0], (8, 12, 16, 16), 24, bins=8).train()
    objective = OutcomeRegression(Rules(), capacity=64, batch=32)
    optimizer = torch.optim.AdamW(selector.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        terms = objective(selector, evidence(LARGE, SMALL, LARGE, SMALL))
        optimizer.zero_grad()
        terms["quality"].backward()
        optimizer.step()
        losses.append(float(terms["quality"].detach()))
    return selector.eval(), objective, losses


def test_large_words_are_read_at_a_low_scale_after_training(taught):
    selector, _, losses = taught
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    torch.manual_seed(9)
    shown = evidence(*[LARGE] * 6, *[SMALL] * 6)
    arguments = shown.batch.thumbnails, shown.batch.views[1.0].sizes, shown.costs
    assert selector.choose(*arguments).tolist() == [0] * 6 + [1] * 6
    assert selector.choose(*arguments, 9.0).tolist() == [0] * 12


def test_what_training_has_learnt_of_words(taught):
    """Two in an image, small ones never right at the low scale and always at the full one, large ones at both."""
    selector, _, _ = taught
    assert float(selector.words) == 2
    small, large = (int(torch.bucketize(torch.tensor(float(high)), selector.edges)) for high in (SMALL, LARGE))
    right, false = selector.table
    torch.testing.assert_close(right[[small, large]], torch.tensor([[0.0, 1.0], [1.0, 1.0]]), atol=0.15, rtol=0)
    torch.testing.assert_close(false[[small, large]], torch.tensor([[1.0, 0.0], [0.0, 0.0]]), atol=0.15, rtol=0)
    torch.manual_seed(3)
    shown = evidence(LARGE, SMALL)
    counted = selector.histogram(shown.batch.thumbnails, shown.batch.views[1.0].sizes)
    assert counted.sum(1).tolist() == pytest.approx([2, 2], abs=0.7)
    assert counted.argmax(1).tolist() == [large, small]


def test_outcomes_are_those_of_the_rules_for_the_first_images():
    shown = evidence(LARGE, SMALL, LARGE)
    counts = OutcomeRegression(Rules(), images=2).read_everywhere(SCALES, shown)
    assert counts.tolist() == [[[2, 2, 2], [2, 2, 2]], [[0, 2, 2], [2, 2, 2]]]
    detected = OutcomeRegression(Rules(task="detection"), images=1).read_everywhere(SCALES, shown)
    assert detected.tolist() == [[[2, 2, 2]] * 2]
    assert len(OutcomeRegression(Rules(), images=9).read_everywhere(SCALES, shown)) == 3


def test_one_step_gives_every_parameter_a_gradient_and_fills_the_memories():
    selector = QualitySelector(SCALES, 0.1, [1.0], (8, 12, 16, 16), 24).train()
    objective = OutcomeRegression(Rules(), images=2, capacity=8, batch=8)
    objective(selector, evidence(LARGE, SMALL, LARGE))["quality"].backward()
    for name, parameter in selector.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
    assert (len(objective.seen), len(objective.read)) == (3, 2)
    assert float(selector.words) == 2
    assert not objective.state_dict()


def test_the_network_learns_heights_as_the_thumbnail_shows_them():
    """An image of half the nominal side: words appear twice as high as they are, which is what the table is told."""
    selector = QualitySelector(SCALES, 0.1, [1.0], (8, 12, 16, 16), 24, heights=(4.0, 256.0), bins=8)
    objective = OutcomeRegression(Rules(), capacity=8, batch=8)
    shown = evidence(LARGE - 1)  # 63 pixels, seen as 126; edges 4, 8, 16 ... 256
    objective(selector, shown)
    assert objective.seen.rows()[1].tolist() == [[0, 0, 0, 0, 0, 2, 0, 0]]
    assert objective.read.rows()[0].tolist() == [[0, 0, 0, 0, 2, 0, 0, 0]]
    # what the network learns comes back in pixels of the image
    selector.network.forward = lambda images: objective.seen.rows()[1].clamp(min=1e-9).log()
    counted = selector.histogram(shown.batch.thumbnails, shown.batch.views[1.0].sizes)
    torch.testing.assert_close(counted, objective.read.rows()[0], atol=1e-4, rtol=0)


def test_a_table_that_rests_on_much_is_kept_until_as_much_is_known_again(monkeypatch):
    step = evidence(40, 12)
    selector = QualitySelector(SCALES, 0.1, [1.0], (4, 4, 4, 4), 8, (8.0, 64.0), BINS)
    objective = OutcomeRegression(Rules(), images=2, batch=4)
    objective(selector, step)
    assert selector.readings == 2
    selector.readings.fill_(1000)  # as a resumed run finds it, its memory being empty
    known = selector.table.clone()
    OutcomeRegression(Rules(), images=2, batch=4)(selector, step)
    assert torch.equal(selector.table, known)
    monkeypatch.setattr("dld_spotter.selection.outcome_regression.ENOUGH", 4)
    for _ in range(2):
        objective(selector, step)
    assert not torch.equal(selector.table, known)
