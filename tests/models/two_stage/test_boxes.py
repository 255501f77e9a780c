import pytest
import torch

from dld_spotter.models.two_stage.boxes import areas, clipped, intersections, moved, offsets, overlaps, suppress


def boxes(*rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).view(-1, 4)


def drawn(seed: int, count: int, size: float = 100.0) -> torch.Tensor:
    corners = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(seed)) * size
    return torch.cat([corners.amin(1), corners.amax(1) + 1], dim=1)


def greedy(found: torch.Tensor, scores: torch.Tensor, most: float) -> list[int]:
    """The rule as it is told: take the likeliest, drop what overlaps it, and so on."""
    waiting, kept = sorted(range(len(scores)), key=lambda k: -scores[k].item()), []
    while waiting:
        best = waiting.pop(0)
        kept.append(best)
        waiting = [k for k in waiting if overlap(found[best].tolist(), found[k].tolist()) <= most]
    return kept


def overlap(one: list[float], other: list[float]) -> float:
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    sizes = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(sizes) - width * height)


def test_overlaps_by_hand():
    one = boxes([0, 0, 10, 10])
    other = boxes([0, 0, 10, 10], [5, 0, 15, 10], [5, 5, 15, 15], [10, 0, 20, 10], [2, 2, 4, 4], [3, 3, 3, 3])
    expected = [1, 50 / 150, 25 / 175, 0, 4 / 100, 0]
    assert overlaps(one, other)[0].tolist() == pytest.approx(expected)
    assert intersections(one, other)[0].tolist() == [100, 50, 25, 0, 4, 0]
    assert overlaps(one[:0], other).shape == (0, 6)


def test_overlaps_are_those_of_every_pair():
    one, other = drawn(1, 20), drawn(2, 15)
    expected = [[overlap(a, b) for b in other.tolist()] for a in one.tolist()]
    torch.testing.assert_close(overlaps(one, other), torch.tensor(expected))


def test_offsets_by_hand():
    found = offsets(boxes([0, 0, 10, 20]), boxes([5, 10, 25, 20]))
    assert found[0].tolist() == pytest.approx([1.0, 0.25, 0.6931472, -0.6931472])


def test_offsets_lead_to_what_is_wanted():
    grown = torch.tensor([0, 0, 5, 5])  # none is more than 60 times as large as another
    one, other = drawn(3, 50) + grown, drawn(4, 50) + grown
    torch.testing.assert_close(moved(one, offsets(one, other)), other, atol=1e-3, rtol=1e-4)


def test_no_box_grows_without_bounds():
    assert areas(moved(boxes([0, 0, 10, 10]), torch.tensor([[0.0, 0.0, 50.0, 50.0]]))).item() == pytest.approx(625**2, rel=1e-4)


def test_boxes_end_at_the_image():
    assert clipped(boxes([-5, -6, 50, 60], [3, 4, 5, 6]), 40, 30).tolist() == [[0, 0, 30, 40], [3, 4, 5, 6]]


def test_suppression_by_hand():
    """B overlaps A by a half and C by a half: A drops B, and so C, which only B overlaps, stays."""
    found = boxes([0, 0, 30, 10], [10, 0, 40, 10], [20, 0, 50, 10], [100, 0, 110, 10])
    scores = torch.tensor([0.9, 0.8, 0.7, 0.95])
    assert suppress(found, scores, 0.4).tolist() == [3, 0, 2]
    assert suppress(found, scores, 0.5).tolist() == [3, 0, 1, 2]  # exactly a half is not more
    assert suppress(found, scores, 0.1).tolist() == [3, 0]


@pytest.mark.parametrize("most", [0.05, 0.3, 0.7])
def test_suppression_is_the_greedy_one(most):
    for seed in range(8):
        found = drawn(seed, 120, size=60)
        scores = torch.rand(120, generator=torch.Generator().manual_seed(seed + 100))
        assert suppress(found, scores, most).tolist() == greedy(found, scores, most)


def test_a_long_chain_of_suppressions_ends():
    steps = torch.arange(60.0)
    chain = torch.stack([steps * 4, torch.zeros(60), steps * 4 + 10, torch.full((60,), 10.0)], dim=1)
    scores = torch.linspace(1, 0, 60)
    assert suppress(chain, scores, 0.3).tolist() == greedy(chain, scores, 0.3) == list(range(0, 60, 2))


def test_of_equal_scores_the_first_stays_and_of_none_none():
    same = boxes([0, 0, 10, 10]).expand(5, 4)
    assert suppress(same, torch.ones(5), 0.5).tolist() == [0]
    assert suppress(same[:0], torch.ones(0), 0.5).tolist() == []
