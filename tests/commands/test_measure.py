"""Measuring an engine, as a user does."""

import json
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from PIL import Image

from dld_spotter import measure
from dld_spotter.config.entry import ROOT
from dld_spotter.core.errors import CheckpointError, ConfigError, DataError
from dld_spotter.evaluation import report
from dld_spotter.tradeoff import Outcomes, TradeOff
from tests.data.samples import box, sample
from tests.inference.engines.drawn import DrawnEngine
from tests.small import SCALES
from tests.trained import make_checkpoint

SIZES = ((64, 96), (96, 128))
LINES = ((box(10, 20, 70, 16),), (box(12, 40, 98, 20), box(12, 70, 98, 20)))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two images with lines that read ``cat dog``; the truth knows them by their words."""
    for name in ("images", "gts"):
        (tmp_path / name).mkdir()
    for number, (size, lines) in enumerate(zip(SIZES, LINES, strict=True)):
        Image.fromarray(sample(*size, lines).image).save(tmp_path / "images" / f"img_{number}.png")
        rows = [word_row(line, *word) for line in lines for word in ((0, 3, "cat"), (4, 7, "dog"))]
        (tmp_path / "gts" / f"gt_img_{number}.txt").write_text("\n".join(rows))
    return tmp_path


def word_row(line: np.ndarray, first: int, last: int, text: str) -> str:
    """A line of ground truth for the characters from ``first`` to ``last`` of seven."""
    (left, top), (right, bottom) = line[0], line[2]
    start, end = (round(left + (right - left) * place / 7) for place in (first, last))
    return ",".join(str(int(value)) for value in (start, top, end, top, end, bottom, start, bottom)) + f",{text}"


def config(photos: Path, *overrides: str, engine: str | None = "tests.inference.engines.drawn.DrawnEngine") -> DictConfig:
    given = ["data=icdar2015", f"data.root={photos}", "data.workers=0", "resamples=20", *overrides]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        composed = compose("measure", overrides=given)
    if engine:
        composed.engine = {"_target_": engine}
    return composed


def test_tables_of_an_earlier_run_are_not_read_again(photos: Path, monkeypatch: pytest.MonkeyPatch):
    checkpoint = make_checkpoint(photos / "student.ckpt")
    measure.run(config(photos, f"ckpt={checkpoint}", engine=None), photos / "first")
    monkeypatch.setattr(report, "measure", lambda *_: pytest.fail("read once more"))
    known = f"outcomes={photos / 'first'}"
    measure.run(config(photos, f"ckpt={checkpoint}", known, engine=None), photos / "second")
    first, second = (TradeOff.read(photos / name / "tradeoff.json").points for name in ("first", "second"))
    assert [point for point in first if point.method != "dynamic"] == [point for point in second if point.method != "dynamic"]
    assert [point.hmean for point in first] == [point.hmean for point in second]
    assert (photos / "second" / "comparison.json").is_file()
    for wrong, message in (("scales=[0.5,1.0]", "has the scales"), ("jitter=1", "leave out one of them")):
        with pytest.raises(ConfigError, match=message):
            measure.run(config(photos, f"ckpt={checkpoint}", known, wrong, engine=None), photos / "third")
    (photos / "images" / "img_0.png").unlink()
    (photos / "gts" / "gt_img_0.txt").unlink()
    with pytest.raises(DataError, match="1 images that the data set lacks, such as img_0"):
        measure.run(config(photos, f"ckpt={checkpoint}", known, engine=None), photos / "third")


def test_operating_points_stand_beside_mix_and_oracle(photos: Path, capsys: pytest.CaptureFixture):
    checkpoint = make_checkpoint(photos / "student.ckpt", selector=False, operating_points=True)
    measure.run(config(photos, f"ckpt={checkpoint}", engine=None), photos / "out")
    points = TradeOff.read(photos / "out" / "tradeoff.json").select("dynamic")
    assert sorted(point.gamma for point in points) == pytest.approx([0.01, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6])
    spent = {point.gamma: point.gflops for point in points}
    once = Outcomes.load(photos / "out" / "outcomes_student.npz")
    assert spent[0.05] == pytest.approx(once.gflops[:, -1].mean())  # the last point is one pass over the reference
    assert spent[0.8] > once.gflops[:, 0].mean()  # the first pass of the first one is followed by a second
    with np.load(photos / "out" / "dynamic_student.npz", allow_pickle=False) as kept:
        assert kept["names"].tolist() == list(once.names)
        assert dict(zip(kept["gammas"].tolist(), kept["totals"][..., 4].mean(1), strict=True)) == pytest.approx(spent)
    assert {row["gamma"] for row in json.loads((photos / "out" / "comparison.json").read_text())} == set(spent)
    measure.run(config(photos, f"ckpt={checkpoint}", "scales=[0.5,1.0]", engine=None), photos / "less")
    assert "no dynamic points" in capsys.readouterr().out
    assert not TradeOff.read(photos / "less" / "tradeoff.json").select("dynamic")


def test_a_second_pass_stands_beside_fixed_scales(photos: Path):
    checkpoint = make_checkpoint(photos / "student.ckpt")
    often = ["two_pass=true", "second_pass.threshold=0.01", "second_pass.gain_threshold=0"]
    measure.run(config(photos, f"ckpt={checkpoint}", *often, engine=None), photos / "out")
    once, twice = (Outcomes.load(photos / "out" / f"outcomes_{name}.npz") for name in ("student", "two_pass"))
    np.testing.assert_array_equal(once.matched[:, -1], twice.matched[:, -1])  # the reference is read once
    np.testing.assert_allclose(once.gflops[:, -1], twice.gflops[:, -1])
    assert (twice.gflops[:, :-1] > once.gflops[:, :-1]).all()
    models = {point.model for point in TradeOff.read(photos / "out" / "tradeoff.json").points}
    assert models == {"student", "two_pass"}


def test_an_engine_leaves_what_our_models_leave(photos: Path):
    measure.run(config(photos, "scales=[0.5,1.0]", "jitter=1"), photos / "out")
    table = Outcomes.load(photos / "out" / "outcomes_drawn.npz")
    assert table.scales == (0.5, 1.0)
    assert table.true.tolist() == [[2, 2], [4, 4]]
    assert table.matched[:, 1].tolist() == [2, 4]
    padded = [[(32 * 64) / (64 * 96), 1], [(64 * 64) / (96 * 128), 1]]
    np.testing.assert_allclose(table.relative_cost, padded)
    assert np.isnan(table.gflops).all()
    assert (table.seconds > 0).all()
    trade_off = TradeOff.read(photos / "out" / "tradeoff.json")
    assert trade_off.spotter == "drawn 1.2, relative cost by area"
    assert [(point.model, point.scale, point.gflops) for point in trade_off.select("static")] == [
        ("drawn", 0.5, None),
        ("drawn", 1.0, None),
    ]
    assert trade_off.select("static")[1].hmean == 1
    assert {point.model for method in ("random_mix", "oracle") for point in trade_off.select(method)} == {"drawn"}
    for left in ("tradeoff.png", "oracle_bias.json", "outcomes_drawn_again.npz"):
        assert (photos / "out" / left).stat().st_size > 0


def test_the_engine_is_warm_before_it_is_timed(photos: Path, monkeypatch: pytest.MonkeyPatch):
    shapes = []
    read = DrawnEngine.read
    monkeypatch.setattr(DrawnEngine, "read", lambda self, image: shapes.append(image.shape[:2]) or read(self, image))
    measure.run(config(photos, "scales=[0.5,1.0]"), photos / "out")
    assert shapes == [(32, 48), (64, 96)] * 2 + [(48, 64), (96, 128)]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("ckpt=other.ckpt", r"ckpt=other\.ckpt and engine=drawn exclude each other"),
        ("parts=[student]", r"parts=\['student'\] and engine=drawn exclude each other"),
        ("device=cuda", "device=cuda and engine=drawn exclude each other"),
        ("scales=null", r"engine=drawn has none of its own; give such as scales=\[0\.5,1\.0\]"),
        ("scales=[0.5]", "hold 1.0"),
    ],
)
def test_what_only_a_checkpoint_has_is_refused(photos: Path, override: str, message: str):
    with pytest.raises(ConfigError, match=message):
        measure.run(config(photos, override), photos / "out")


def test_without_an_engine_a_checkpoint_is_measured(photos: Path):
    with pytest.raises(CheckpointError, match=r"absent\.ckpt does not exist"):
        measure.run(config(photos, "engine=none", "ckpt=absent.ckpt", engine=None), photos / "out")


def test_verbose_shows_what_each_part_costs(photos: Path, capsys: pytest.CaptureFixture[str]):
    ckpt = make_checkpoint(photos / "student.ckpt")
    settings = config(photos, f"ckpt={ckpt}", "verbose=true", "images=1", f"paths.output_dir={photos / 'out'}", engine=None)
    measure.run(settings, photos / "out")
    shown = [line.split() for line in capsys.readouterr().out.partition("GFLOP (1e9")[2].splitlines()]
    rows = {line[0]: np.array(line[1:], float) for line in shown if len(line) == 1 + len(SCALES)}
    parts = [rows[name] for name in ("Backbone", "FeaturePyramid", "TextMapHead", "policy")]
    words = [rows[f"Recognizer.{name}"] for name in ("encoder", "attention", "ctc")]
    assert np.allclose(np.sum(parts + words, axis=0), rows["all"], atol=0.004)
    assert len(rows["all"]) == len(SCALES)
