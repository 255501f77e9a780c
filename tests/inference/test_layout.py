"""Words come out in the order in which people read them."""

import numpy as np
import pytest

from dld_spotter.inference.layout import find_blocks
from tests.inference.pages import RECEIPT, adjacent_pairs, article, receipt, turned

LEAST = 0.98


def order_of(words):
    """Numbers of the words in reading order, when they are given in any order."""
    mixed = np.random.default_rng(1).permutation(len(words))
    numbers = {id(words[k]): k for k in mixed}
    blocks = find_blocks([words[k] for k in mixed])
    return [numbers[id(word)] for block in blocks for line in block.lines for word in line.words]


def accuracy(words):
    order = order_of(words)
    assert sorted(order) == list(range(len(words)))
    return adjacent_pairs(order, range(len(words)))


@pytest.mark.parametrize("grow", [0, 2])
@pytest.mark.parametrize("degrees", [0, 3, -4, 90, 180, 275])
@pytest.mark.parametrize(
    "page",
    [
        {"columns": 1},
        {"columns": 2},
        {"columns": 2, "gutter": 1.6},
        {"columns": 2, "justified": False},
        {"columns": 3, "gutter": 1.8},
        {"columns": 2, "heading": False, "seed": 3},
    ],
    ids=str,
)
def test_a_page_of_300_words_is_read_column_by_column(page, degrees, grow):
    words = article(**page, grow=grow).words
    assert len(words) == 300
    assert accuracy(turned(words, degrees)) >= LEAST


@pytest.mark.parametrize("grow", [0, 2])
@pytest.mark.parametrize("degrees", [0, 3, -4, 90, 180])
def test_a_receipt_is_read_row_by_row(degrees, grow):
    words = turned(receipt(grow=grow).words, degrees)
    assert accuracy(words) >= LEAST
    found = [line.text for block in find_blocks(words[::-1]) for line in block.lines]
    wrong = [text for text in (" ".join(parts) for parts in RECEIPT) if text not in found]
    assert wrong in ([], ["Date: 04.11.2026 Time: 17:32"])
