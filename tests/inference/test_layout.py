"""Words come out in the order in which people read them."""

import numpy as np
import pytest

from dld_spotter.core.words import Word
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


def test_what_is_in_order_stays_in_order():
    for words in (article(columns=2).words, receipt().words, turned(article(columns=3).words, 5)):
        ordered = [word for block in find_blocks(words) for line in block.lines for word in line.words]
        again = [word for block in find_blocks(ordered) for line in block.lines for word in line.words]
        assert [id(word) for word in again] == [id(word) for word in ordered]


def test_words_along_an_arc_are_one_line():
    words = []
    for number in range(7):
        angle = np.deg2rad(-45 + 15 * number)
        along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        center = np.array([500.0, 600.0]) - 400 * across
        corners = [center + x * along + y * across for x, y in ((-45, -15), (45, -15), (45, 15), (-45, 15))]
        words.append(Word(np.array(corners, np.float32), f"w{number}", 0.9))
    (block,) = find_blocks(words[::-1])
    assert [line.text for line in block.lines] == ["w0 w1 w2 w3 w4 w5 w6"]


def sign(*rows):
    """Words ``(text, left, top, height)`` of a sign, as wide as usual."""
    words = []
    for text, left, top, height in rows:
        right, bottom = left + 0.6 * height * len(text), top + height
        words.append(Word(np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32), text, 0.9))
    return words


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([("NO", 100, 100, 60), ("PARKING", 50, 170, 60), ("BAKERY", 500, 120, 30)], "NO\nPARKING\n\nBAKERY"),
        (
            [("Berlin", 50, 50, 40), ("40", 400, 52, 40), ("Hamburg", 50, 110, 40), ("120", 390, 112, 40)],
            "Berlin 40\nHamburg 120",
        ),
        ([("CAFE", 100, 50, 100), ("open", 120, 170, 30), ("daily", 210, 172, 30)], "CAFE\n\nopen daily"),
        ([("one", 0, 0, 20)], "one"),
        ([], ""),
    ],
)
def test_signs(rows, text):
    assert "\n\n".join(block.text for block in find_blocks(sign(*rows)[::-1])) == text


def test_outlines_without_area_are_kept():
    dot = Word(np.zeros((4, 2), np.float32), "x", 0.0)
    found = find_blocks([dot, Word(np.zeros((6, 2), np.float32), "", 0.0), *sign(("one", 0, 0, 20))])
    assert sorted(word.text for block in found for line in block.lines for word in line.words) == ["", "one", "x"]
    assert all(np.isfinite(line.polygon).all() and 0 <= line.score <= 1 for block in found for line in block.lines)
