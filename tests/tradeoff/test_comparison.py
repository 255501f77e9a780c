import json
from dataclasses import asdict
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from dld_spotter.tradeoff import chosen, compare, comparison_tables, random_mix, spend, static

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def rows(worked):
    """The right choice for both images, and the cheap scale for both with something taken off."""
    right = spend(worked, chosen(worked, np.array([1, 0]))).plus(relative_cost=0.125)
    cheap = spend(worked, static(worked, 0.5)).plus(relative_cost=-0.1)
    return compare(worked, worked, {0.1: right, 0.2: cheap}, resamples=50, control=worked)


def test_a_comparison_by_hand(rows):
    right, cheap = rows
    assert (right.gamma, right.relative_cost) == (0.1, 0.75)
    assert right.hmean == pytest.approx(14 / 15)
    assert right.share_of_teacher.value == pytest.approx((14 / 15) / (7 / 8))
    # Random policy at 0.75: one third at the cheap scale, two thirds at the costly one: 2 * 17/3 / (20/3 + 8) = 17/22.
    assert right.over_mix.value == pytest.approx(14 / 15 - 17 / 22)
    curve = 1 / 2 + (7 / 8 - 1 / 2) * np.log(3) / np.log(4)
    assert right.over_static.value == right.over_vanilla.value == right.over_control.value == pytest.approx(14 / 15 - curve)
    assert right.vanilla == right.control == right.best_static == pytest.approx(curve)
    assert (right.random, right.oracle) == (pytest.approx(17 / 22), pytest.approx(14 / 15))
    assert right.gap_closed.value == pytest.approx(1)
    assert (cheap.relative_cost, cheap.hmean) == (pytest.approx(0.15), 0.5)


def test_what_costs_less_than_every_scale_is_held_against_nothing(rows):
    _, cheap = rows
    for estimate in (cheap.over_vanilla, cheap.over_control, cheap.over_static, cheap.over_mix, cheap.gap_closed):
        assert np.isnan(estimate).all()
    assert np.isnan([cheap.vanilla, cheap.control, cheap.best_static, cheap.random, cheap.oracle]).all()


def test_the_random_policy_is_no_better_than_itself(random_table):
    outcomes = random_table(40, 4)
    own = spend(outcomes, random_mix(outcomes, 0.6))
    (row,) = compare(outcomes, outcomes, {1.0: own}, resamples=50)
    assert row.over_mix.value == pytest.approx(0)
    assert row.gap_closed.value == pytest.approx(0, abs=1e-6)


def test_the_table_fits_a_terminal(rows):
    console = Console(file=StringIO(), width=80)
    console.print(*comparison_tables(rows))
    text = console.file.getvalue()
    assert "…" not in text
    assert "nan" not in text
    for expected in ("vanilla", "control", "static", "oracle", "vs random", "93.3", "1.067", "+16.1", "100 %", "-"):
        assert expected in text


def test_without_a_control_the_table_has_no_column_for_it(worked):
    own = spend(worked, static(worked, 1.0))
    (row,) = compare(worked, worked, {0.1: own}, resamples=50)
    assert (row.control, row.over_control) == (None, None)
    console = Console(file=StringIO(), width=80)
    console.print(*comparison_tables([row]))
    assert "control" not in console.file.getvalue()


@pytest.mark.parametrize(
    "path", sorted(EXPERIMENTS.glob("*/comparison*.json")), ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_files_of_earlier_studies_have_entries_of_now(path, rows):
    own = json.loads(json.dumps(asdict(rows[0])))
    for row in json.loads(path.read_text()):
        assert set(row) <= set(own)
        assert all(isinstance(value, list) == isinstance(own[name], list) for name, value in row.items())
