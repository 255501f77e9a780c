"""What ``fit_selector`` does for an OCR engine: read images in every way, and learn which way each needs."""

from pathlib import Path

import numpy as np
import rich
from omegaconf import DictConfig, ListConfig
from rich.box import SIMPLE_HEAD
from rich.table import Table

from dld_spotter.config import assembly
from dld_spotter.config.given_engine import given_engine
from dld_spotter.config.resuming import going_on, readings_of
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.hmean import hmean
from dld_spotter.core.journal import SUFFIX, Journal
from dld_spotter.data.photos import ReferenceSize
from dld_spotter.evaluation.engine_reading import read_in_all_ways
from dld_spotter.evaluation.measuring import Counting
from dld_spotter.evaluation.predictions import PredictionForm
from dld_spotter.inference.adaptive_engine import ENGINE_RULE, latency_of
from dld_spotter.inference.engines.engine import Engine
from dld_spotter.inference.pieces import PieceRule
from dld_spotter.inference.predictor import Predictor
from dld_spotter.metrics.rules import Rules
from dld_spotter.selection.sizes.fitting import explained, fit_policy
from dld_spotter.selection.sizes.outcomes import NOMINAL, EngineOutcomes, Way

POLICY = "policy.json"


def fit_engine(config: DictConfig, folder: Path) -> Path:
    """Learn a policy of sizes for the engine of ``config``; it goes to ``folder/policy.json``."""
    engine = given_engine(config, {})
    ways = ways_of(config)
    reference = max(NOMINAL, *(way.size for way in ways))
    folder.mkdir(parents=True, exist_ok=True)
    if config.outcomes is None:
        facts = {"settings": readings_of(config), "engine": engine.fingerprint()}
        journal = Journal(folder / f"{engine.name}{SUFFIX}", facts, going_on(config))
        outcomes = read(config, engine, ways, reference, journal)
        outcomes.save(folder / f"outcomes_{engine.name}.npz")
        journal.close()
    else:
        outcomes = known_outcomes(config.outcomes, engine, ways)
    cost = config.selector.false_positive_cost
    policy = fit_policy(outcomes, reference, config.alike, latency_of(engine), cost)
    path = folder / POLICY
    policy.save(path)
    rich.print(show(outcomes))
    missed, nothing = explained(outcomes, policy, config.alike)
    print(f"squared error of the losses of images left out: {missed:.4f}; {nothing:.4f} where nothing is seen")
    print(f"a policy for {outcomes.engine}, learnt from {len(outcomes.names)} images, is in {path}")
    return path


def ways_of(config: DictConfig) -> list[Way]:
    """The ways of reading that are asked for.

    Raises:
        ConfigError: sizes are no ascending whole numbers, or a second pass has another size.
    """
    sizes, again = list(config.sizes), list(config.second_passes)
    if not sizes or any(not isinstance(size, int) or size < 1 for size in sizes) or sizes != sorted(set(sizes)):
        raise ConfigError(f"sizes={sizes} must be ascending whole numbers of at least 1; give such as [448,640,896,1280]")
    if unknown := [size for size in again if size not in sizes]:
        raise ConfigError(f"second_passes={again} holds {unknown[0]}, which sizes={sizes} lacks; add it there")
    if not config.gain_threshold >= 0:
        raise ConfigError(f"gain_threshold={config.gain_threshold} must be at least 0; 2.0 is usual")
    return [*map(Way, sizes), *(Way(size, float(config.gain_threshold)) for size in again)]


def read(config: DictConfig, engine: Engine, ways: list[Way], reference: int, journal: Journal) -> EngineOutcomes:
    """Read the first training images in every way, each as a whole."""
    if not isinstance(config.images, int) or config.images < 1:
        raise ConfigError(f"images={config.images} must be a whole number of at least 1")
    latency_of(engine)  # measured beforehand, while nothing else runs
    samples = assembly.build_whole_samples(config, config.images)
    counting = Counting(Rules(**config.evaluation.rules), PredictionForm.of(Rules(**config.evaluation.rules), samples.dataset))
    predictor = Predictor(engine, rule=ENGINE_RULE, reference=ReferenceSize(long=reference), pieces=PieceRule(tiles="false"))
    return read_in_all_ways(predictor, samples, ways, counting, journal)


def known_outcomes(paths: str | ListConfig, engine: Engine, ways: list[Way]) -> EngineOutcomes:
    """Join the tables that earlier runs have left.

    Raises:
        ConfigError: they are of another engine, or of other ways.
    """
    names = [paths] if isinstance(paths, str) else list(paths)
    outcomes = EngineOutcomes.joined(map(EngineOutcomes.load, names))
    if outcomes.engine != engine.fingerprint():
        raise ConfigError(f"outcomes={names} are of {outcomes.engine}, and the engine is {engine.fingerprint()}; give that one")
    if outcomes.ways != tuple(ways):
        raise ConfigError(f"outcomes={names} hold the ways {outcomes.ways}, expected {tuple(ways)}; give sizes= of the table")
    return outcomes


def show(outcomes: EngineOutcomes) -> Table:
    """One row a way of reading."""
    title = f"{outcomes.engine}, {len(outcomes.names)} images"
    table = Table("long side", "second pass", title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("Hmean", "ms", "read again"):
        table.add_column(name, justify="right")
    values = hmean(outcomes.matched.sum(0), outcomes.predicted.sum(0), outcomes.true.sum(0))
    for k, way in enumerate(outcomes.ways):
        second = "none" if np.isinf(way.gain_threshold) else f"{way.gain_threshold:g}"
        means = (f"{1000 * outcomes.seconds[:, k].mean():.0f}", f"{outcomes.again[:, k].mean():.3f}")
        table.add_row(str(way.size), second, f"{100 * values[k]:.1f}", *means)
    return table
