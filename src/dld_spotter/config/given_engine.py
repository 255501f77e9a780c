"""The OCR engine that commands are given in place of a checkpoint."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from dld_spotter.core.errors import ConfigError

if TYPE_CHECKING:
    from dld_spotter.inference.engines.engine import Engine


def given_engine(config: DictConfig, only_of_models: Mapping[str, tuple[Any, ...]]) -> "Engine":
    """Build the engine that ``config`` names.

    Args:
        config: of the entry point.
        only_of_models: keys that an engine has no use for, and the values that they may have beside it.

    Raises:
        ConfigError: it cannot run here, or something is asked for that only the models of a checkpoint have.
    """
    engine: Engine = instantiate(config.engine, _convert_="all")
    for key, allowed in only_of_models.items():
        if config[key] not in allowed:
            raise ConfigError(f"{key}={config[key]} and engine={engine.name} exclude each other; leave out one of them")
    return engine
