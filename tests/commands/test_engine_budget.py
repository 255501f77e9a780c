"""An engine under a budget, from the shell: a policy is learnt from a folder of photos, and photos are read with it."""

import json
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from PIL import Image

from dld_spotter import fit_selector
from dld_spotter.config import engine_policy
from dld_spotter.config.entry import ROOT
from dld_spotter.core.errors import ConfigError
from dld_spotter.predict import main
from dld_spotter.selection.sizes.outcomes import EngineOutcomes, Way
from dld_spotter.selection.sizes.policy import SizePolicy
from tests.data.samples import box, sample
from tests.inference.engines.drawn import DrawnEngine

ENGINE = "+engine._target_=tests.inference.engines.drawn.DrawnEngine"
SIZES = ("sizes=[40,80,160]", "second_passes=[80]", "images=12")
TRUTH = "10,20,40,20,40,36,10,36,cat\n50,20,80,20,80,36,50,36,dog\n"


def photo() -> Image.Image:
    return Image.fromarray(sample(96, 160, [box(10, 20, 70, 16)], ["cat dog"]).image)


def config(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("fit_selector", [ENGINE, *SIZES, *overrides])


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A place for latencies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    (root / "images").mkdir()
    (root / "gts").mkdir()
    for k in range(16):
        photo().save(root / "images" / f"img_{k}.png")
        (root / "gts" / f"gt_img_{k}.txt").write_text(TRUTH)
    return root


@pytest.fixture(scope="module")
def fitted(photos, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fitted")
    return fit_selector.run(config("data=folder", f"data.root={photos}"), folder)


@pytest.fixture
def predict(tmp_path, monkeypatch, capsys):
    """Run the command with the engine; returns its exit status, lines and stderr."""

    def run(*arguments):
        given = [ENGINE, f"paths.output_dir={tmp_path / 'output'}", "draw=false", "out=-", *arguments]
        monkeypatch.setattr(sys, "argv", ["predict", *given])
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        return status, [json.loads(line) for line in out.splitlines()], err

    return run


def test_a_policy_is_learnt_from_readings_in_every_way(fitted):
    policy = SizePolicy.load(fitted)
    assert policy.table.engine == "drawn 1.2 (min_score=0.0)"
    assert policy.ways == (Way(40), Way(80), Way(160), Way(80, 2.0))
    outcomes = EngineOutcomes.load(fitted.with_name("outcomes_drawn.npz"))
    assert outcomes.matched.shape == (12, 4)
    assert (outcomes.true == 2).all()
    assert (outcomes.matched[:, 2] == 2).all()
    assert (outcomes.again[:, :3] == 0).all()
    assert (outcomes.seconds > 0).all()


def test_readings_are_not_repeated(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr(engine_policy, "read", lambda *_: pytest.fail("read once more"))
    table = fitted.with_name("outcomes_drawn.npz")
    twice = fit_selector.run(config(f"outcomes=[{table},{table}]"), tmp_path)
    assert len(SizePolicy.load(twice).table.anchors) == 24
    with pytest.raises(ConfigError, match=r"give sizes= of the table"):
        fit_selector.run(config(f"outcomes={table}", "sizes=[80,160]"), tmp_path)


def test_what_was_read_is_gone_on_with(fitted, photos, monkeypatch):
    before = EngineOutcomes.load(fitted.with_name("outcomes_drawn.npz"))
    monkeypatch.setattr(DrawnEngine, "read", lambda *_: pytest.fail("read once more"))
    fit_selector.run(config("data=folder", f"data.root={photos}", "resume=true"), fitted.parent)
    after = EngineOutcomes.load(fitted.with_name("outcomes_drawn.npz"))
    assert [getattr(after, each.name).tolist() for each in fields(after) if each.name not in ("engine", "version")] == [
        getattr(before, each.name).tolist() for each in fields(before) if each.name not in ("engine", "version")
    ]
    with pytest.raises(ConfigError, match="was read with other settings"):
        fit_selector.run(config("data=folder", f"data.root={photos}", "resume=true", "sizes=[80,160]"), fitted.parent)


def test_a_budget_goes_on_where_it_was(fitted, predict, photos, tmp_path):
    def spent(err):
        return err.rpartition("budget_ms=300: ")[2]

    out = tmp_path / "words.jsonl"
    given = (f"policy={fitted}", "budget_ms=300", f"input={photos / 'images'}", f"out={out}")
    assert predict(*given)[0] == 0
    lines = out.read_text().splitlines(keepends=True)
    out.write_text("".join(lines[:9]))
    status, _, err = predict(*given)
    assert (status, "7 of 16 images read, 9 were there before" in err) == (0, True)
    mean = sum(json.loads(line)["seconds"] for line in out.read_text().splitlines()) / 16
    assert spent(err).startswith(f"{1000 * mean:.3g} ms spent per image")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("sizes=[160,80]", "must be ascending"),
        ("second_passes=[90]", "holds 90, which sizes="),
        ("images=0", "images=0 must be a whole number"),
        ("alike=lines", "alike=lines must be one of"),
    ],
)
def test_a_wrong_setting_is_told(photos, tmp_path, given, message):
    with pytest.raises(ConfigError, match=message):
        fit_selector.run(config("data=folder", f"data.root={photos}", given), tmp_path)


def test_without_an_engine_the_command_for_students_is_named(tmp_path):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        given = compose("fit_selector", [])
    with pytest.raises(ConfigError, match=r"give engine=NAME, or for a student fit_operating_points ckpt=FILE"):
        fit_selector.run(given, tmp_path)


def test_mixed_files_are_read_within_a_budget_and_a_damaged_one_is_counted(fitted, predict, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    for k in range(9):
        photo().resize((160 + 40 * k, 96 + 24 * k)).save(folder / f"photo_{k}.{('png', 'jpg', 'bmp')[k % 3]}")
    (folder / "broken.jpg").write_bytes(b"no photo")
    status, lines, err = predict(f"policy={fitted}", "budget_ms=300", f"input={folder}")
    assert status == 1
    assert "broken.jpg" in err
    assert "1 of 10 images could not be read" in err
    assert "budget_ms=300" in err
    assert len(lines) == 9
    assert all([word["text"] for word in line["words"]] == ["cat", "dog"] for line in lines)
    assert all(abs(line["words"][0]["polygon"][0][0] - 10 * line["width"] / 160) < 8 for line in lines)


def test_an_engine_reads_without_a_policy_at_a_scale(predict, photos):
    status, (line,), _ = predict("scale=2", f"input={photos / 'images' / 'img_0.png'}")
    assert (status, line["scale"], line["gflops"]) == (0, 2.0, None) or line["gflops"] != line["gflops"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["+engine.threads=0"], "engine.threads=0 must be a whole number"),
        (["ckpt=other.ckpt"], "ckpt=other.ckpt and engine=drawn exclude each other"),
        (["budget_ms=80"], "budget_ms=80 needs a selector"),
        (["policy=absent.json"], "policy=absent.json cannot be read"),
        (["policy={fitted}", "budget=0.3"], "budget=0.3 cannot be asked of an engine"),
        (["policy={fitted}", "+engine.text=bird"], ""),
    ],
)
def test_what_an_engine_cannot_do_is_told(predict, photos, fitted, given, message):
    given = [each.format(fitted=fitted) for each in given]
    status, lines, err = predict(*given, f"input={photos / 'images' / 'img_0.png'}")
    if message:
        assert (status, lines) in ((2, []), (1, []))
        assert message in err
    else:
        assert (status, len(lines)) == (0, 1)


def test_a_policy_without_an_engine_is_refused(fitted, photos, monkeypatch, capsys, tmp_path):
    given = [f"policy={fitted}", f"input={photos / 'images'}", f"paths.output_dir={tmp_path}"]
    monkeypatch.setattr(sys, "argv", ["predict", *given])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "is one of an engine; give engine=NAME with it" in capsys.readouterr().err
