"""What every entry point shares: where configurations lie, how a run is composed, how errors are told."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from dld_spotter.errors import ConfigError, SpotterError

_PACKAGE = Path(__file__).resolve().parent
ROOT = _PACKAGE if (_PACKAGE / "conf").is_dir() else _PACKAGE.parents[1]
"""Folder of ``conf/`` and ``experiments/``: the package in a wheel, the repository in a checkout."""


def _own_cause(error: BaseException) -> BaseException:
    """The error of ours that Hydra wrapped while it built an object, else the error itself."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, SpotterError):
        cause = cause.__cause__
    return cause or error


def entry_point(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], Any]]:
    """Make a Hydra application of ``conf/<config_name>.yaml`` whose own errors are one sentence, exit status 1 or 2."""

    def decorate(task: Callable[[DictConfig], Any]) -> Callable[[], Any]:
        @functools.wraps(task)
        def guarded(config: DictConfig) -> Any:
            try:
                return task(config)
            except (SpotterError, OmegaConfBaseException, InstantiationException) as error:
                cause = _own_cause(error)
                print(f"error: {' '.join(str(cause).split())}", file=sys.stderr)
                sys.exit(1 if isinstance(cause, SpotterError) and not isinstance(cause, ConfigError) else 2)

        return hydra.main(version_base="1.3", config_path=str(ROOT / "conf"), config_name=config_name)(guarded)

    return decorate
