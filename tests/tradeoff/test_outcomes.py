from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dld_spotter.core.errors import DataError
from dld_spotter.tradeoff import MEASURES, Measures, Outcomes, chosen, spend

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def test_counts_and_costs_by_hand(worked):
    totals = spend(worked, chosen(worked, np.array([1, 0]))).plus(0.01, 0.5, 0.02).sum()
    assert totals.values.tolist() == pytest.approx([7, 7, 8, 1.25 + 0.02, 12.5 + 1, 0.3 + 0.04])
    assert float(totals.hmean) == pytest.approx(14 / 15)


def test_a_file_keeps_everything(worked, tmp_path):
    worked.save(tmp_path / "outcomes.npz")
    loaded = Outcomes.load(tmp_path / "outcomes.npz")
    assert (loaded.names, loaded.scales) == (worked.names, worked.scales)
    np.testing.assert_array_equal(loaded.measures.values, worked.measures.values)
    assert loaded.matched.dtype == worked.matched.dtype


def test_other_files_are_refused_by_name(tmp_path):
    (tmp_path / "text.npz").write_text("no table")
    np.savez(tmp_path / "other.npz", scales=np.ones(2))
    for name in ("absent", "text", "other"):
        with pytest.raises(DataError, match=rf"{name}\.npz is no table of outcomes"):
            Outcomes.load(tmp_path / f"{name}.npz")


def test_shapes_and_order_are_checked(worked):
    with pytest.raises(DataError, match=r"outcomes\.matched must have shape \(2, 2\)"):
        replace(worked, matched=np.zeros((2, 3)))
    with pytest.raises(DataError, match="ascending"):
        replace(worked, scales=(1.0, 0.5))


def test_measures_make_a_table_and_a_table_has_measures(worked):
    again = Outcomes.of(worked.names, worked.scales, worked.measures)
    assert again.matched.dtype == worked.matched.dtype
    for measure in MEASURES:
        np.testing.assert_array_equal(getattr(again, measure), getattr(worked, measure))
        np.testing.assert_array_equal(getattr(worked.measures, measure), getattr(worked, measure))


def test_what_a_table_lends_is_not_changed(worked):
    with pytest.raises(ValueError, match="read-only"):
        worked.measures.values[0, 0, 3] += 1
    assert spend(worked, chosen(worked, np.array([0, 0]))).plus(1.0).relative_cost.tolist() == [1.25, 1.25]
    assert worked.measures.relative_cost.tolist() == worked.relative_cost.tolist()


@pytest.mark.parametrize(
    "path", sorted(EXPERIMENTS.glob("*/outcomes_*.npz")), ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_tables_of_earlier_studies_can_be_read(path):
    table = Outcomes.load(path)
    assert table.measures.shape == (len(table.names), len(table.scales))
    assert (table.measures.mean().hmean > 0).all()


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*/dynamic_*.npz")), ids=lambda path: path.stem)
def test_dynamic_measures_of_earlier_studies_can_be_read(path):
    with np.load(path, allow_pickle=False) as kept:
        measures = Measures(kept["totals"])
        assert measures.shape == (len(kept["gammas"]), len(kept["names"]))
    assert (measures.relative_cost > 0).all()
