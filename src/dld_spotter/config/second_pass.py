"""From the settings ``two_pass`` and ``second_pass`` to a rule. Needs no torch."""

from math import inf

from hydra.utils import instantiate
from omegaconf import DictConfig

from dld_spotter.core.errors import ConfigError
from dld_spotter.inference.predictor import Predictor
from dld_spotter.selection.second_pass.rule import SecondPassRule


def second_pass_of(config: DictConfig) -> SecondPassRule | None:
    """Build the rule of second passes that a command was given; None where it has no ``two_pass=true``.

    Raises:
        ConfigError: ``second_pass.*`` is given without ``two_pass=true``, where it would do nothing; or is a single pass.
    """
    rule: SecondPassRule = instantiate(config.second_pass)
    if config.two_pass:
        if rule.gain_threshold == inf:
            raise ConfigError("second_pass.gain_threshold=inf means no second pass; give a number, or leave out two_pass=true")
        return rule
    for name, usual in SecondPassRule().to_dict().items():
        if (given := rule.to_dict()[name]) != usual:
            raise ConfigError(f"second_pass.{name}={given} acts with two_pass=true alone; give both, or leave it out")
    return None


def refuse_idle_single_pass(config: DictConfig, predictor: Predictor) -> None:
    """Raise ConfigError where ``two_pass=false`` is asked of operating points that say themselves what is read twice."""
    decides = predictor.policy is not None and predictor.policy.second_passes and config.scale is None
    if config.two_pass is False and decides:
        raise ConfigError(
            "two_pass=false does nothing beside the operating points of this checkpoint, which say themselves what is read "
            "twice; give scale= with it, or leave it out"
        )
