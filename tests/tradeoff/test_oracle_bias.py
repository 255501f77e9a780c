import json
from dataclasses import fields, replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from dld_spotter.core.bootstrap import resample
from dld_spotter.core.errors import DataError
from dld_spotter.tradeoff import OracleBias, Outcomes, bias_over, bias_table, oracle_bias

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def table(matched):
    """Two images of one word, read at two scales; one word is always predicted."""
    ones = np.ones((2, 2), int)
    cost = ones * [0.25, 1.0]
    return Outcomes(("a", "b"), (0.5, 1.0), np.array(matched), ones, ones, cost, cost, cost)


def test_pure_bias_by_hand():
    # Each reading has one right and one wrong scale per image, the other reading the opposite: nothing can be known.
    first, second = table([[1, 0], [0, 1]]), table([[0, 1], [1, 0]])
    found = oracle_bias(first, second, 0.625, resample(2, 50))
    assert (found.hmean, found.again, found.bias.value) == (1, 0, 1)
    assert found.share == pytest.approx(2)  # the random policy gives 1/2; what was chosen is worse than that
    assert found.bias[1:] == pytest.approx((1, 1))


def test_half_bias_by_hand():
    # The first image always gains from the high scale; the second reads right at the low one by chance.
    first, second = table([[0, 1], [1, 0]]), table([[0, 1], [0, 1]])
    found = oracle_bias(first, second, 1.0, resample(2, 50))
    # Own: 1 and 1. Crossed: the first one's choices on the second table 1/2, the second one's on the first 1/2.
    assert (found.hmean, found.again, found.bias.value) == (1, 0.5, 0.5)
    # Random policy: 1/2 on the first, 1 on the second.
    assert found.share == pytest.approx(0.5 / 0.25)


def test_no_bias_where_nothing_differs(random_table):
    outcomes = random_table(40, 4)
    for row in bias_over(outcomes, outcomes, [0.01, 0.4, 0.7], resample(40, 30)):
        assert row.budget > 0.01  # which cannot be met
        assert row.bias == (0, 0, 0)
        assert row.share == 0
        assert row.hmean == row.again


def test_noise_is_bias(random_table):
    # The scales of these tables differ by chance alone; the other table is drawn anew for the same words.
    rng, first = np.random.default_rng(0), random_table(300, 4)
    matched = [rng.binomial(first.true, 0.5) for _ in range(2)]
    tables = [replace(first, matched=counts, predicted=first.true) for counts in matched]
    found = oracle_bias(*tables, 0.6, resample(300, 200))
    assert found.bias.low > 0.1
    assert found.again == pytest.approx(0.5, abs=0.03)  # as any choice would give
    assert found.share == pytest.approx(1, abs=0.25)


def test_other_images_are_refused(random_table):
    with pytest.raises(DataError, match="same images"):
        oracle_bias(random_table(4, 2), random_table(5, 2), 0.5, resample(4, 5))


def test_the_table_fits_a_terminal():
    rows = bias_over(table([[1, 0], [0, 1]]), table([[0, 1], [1, 0]]), [0.625], resample(2, 20))
    console = Console(file=StringIO(), width=80)
    console.print(bias_table(rows))
    text = console.file.getvalue()
    assert "…" not in text
    assert "+100.0" in text
    assert "200 %" in text


def test_the_file_of_the_lab_book_has_the_form_that_is_written_today():
    content = json.loads((EXPERIMENTS / "17_second_pass" / "oracle_bias_scenes_val.json").read_text("utf-8"))
    rows = [row for part in content.values() for row in part]
    assert rows
    assert all(set(row) == {field.name for field in fields(OracleBias)} for row in rows)
    assert all(row["bias"][0] == pytest.approx(row["hmean"] - row["again"]) for row in rows)
