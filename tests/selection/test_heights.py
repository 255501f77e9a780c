"""Words by height: the histogram of an image, and the table that is fitted to what was read."""

from itertools import pairwise

import torch

from dld_spotter.core.batches import TextInstances
from dld_spotter.selection.heights import fit_table, histogram
from tests.data.samples import box, turned_box

BINS, SCALES = 4, (0.25, 1.0)
START = torch.full((2, BINS + 1, len(SCALES)), 0.2)


def simulate(images=20_000):
    """Poisson outcomes of a known table, where words of every height are common."""
    torch.manual_seed(0)
    right = torch.tensor([[0.05, 0.4], [0.3, 0.7], [0.6, 0.9], [0.8, 0.8], [0.0, 0.0]])
    false = torch.tensor([[0.3, 0.2], [0.2, 0.1], [0.1, 0.1], [0.05, 0.2], [0.2, 0.5]])
    table = torch.stack([right, false])
    words = torch.randint(0, 3, (images, BINS)).float()
    seen = torch.cat([words, torch.ones(images, 1)], dim=1)
    matched, wrong = (torch.poisson(seen @ rates) for rates in table)
    true = words.sum(1, keepdim=True).expand(-1, len(SCALES))
    return table, words, torch.stack([matched, matched + wrong, true], dim=-1)


def likelihood(table, words, outcomes):
    """Of matched and of false words, up to a constant."""
    seen = torch.cat([words, torch.ones(len(words), 1)], dim=1).double()
    counts = outcomes[..., 0], outcomes[..., 1] - outcomes[..., 0]
    return sum(
        torch.distributions.Poisson(seen @ rates.double() + 1e-12).log_prob(count.double()).sum()
        for rates, count in zip(table, counts, strict=True)
    )


def test_a_known_table_is_recovered():
    table, words, outcomes = simulate()
    torch.testing.assert_close(fit_table(START, words, outcomes, iterations=300), table, atol=0.08, rtol=0)


def test_every_iteration_raises_the_likelihood():
    _, words, outcomes = simulate(200)
    table, reached = START, []
    for _ in range(20):
        reached.append(float(likelihood(table, words, outcomes)))
        table = fit_table(table, words, outcomes, iterations=1, prior=0)
        assert (table >= 0).all()
    assert all(after >= before - 1e-3 for before, after in pairwise(reached))
    assert reached[-1] > reached[0] + 50
    torch.testing.assert_close(fit_table(START, words, outcomes, 20, prior=0), table)


def test_heights_never_seen_take_after_their_neighbours():
    table, words, outcomes = simulate()
    words[:, 2:] = 0
    seen = torch.cat([words, torch.ones(len(words), 1)], dim=1)
    outcomes[..., 0] = torch.poisson(seen @ table[0])
    outcomes[..., 1] = outcomes[..., 0] + torch.poisson(seen @ table[1])
    fitted = fit_table(START, words, outcomes, iterations=300)
    torch.testing.assert_close(fitted[:, :2], table[:, :2], atol=0.06, rtol=0)
    for unseen in (2, 3):
        torch.testing.assert_close(fitted[:, unseen], fitted[:, 1], atol=0.02, rtol=0)


def test_nothing_seen_leaves_a_finite_table():
    none = torch.zeros(3, BINS), torch.zeros(3, len(SCALES), 3)
    fitted = fit_table(START, *none)
    assert fitted.isfinite().all()
    assert (fitted >= 0).all()


def test_half_precision_does_not_blur_the_table():
    _, words, outcomes = simulate(200)
    with torch.autocast("cpu", torch.bfloat16):
        fitted = fit_table(START, words, outcomes)
    torch.testing.assert_close(fitted, fit_table(START, words, outcomes), rtol=0, atol=0)


def test_histogram_by_hand():
    """Heights 2, 5, 30 and 90 pixels, an ignored word, and one of height 5 that is turned."""
    words = [box(0, 0, 50, 2), box(0, 9, 50, 5), box(0, 20, 9, 30), box(0, 60, 99, 90), box(0, 0, 40, 12)]
    words.append(turned_box(50, 50, 40, 5, 60))
    instances = TextInstances.of(words, ["a"] * 6, [False] * 4 + [True, False])
    edges = torch.tensor([4.0, 8.0, 16.0, 32.0])
    assert histogram(instances, edges).tolist() == [1, 2, 0, 1, 1]
    assert histogram(TextInstances.of([], []), edges).tolist() == [0] * 5
    assert histogram(instances.scaled(4, 4), edges).tolist() == [0, 1, 0, 2, 2]
