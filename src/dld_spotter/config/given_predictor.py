"""What ``predict`` reads with: a spotter, or an OCR engine with its policy. Needs no torch."""

from omegaconf import DictConfig

from dld_spotter.config.given_engine import given_engine
from dld_spotter.config.second_pass import refuse_idle_single_pass, second_pass_of
from dld_spotter.core.errors import ConfigError
from dld_spotter.data.photos import ReferenceSize
from dld_spotter.inference.loading import load
from dld_spotter.inference.pieces import PieceRule
from dld_spotter.inference.predictor import LONG, Predictor

ONLY_OF_MODELS = {
    "ckpt": ("bundled",),
    "vocabulary": (None,),
    "device": (None, "cpu"),
    "precision": ("fp32",),
    "two_pass": (None, False),
}
"""Keys that an engine has no use for, and the values that they may have beside it."""


def given_predictor(config: DictConfig) -> Predictor:
    """Build what the configuration of ``predict`` names.

    Raises:
        CheckpointError: the weights cannot be read.
        ConfigError: a setting is wrong, or does nothing beside the others.
    """
    predictor = _build(config)
    refuse_idle_single_pass(config, predictor)
    return predictor


def _refuse_idle(config: DictConfig, pieces: PieceRule) -> None:
    """Raise ConfigError where a setting does nothing beside the others."""
    if pieces.tiles == "false" and pieces.overlap != PieceRule.overlap:
        raise ConfigError(f"overlap={pieces.overlap} is that of tiles, and tiles=false makes none; leave out one of them")
    if config.shards is not None and not config.workers:
        raise ConfigError(f"shards={config.shards} acts with workers= alone; give both, or leave it out")


def _build(config: DictConfig) -> Predictor:
    rule, reference = second_pass_of(config), ReferenceSize(**config.reference)
    pieces = PieceRule(config.tiles, config.overlap, config.orientation, config.max_pixels)
    _refuse_idle(config, pieces)
    if config.engine is None:
        if config.policy is not None:
            raise ConfigError(f"policy={config.policy} is one of an engine; give engine=NAME with it, or leave it out")
        return load(config.ckpt, reference, config.device, rule, config.vocabulary, config.precision, pieces)
    engine = given_engine(config, ONLY_OF_MODELS)
    if config.policy is None:
        return Predictor(engine, reference=reference, pieces=pieces)
    if reference != ReferenceSize(long=LONG):
        raise ConfigError(
            f"reference={config.reference} does nothing beside policy={config.policy}, which has its own; leave it out"
        )
    from dld_spotter.inference.adaptive_engine import AdaptiveEngine  # here, as an export is read without torch

    return AdaptiveEngine(engine, config.policy, pieces)
