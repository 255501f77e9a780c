"""From the settings ``two_pass`` and ``second_pass`` to a rule. Needs no torch."""

from hydra.utils import instantiate
from omegaconf import DictConfig

from dld_spotter.core.errors import ConfigError
from dld_spotter.selection.second_pass.rule import SecondPassRule


def second_pass_of(config: DictConfig) -> SecondPassRule | None:
    """Build the rule of second passes that a command was given; None where it has ``two_pass=false``.

    Raises:
        ConfigError: ``second_pass.*`` is given without ``two_pass=true``, where it would do nothing.
    """
    rule: SecondPassRule = instantiate(config.second_pass)
    if config.two_pass:
        return rule
    for name, usual in SecondPassRule().to_dict().items():
        if (given := rule.to_dict()[name]) != usual:
            raise ConfigError(f"second_pass.{name}={given} acts with two_pass=true alone; give both, or leave it out")
    return None
