"""Learn for an OCR engine which input size each image needs.

``python -m dld_spotter.fit_selector engine=NAME data=NAME [overrides]``; ``--help`` lists what can be overridden.
"""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from dld_spotter.config.engine_policy import fit_engine
from dld_spotter.config.entry import entry_point
from dld_spotter.core.errors import ConfigError


def run(config: DictConfig, folder: Path) -> Path:
    """Learn the policy of an engine; it goes to ``folder/policy.json``.

    Raises:
        ConfigError: no engine is given.
    """
    if config.engine is None:
        raise ConfigError(
            "fit_selector learns which input size an OCR engine needs; give engine=NAME, or for a student "
            "fit_operating_points ckpt=FILE"
        )
    return fit_engine(config, folder)


@entry_point("fit_selector")
def main(config: DictConfig) -> None:
    """Compose, fit, save."""
    run(config, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    main()
