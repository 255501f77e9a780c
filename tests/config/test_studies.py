"""Named studies as a source of configurations."""

from pathlib import Path

import pytest
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError

from dld_spotter.config.studies import ExperimentSource, find_experiments


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "alone.yaml").write_text("seed: 1\n")
    (tmp_path / "with_results").mkdir()
    (tmp_path / "with_results" / "config.yaml").write_text("seed: 2\n")
    (tmp_path / "with_results" / "other.yaml").write_text("seed: 3\n")
    (tmp_path / "benchmarks").mkdir()
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
    assert not ExperimentSource(provider="test", path=f"experiments://{tmp_path / 'absent'}").available()


@pytest.mark.parametrize(("name", "seed"), [("alone", 1), ("alone.yaml", 1), ("with_results", 2)])
def test_a_study_is_merged_at_the_top(source: ExperimentSource, name: str, seed: int):
    loaded = source.load_config(f"experiments/{name}")
    assert loaded.config == {"seed": seed}
    assert loaded.header == {"package": "_global_"}


@pytest.mark.parametrize("path", ["experiments/benchmarks", "experiments/absent", "experiments", "data/alone", "alone"])
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
