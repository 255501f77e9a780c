import math

import pytest
import torch

from dld_spotter.models.two_stage.anchors import anchors, assign, sample
from tests.models.two_stage.test_boxes import boxes, drawn, overlap

CPU = torch.device("cpu")


def test_anchors_lie_around_the_centres_of_their_cells():
    found = anchors(2, 3, 4, 8.0, (0.25, 1.0, 4.0), CPU).view(2, 3, 3, 4)
    centres = (found[..., :2] + found[..., 2:]) / 2
    assert centres[1, 2, 0].tolist() == [10, 6]  # x of the third column, y of the second row
    assert (centres == centres[:, :, :1]).all()
    sides = found[..., 2:] - found[..., :2]
    assert sides[0, 0].tolist() == [[64, 16], [32, 32], [16, 64]]
    torch.testing.assert_close(sides.prod(-1), torch.full((2, 3, 3), 1024.0))


def test_one_anchor_for_each_ratio_of_height_to_width():
    sides = (lambda found: found[:, 2:] - found[:, :2])(anchors(1, 1, 8, 4.0, (0.1, 3.2), CPU))
    assert (sides[:, 1] / sides[:, 0]).tolist() == pytest.approx([0.1, 3.2])


def test_assignment_by_hand():
    words = boxes([0, 0, 20, 10], [100, 100, 140, 110], [50, 50, 60, 60])
    care = torch.tensor([True, True, False])
    around = boxes(
        [0, 0, 20, 10],  # the first word itself
        [0, 0, 20, 8],  # 0.8 of it
        [10, 0, 30, 10],  # a third of the union: neither text nor none
        [18, 0, 38, 10],  # next to nothing
        [100, 100, 160, 110],  # two thirds of the second word: below 0.7, but nothing is nearer
        [51, 51, 59, 59],  # within what is don't-care
        [55, 50, 65, 60],  # half covered by it
        [56, 50, 66, 60],  # less than half
    )
    labels, matched = assign(around, words, care, 0.7, 0.3, least=0.3)
    assert labels.tolist() == [1, 1, -1, 0, 1, -1, -1, 0]
    assert matched[labels == 1].tolist() == [0, 0, 1]
    labels, _ = assign(around, words, care, 0.7, 0.3)
    assert labels[4] == -1, "without the rule for the nearest"


def test_a_word_that_nothing_is_near_to_has_no_anchor():
    labels, _ = assign(boxes([0, 0, 10, 10]), boxes([8, 8, 30, 30]), torch.tensor([True]), 0.7, 0.3, least=0.3)
    assert labels.tolist() == [0]


def test_the_nearest_anchor_is_that_of_the_word_it_is_nearest_to():
    """The anchor overlaps the first word more, but to the second word nothing else is as near."""
    words = boxes([0, 0, 10, 10], [0, 6, 10, 16])
    labels, matched = assign(boxes([0, 2, 10, 12], [0, 0, 10, 10]), words, torch.ones(2, dtype=torch.bool), 0.7, 0.3, least=0.3)
    assert labels.tolist() == [1, 1]
    assert matched.tolist() == [1, 0]


@pytest.mark.parametrize("seed", range(4))
def test_assignment_is_that_of_every_pair(seed):
    around, words = drawn(seed, 200), drawn(seed + 50, 9)
    care = torch.rand(9, generator=torch.Generator().manual_seed(seed)) < 0.7
    labels, matched = assign(around, words, care, 0.6, 0.3, least=0.3)
    table = [
        [overlap(a, w) if known else -1.0 for w, known in zip(words.tolist(), care.tolist(), strict=True)]
        for a in around.tolist()
    ]
    nearest = {w: max(range(200), key=lambda a: table[a][w]) for w in range(9) if care[w]}
    for a, row in enumerate(table):
        first = [w for w, near in nearest.items() if near == a and row[w] >= 0.3]
        best = max(row)
        covered = max((shared(around[a], words[w]) for w in range(9) if not care[w]), default=0) >= 0.5
        expected = 1 if first or best >= 0.6 else -1 if covered or best >= 0.3 else 0
        assert labels[a] == expected
        if expected == 1:
            assert matched[a].item() in (first or [row.index(best)])


def shared(around: torch.Tensor, word: torch.Tensor) -> float:
    """How much of a box a word covers."""
    sides = torch.minimum(around[2:], word[2:]) - torch.maximum(around[:2], word[:2])
    return (sides.clamp(min=0).prod() / (around[2:] - around[:2]).prod()).item()


@pytest.mark.parametrize("care", [[], [False, False]])
def test_without_words_that_count_nothing_is_text(care):
    words = drawn(1, len(care))
    labels, matched = assign(drawn(2, 30), words, torch.tensor(care, dtype=torch.bool), 0.7, 0.3, least=0.3)
    assert (labels <= 0).all()
    assert len(matched) == 30


def test_a_sample_has_its_shares():
    labels = torch.tensor([1] * 50 + [0] * 500 + [-1] * 50)
    text, none = sample(labels, 100, 0.25)
    assert (len(text), len(none)) == (25, 75)
    assert (labels[text] == 1).all()
    assert (labels[none] == 0).all()
    assert len(set(text.tolist())) == 25
    text, none = sample(labels[45:], 100, 0.25)  # five are text: the rest is none
    assert (len(text), len(none)) == (5, 95)
    text, none = sample(labels[:60], 100, 0.5)  # ten are none
    assert (len(text), len(none)) == (50, 10)
    assert [len(part) for part in sample(labels[:0], 100, 0.5)] == [0, 0]


def test_another_sample_is_drawn_each_time():
    torch.manual_seed(0)
    labels = torch.zeros(1000, dtype=torch.int64)
    first, second = (set(sample(labels, 100, 0.5)[1].tolist()) for _ in range(2))
    assert len(first & second) < 40
    assert math.isclose(sum(first) / 100, 500, abs_tol=120)
