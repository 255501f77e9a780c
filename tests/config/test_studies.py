"""Named studies as a source of configurations."""

from pathlib import Path

import pytest
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError

from dld_spotter.config.studies import ExperimentSource, find_experiments
from dld_spotter.core.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "alone.yaml").write_text("seed: 1\n")
    (tmp_path / "with_results").mkdir()
    (tmp_path / "with_results" / "config.yaml").write_text("seed: 2\n")
    (tmp_path / "with_results" / "other.yaml").write_text("seed: 3\n")
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "renamed.json").write_text('{"earlier": "with_results", "with_results": "alone", "lost": "gone"}')
    return tmp_path


@pytest.fixture
def source(folder: Path) -> ExperimentSource:
    return ExperimentSource(provider="test", path=f"experiments://{folder}")


def test_a_study_is_a_file_or_a_folder_with_a_config(folder: Path):
    assert find_experiments(folder) == {
        "alone": folder / "alone.yaml",
        "with_results": folder / "with_results" / "config.yaml",
    }


def test_a_missing_folder_holds_no_studies(tmp_path: Path):
    assert find_experiments(tmp_path / "absent") == {}


def test_without_the_folder_a_study_is_refused_with_the_remedy(tmp_path: Path):
    """As in an installed wheel; nothing else of Hydra's business is disturbed."""
    source = ExperimentSource(provider="test", path=f"experiments://{tmp_path / 'absent'}")
    assert not source.available()
    assert source.list("experiments", None) == []
    assert not source.is_config("data/scenes")
    with pytest.raises(ConfigError, match=r"\+experiments=alone: studies are not part .*absent; run .* in a checkout"):
        source.is_config("experiments/alone")


@pytest.mark.parametrize(
    ("name", "seed"),
    [("alone", 1), ("alone.yaml", 1), ("with_results", 2), pytest.param("earlier", 2, id="by an earlier name")],
)
def test_a_study_is_merged_at_the_top(source: ExperimentSource, name: str, seed: int):
    loaded = source.load_config(f"experiments/{name}")
    assert loaded.config == {"seed": seed}
    assert loaded.header == {"package": "_global_"}


@pytest.mark.parametrize(
    "path", ["experiments/benchmarks", "experiments/absent", "experiments/lost", "experiments", "data/alone", "alone"]
)
def test_what_is_no_study(source: ExperimentSource, path: str):
    assert not source.is_config(path)
    with pytest.raises(ConfigLoadError):
        source.load_config(path)


def test_the_listing_stays_inside_the_group(source: ExperimentSource):
    assert source.list("", None) == ["experiments"]
    assert source.list("", ObjectType.CONFIG) == []
    assert source.list("experiments", ObjectType.CONFIG) == ["alone", "with_results"]
    assert source.list("experiments", ObjectType.GROUP) == []
    assert source.list("conf", None) == []
