import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from dld_spotter.core.bootstrap import resample
from dld_spotter.core.errors import DataError
from dld_spotter.tradeoff import (
    Point,
    TradeOff,
    chosen,
    cost_grid,
    mix_points,
    oracle_points,
    plot,
    spend,
    static_points,
    table,
)

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def trade_off(worked):
    resamples = resample(2, 50)
    dynamic = spend(worked, chosen(worked, np.array([1, 0]))).plus(0.01, 0.1, 0.001)
    points = [
        *static_points(worked, "student", resamples),
        Point.of("dynamic", "student", dynamic, resamples, gamma=0.1),
        *mix_points(worked, "student", [0.625], resamples),
        *oracle_points(worked, "student", [0.625], resamples),
    ]
    return TradeOff("scenes", "rrc", "end_to_end", "none", 2, "fpn", None, tuple(points))


def test_points_by_hand(trade_off):
    static = trade_off.select("static")
    assert [(point.scale, point.relative_cost, point.gflops, point.seconds) for point in static] == [
        (0.5, 0.25, 2.5, 0.1),
        (1.0, 1.0, 10.0, 0.2),
    ]
    assert [(point.hmean, point.precision, point.recall) for point in static] == [(0.5, 0.75, 0.375), (0.875, 0.875, 0.875)]
    # Two images: a resample is the first twice, the second twice, or both.
    assert static[1].hmean_interval == pytest.approx((0.75, 1.0))
    (dynamic,) = trade_off.select("dynamic", "student")
    assert (dynamic.gamma, dynamic.budget, dynamic.scale) == (0.1, None, None)
    assert (dynamic.relative_cost, dynamic.gflops, dynamic.seconds) == pytest.approx((0.635, 6.35, 0.151))
    assert trade_off.select("oracle")[0].hmean > trade_off.select("random_mix")[0].hmean
    assert trade_off.select("static", "teacher") == []


def test_the_file_has_the_promised_form(trade_off, tmp_path):
    trade_off.write(tmp_path / "tradeoff.json")
    content = json.loads((tmp_path / "tradeoff.json").read_text())
    assert set(content) == {"dataset", "protocol", "task", "lexicon", "images", "spotter", "commit", "points"}
    promised = {"method", "scale", "gamma", "budget", "hmean", "precision", "recall", "relative_cost", "gflops", "seconds"}
    for point in content["points"]:
        assert set(point) == promised | {"hmean_interval", "model"}
    assert content["points"][0]["gamma"] is None
    assert TradeOff.read(tmp_path / "tradeoff.json") == trade_off


@pytest.mark.parametrize(
    "path", sorted(EXPERIMENTS.glob("*/tradeoff*.json")), ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_trade_offs_of_earlier_studies_can_be_read(path, tmp_path):
    result = TradeOff.read(path)
    assert result.points
    result.write(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads(path.read_text())


def test_runs_are_joined_when_they_were_scored_alike(trade_off):
    other = replace(trade_off, points=(trade_off.points[0], replace(trade_off.points[1], model="control")))
    joined = TradeOff.join([trade_off, other])
    assert joined.points == (*trade_off.points, other.points[1])
    with pytest.raises(DataError, match="protocol davar and rrc cannot be joined"):
        TradeOff.join([trade_off, replace(other, protocol="davar")])


def test_a_grid_of_costs_spans_the_scales_evenly_in_the_logarithm(worked):
    assert cost_grid(worked, 3).tolist() == pytest.approx([0.25, 0.5, 1.0])
    assert len(oracle_points(worked, "student", cost_grid(worked), resample(2, 5))) == 24


def test_other_files_are_refused_by_name(tmp_path):
    (tmp_path / "cut.json").write_text('{"dataset": ')
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "latin.json").write_bytes(b'"\xe9"')
    for name in ("absent", "cut", "deep", "latin"):
        with pytest.raises(DataError, match=rf"{name}\.json cannot be read as JSON .*; write it with TradeOff\.write"):
            TradeOff.read(tmp_path / f"{name}.json")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"hmean": "high"}, "expected a number, found 'high') at points[0].hmean"),
        ({"hmean": None}, "expected a number, found None) at points[0].hmean"),
        ({"method": "fixed"}, "expected one of static, dynamic, random_mix, oracle, found 'fixed') at points[0].method"),
        ({"hmean_interval": [0.5]}, "expected 2 values, found 1) at points[0].hmean_interval"),
    ],
)
def test_damaged_points_are_told(trade_off, tmp_path, change, told):
    content = trade_off.to_dict()
    content["points"][0] |= change
    (tmp_path / "wrong.json").write_text(json.dumps(content))
    with pytest.raises(DataError) as caught:
        TradeOff.read(tmp_path / "wrong.json")
    assert str(caught.value).startswith(str(tmp_path / "wrong.json"))
    assert told in str(caught.value)


def test_what_other_tools_add_is_left_out_and_what_lacks_is_told(trade_off, tmp_path):
    content = trade_off.to_dict()
    content["points"][0] |= {"colour": "red"}
    (tmp_path / "more.json").write_text(json.dumps(content | {"author": "someone"}))
    assert TradeOff.read(tmp_path / "more.json") == trade_off
    del content["points"][0]["model"]
    (tmp_path / "less.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"less\.json holds a damaged or older TradeOff \(no entry model\) at points\[0\]"):
        TradeOff.read(tmp_path / "less.json")


def test_a_picture_with_all_lines(trade_off, tmp_path):
    plot(trade_off.points, tmp_path / "tradeoff.png", "Scenes")
    picture = np.asarray(Image.open(tmp_path / "tradeoff.png").convert("RGB")).astype(int)
    assert picture.shape[1] > 1000
    red = (picture - [193, 39, 45] == 0).all(-1).sum()
    assert red > 50
    plot([], tmp_path / "empty.svg")
    assert (tmp_path / "empty.svg").stat().st_size > 0


def test_the_table_fits_a_terminal(trade_off):
    console = Console(file=StringIO(), width=80)
    console.print(table(trade_off.points))
    text = console.file.getvalue()
    assert "…" not in text
    methods = ("fixed scale", "random policy", "oracle", "dynamic")
    for expected in (*methods, "scale 0.5", "gamma 0.1", "87.5", "75.0-100.0", "0.635"):
        assert expected in text
