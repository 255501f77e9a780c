"""The figures that the official scripts print for whole archives."""

import json
from pathlib import Path

import pytest

from dld_spotter.score import ScoreConfig, score

PARITY = Path(__file__).parents[3] / "shared" / "data" / "parity"
TOLERANCE = {"rrc": 1e-9, "totaltext": 1e-9, "davar": 5.1e-5}


def _cases():
    if not PARITY.is_dir():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"no {PARITY}"))]
    rows = json.loads((PARITY / "expected.json").read_text())
    return [pytest.param(row, id="-".join((row["protocol"], row["task"], row["preds"]))) for row in rows]


@pytest.mark.parametrize("row", _cases())
def test_equals_the_official_script(row):
    cfg = ScoreConfig(str(PARITY / row["gt"]), str(PARITY / row["preds"]), row["protocol"], row["task"], iou=row["iou"])
    result = score(cfg)
    expected = {key: row[key] for key in ("precision", "recall", "hmean")}
    assert {key: result[key] for key in expected} == pytest.approx(expected, abs=TOLERANCE[row["protocol"]])
