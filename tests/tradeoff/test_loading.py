"""Points of many runs as one table."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import wandb

from dld_spotter.core.errors import DataError
from dld_spotter.tradeoff import Point, TradeOff, load_points, point_rows
from dld_spotter.tradeoff.runs import RunStatus

STATIC = Point("static", "student", 0.5, 0.6, 0.4, 1.0, 2.0, 0.1, scale=1.0, hmean_interval=(0.4, 0.6))
DYNAMIC = Point("dynamic", "student", 0.4, 0.5, 0.3, 0.3, 0.7, 0.05, gamma=0.3)
RESULT = TradeOff("scenes", "rrc", "end_to_end", "none", 9, "TextMapSpotter", None, (STATIC, DYNAMIC))
SETTINGS = {"objective.weights.cost": "0.3", "distillation": "token", "budget": "0.5"}


def write_run(folder, status="completed", settings=SETTINGS, result=RESULT):
    folder.mkdir(parents=True)
    RunStatus(status, "2026-11-30T00:00:00+00:00", settings).write(folder)
    if result is not None:
        result.write(folder / "tradeoff.json")


def test_a_row_for_each_point_with_the_settings_beside_it(tmp_path):
    write_run(tmp_path / "0")
    write_run(tmp_path / "10", settings=SETTINGS | {"objective.weights.cost": "1"})
    write_run(tmp_path / "9", settings=SETTINGS | {"objective.weights.cost": "0.1"})
    write_run(tmp_path / "3", status="failed")
    write_run(tmp_path / "4", status="running", result=None)
    RESULT.write(tmp_path / "tradeoff.json")  # of the sweep, which joins the runs
    frame = load_points(tmp_path)
    assert frame["run"].tolist() == ["0", "0", "9", "9", "10", "10"]
    assert frame["objective.weights.cost"].tolist() == [0.3, 0.3, 0.1, 0.1, 1.0, 1.0]
    first = frame.iloc[0]
    assert (first["distillation"], first["set.budget"], first["hmean_low"], first["hmean_high"]) == ("token", 0.5, 0.4, 0.6)
    assert (first["hmean"], first["gflops"], first["scale"]) == (0.5, 2.0, 1.0)
    assert frame["budget"].isna().all()
    assert frame["gamma"].dropna().tolist() == [0.3] * 3


def test_the_folder_of_a_single_run(tmp_path):
    RESULT.write(tmp_path / "tradeoff.json")
    assert load_points(tmp_path)["method"].tolist() == ["static", "dynamic"]


@pytest.mark.parametrize("source", ["", "wandb:"])
def test_nothing_to_load_is_told(tmp_path, source):
    with pytest.raises(DataError, match="holds no points"):
        load_points(f"{source}{tmp_path}")


def write_table(file, rows):
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}))


def test_offline_runs_of_weights_and_biases(tmp_path):
    for name in ("0", "1"):
        rows = point_rows(name, SETTINGS, RESULT)
        write_table(
            tmp_path / name / "wandb" / "offline-run-1-a" / "files" / "media" / "table" / "tradeoff_5_ab.table.json", rows
        )
    again = tmp_path / "1" / "wandb" / "offline-run-2-b"
    write_table(again / "files/media/table/tradeoff_5_ab.table.json", point_rows("again", SETTINGS, RESULT))
    (tmp_path / "1" / "wandb" / "offline-run-3-c").mkdir()  # which was killed
    frame = load_points(f"wandb:{tmp_path}")
    assert frame["run"].tolist() == ["0", "0", "again", "again"]
    assert frame.iloc[1]["gamma"] == 0.3


def test_a_damaged_table_is_told(tmp_path):
    table = tmp_path / "offline-run-1-a" / "files" / "media" / "table" / "tradeoff_5_ab.table.json"
    write_table(table, [{"a": 1}])
    table.write_text("{")
    with pytest.raises(DataError, match="tradeoff_5_ab"):
        load_points(f"wandb:{tmp_path}")


class Online:
    """Stands for the service: one run with a table, one without."""

    def __init__(self):
        self.asked = None

    def runs(self, path, filters):
        self.asked = (path, filters)
        return [SimpleNamespace(summary={}), SimpleNamespace(summary={"tradeoff": {"path": "media/t.json"}}, file=self.file)]

    def file(self, path):
        def download(root, replace):
            write_table(Path(root) / path, self.rows)

        return SimpleNamespace(download=download)

    rows = point_rows("7", SETTINGS, replace(RESULT, points=(STATIC,)))


def test_online_runs_of_a_group(monkeypatch):
    online = Online()
    monkeypatch.setattr(wandb, "Api", lambda: online)
    frame = load_points("wandb:me/project/sweep")
    assert online.asked == ("me/project", {"group": "sweep"})
    assert frame["run"].tolist() == ["7"]


def test_an_address_that_is_none_is_told():
    with pytest.raises(DataError, match="neither a folder nor ENTITY/PROJECT"):
        load_points("wandb:nowhere")
