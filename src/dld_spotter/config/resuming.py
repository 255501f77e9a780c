"""Runs that were interrupted: what became of a run is kept beside its results, so that the next one goes on from there."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from dld_spotter.config import assembly
from dld_spotter.config.entry import sentence
from dld_spotter.core.errors import ConfigError
from dld_spotter.tradeoff.runs import RunStatus
from dld_spotter.training.processes import is_first

AUTOMATIC = ("auto", True)
"""Values of ``resume`` that ask for what is in the folder of the run."""
ANYWHERE = ("resume", "paths", "logger")
"""Settings that may differ between a run and the one that it goes on with: they train nothing."""
CONFIG = "config.yaml"


class Recorder:
    """Keeps ``status.json`` of a run: that it runs, and how it ended, whatever ends it.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.score: float | None = None

    def __enter__(self) -> Self:
        self._begin = time.perf_counter()
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        self._write("running")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self._write("completed", seconds=self._seconds())
        else:
            self._write("failed", seconds=self._seconds(), error=sentence(error))

    def _seconds(self) -> float:
        return round(time.perf_counter() - self._begin, 1)

    def _write(self, status: str, seconds: float | None = None, error: str | None = None) -> None:
        if is_first():
            self.folder.mkdir(parents=True, exist_ok=True)
            score = self.score if self.score is not None and isfinite(self.score) else None
            RunStatus(status, self._started, overrides(), seconds, score, error).write(self.folder)


def finished_before(config: DictConfig, folder: Path) -> float | None:
    """The score of the same run where ``resume=auto`` finds it finished in ``folder``; None where there is something to do.

    Raises:
        ConfigError: the folder of a sweep's job holds a run with other settings.
    """
    before = RunStatus.read(folder) if config.resume in AUTOMATIC else None
    saved = folder / CONFIG
    if before is None or not saved.is_file():
        return None
    config = config.copy()
    try:
        assembly.settle_precision(config)
    except ConfigError:  # which the run will say itself
        return None
    difference = first_difference(OmegaConf.to_container(OmegaConf.load(saved)), assembly.plain(config))
    if difference is None:
        return (before.score or 0.0) if before.status == "completed" else None
    if _in_sweep():
        raise ConfigError(
            f"resume={config.resume}: {folder} holds a run with {difference[0]}={difference[1]}, but this job has "
            f"{difference[2]}; give the command of that sweep, or another paths.output_dir"
        )
    return None


def first_difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """The first setting that differs between two configurations, with both values; what trains nothing is left out."""
    one, two = (flatten({k: v for k, v in tree.items() if k not in ANYWHERE}) for tree in (before, now))
    keys = sorted(key for key in one.keys() | two.keys() if one.get(key) != two.get(key))
    return (keys[0], one.get(keys[0]), two.get(keys[0])) if keys else None


def flatten(tree: Any, name: str = "") -> dict[str, Any]:
    """Name every leaf of nested dictionaries by its path.

    >>> flatten({"model": {"student": {"channels": 16}}})
    {'model.student.channels': 16}
    """
    if not isinstance(tree, dict):
        return {name: tree}
    return {k: v for key, value in tree.items() for k, v in flatten(value, f"{name}.{key}" if name else str(key)).items()}


def _in_sweep() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN


def overrides() -> dict[str, str]:
    """What the run was started with; how it goes on is no part of it."""
    given = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    pairs = (override.partition("=")[::2] for override in given)
    return {key: value for key, value in pairs if key.partition(".")[0] not in ANYWHERE}
