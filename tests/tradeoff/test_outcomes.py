from dataclasses import replace

import numpy as np
import pytest

from dld_spotter.core.errors import DataError
from dld_spotter.tradeoff import Outcomes, Overhead, chosen, hmean, precision, recall, spend


def test_counts_and_costs_by_hand(worked):
    totals = spend(worked, chosen(worked, np.array([1, 0])), Overhead(0.01, 0.5, 0.02)).sum(0)
    assert totals.tolist() == pytest.approx([7, 7, 8, 1.25 + 0.02, 12.5 + 1, 0.3 + 0.04])
    assert float(precision(totals)) == 1
    assert float(recall(totals)) == pytest.approx(7 / 8)
    assert float(hmean(totals)) == pytest.approx(14 / 15)


def test_nothing_predicted_and_nothing_true_count_zero():
    assert hmean(np.zeros(6)) == precision(np.zeros(6)) == recall(np.zeros(6)) == 0


def test_a_file_keeps_everything(worked, tmp_path):
    worked.save(tmp_path / "outcomes.npz")
    loaded = Outcomes.load(tmp_path / "outcomes.npz")
    assert (loaded.names, loaded.scales) == (worked.names, worked.scales)
    np.testing.assert_array_equal(loaded.totals, worked.totals)
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
