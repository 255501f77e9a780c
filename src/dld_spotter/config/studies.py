"""Named studies for Hydra: ``experiments/NAME.yaml`` or ``experiments/NAME/config.yaml`` as ``+experiments=NAME``.

A study is the difference from the defaults. It lies outside ``conf/`` beside its results, so Hydra needs a source of its
own; a plain folder on the search path would make Hydra walk through everything beside it. ``experiments/renamed.json`` maps
earlier names to present ones, so that old commands go on working. An installed wheel has no studies.
"""

import json
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from dld_spotter.core.errors import ConfigError

GROUP = "experiments"
RENAMED = "renamed.json"
"""File beside the studies: earlier name -> present name."""


def find_experiments(folder: Path) -> dict[str, Path]:
    """Find the studies in ``folder``: name -> file."""
    files = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {path.parent.name: path for path in sorted(folder.glob("*/config.yaml"))} | files


def find_experiment(folder: Path, name: str) -> Path | None:
    """Find the study ``name`` in ``folder``, by its present name or an earlier one; None where there is no such study.

    Raises:
        ConfigError: ``folder`` does not exist, as in an installed wheel.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"+experiments={name}: studies are not part of an installed package, and there is no folder {folder}; "
            "run the command in a checkout of the repository"
        )
    studies = find_experiments(folder)
    return studies.get(name) or studies.get(renamed_studies(folder).get(name, name))


def renamed_studies(folder: Path) -> dict[str, str]:
    """Earlier name of a study in ``folder`` -> present name."""
    file = folder / RENAMED
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}


class ExperimentSource(ConfigSource):
    """The one group ``experiments``; every option of it is merged at the top of the configuration."""

    @staticmethod
    def scheme() -> str:
        """Prefix of this source in a search path."""
        return GROUP

    def available(self) -> bool:
        """Whether the folder exists."""
        return Path(self.path).is_dir()

    def is_group(self, config_path: str) -> bool:
        """Whether ``config_path`` is the group itself or the root above it."""
        return config_path in ("", GROUP)

    def is_config(self, config_path: str) -> bool:
        """Whether ``config_path`` names a study."""
        return self._file(config_path) is not None

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """List the group under the root, the studies under the group."""
        if config_path == "":
            return [] if results_filter is ObjectType.CONFIG else [GROUP]
        if config_path != GROUP or results_filter is ObjectType.GROUP:
            return []
        return sorted(find_experiments(Path(self.path)))

    def load_config(self, config_path: str) -> ConfigResult:
        """Load a study."""
        file = self._file(config_path)
        if file is None:
            raise ConfigLoadError(f"{config_path} is not an experiment of {self.path}")
        where = f"{self.scheme()}://{self.path}"
        return ConfigResult(provider=self.provider, path=where, config=OmegaConf.load(file), header={"package": "_global_"})

    def _file(self, config_path: str) -> Path | None:
        group, _, name = config_path.removesuffix(".yaml").partition("/")
        return find_experiment(Path(self.path), name) if group == GROUP and name else None


def register(folder: Path) -> None:
    """Let every Hydra application of this process choose among the studies in ``folder``."""

    class Experiments(SearchPathPlugin):
        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            search_path.append(provider="dld_spotter", path=f"{ExperimentSource.scheme()}://{folder}")

    Plugins.instance().register(ExperimentSource)
    Plugins.instance().register(Experiments)
