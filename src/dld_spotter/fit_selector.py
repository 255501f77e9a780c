"""Give a student, or an OCR engine, a selector that knows what each scale, or size, brings.

``python -m dld_spotter.fit_selector ckpt=FILE|engine=NAME data=NAME [overrides]``; ``--help`` lists what can be overridden.
"""

from pathlib import Path

import rich
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from dld_spotter.budget.cost import FlopCost
from dld_spotter.config import assembly
from dld_spotter.config.engine_policy import fit_engine
from dld_spotter.config.entry import entry_point
from dld_spotter.config.given_student import given_student
from dld_spotter.config.resuming import going_on, readings_of
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.journal import SUFFIX, Journal
from dld_spotter.evaluation.measuring import Counting, measure
from dld_spotter.evaluation.predictions import PredictionForm
from dld_spotter.inference.checkpoint import Checkpoint, load_checkpoint, load_weights, save_checkpoint
from dld_spotter.inference.predictor import Predictor
from dld_spotter.inference.torch_backend import TorchBackend, usable_device
from dld_spotter.metrics.rules import Rules
from dld_spotter.models.spotter import Spotter
from dld_spotter.selection.fitting import (
    ThumbnailSet,
    count_heights,
    false_positive_cost,
    fit_outcomes,
    judge_heights,
    learn_heights,
)
from dld_spotter.selection.quality import QualitySelector
from dld_spotter.selection.survey import calibrate
from dld_spotter.tradeoff import Outcomes

TABLE = "outcomes_student.npz"


def run(config: DictConfig, folder: Path) -> Path:
    """Fit a selector to the student of a checkpoint; both, with their calibration, go to ``folder/student.ckpt``.

    The policy of an engine goes to ``folder/policy.json``.
    """
    if config.engine is not None:
        return fit_engine(config, folder)
    checkpoint, student = given_student(config, ("images", "thumbnails", "steps", "batch"))
    device = usable_device(config.device)
    outcomes = read(config, student, checkpoint.fingerprint(), folder)
    cost = false_positive_cost(outcomes) if config.selector.false_positive_cost is None else config.selector.false_positive_cost
    config.selector.false_positive_cost = round(cost, 3)
    selector: QualitySelector = assembly.create(config.selector).to(device)
    selector.thumbnail = config.thumbnail
    fit_outcomes(selector, count_heights(assembly.build_whole_loader(config, config.images, [1.0]), selector.edges), outcomes)
    if config.network is None:
        learn(config, selector)
    else:
        take_network(config, selector)
    return save(config, checkpoint, student, selector, folder)


def read(config: DictConfig, student: Spotter, weights: str, folder: Path) -> Outcomes:
    """Read the first images at every scale, or take the table that ``outcomes`` names; ``weights`` is the student's hash."""
    if config.outcomes is not None:
        outcomes = Outcomes.load(config.outcomes)
        if list(outcomes.scales) != list(config.scales):
            raise ConfigError(
                f"outcomes={config.outcomes} has the scales {list(outcomes.scales)}, expected {list(config.scales)}; "
                "give scales= of the table"
            )
        return outcomes
    samples = assembly.build_whole_samples(config, config.images)
    rules = Rules(**config.evaluation.rules)
    counting = Counting(rules, PredictionForm.of(rules, samples.dataset))
    predictor = Predictor(TorchBackend(student, precision=config.precision), reference=assembly.build_reference(config))
    facts = {"settings": readings_of(config), "weights": weights}
    journal = Journal(folder / f"student{SUFFIX}", facts, going_on(config))
    outcomes = measure(predictor, samples, config.scales, counting, "reading at every scale", journal)
    outcomes.save(folder / TABLE)
    journal.close()
    return outcomes


def take_network(config: DictConfig, selector: QualitySelector) -> None:
    """Take the network of the selector that ``network`` names: what thumbnails show does not depend on who reads."""
    earlier = load_checkpoint(config.network)
    if earlier.provenance["thumbnail"] != config.thumbnail:
        raise ConfigError(
            f"network={config.network} sees thumbnails of {earlier.provenance['thumbnail']} pixels, expected "
            f"thumbnail={config.thumbnail}; give the same"
        )
    prefix = "network."
    weights = {name: value for name, value in earlier.weights("selector").items() if name.startswith(prefix)}
    edges = earlier.weights("selector").get("edges")
    if edges is None or edges.shape != selector.edges.shape or not torch.allclose(edges, selector.edges.cpu(), rtol=1e-2):
        raise ConfigError(f"network={config.network} counts words in other bins of height; give its selector.heights and bins")
    load_weights(selector.network, {name.removeprefix(prefix): value for name, value in weights.items()}, earlier.path)


def learn(config: DictConfig, selector: QualitySelector) -> None:
    """Train the network on thumbnails and say what it knows of unseen ones."""
    loader = assembly.build_whole_loader(config, config.thumbnails, [1.0])
    thumbnails = ThumbnailSet.of(loader, selector.edges, "thumbnails")
    learn_heights(selector, thumbnails, config.steps, config.batch, config.lr, config.seed)
    loader = assembly.build_validation_loader(config)
    if loader is not None:
        unseen = ThumbnailSet.of(loader, selector.edges, "thumbnails for validation")
        found, nothing = judge_heights(selector, unseen)
        rich.print(
            f"heights of the words in {len(unseen)} unseen images: deviance {found:.1f}; {nothing:.1f} where nothing is seen"
        )


def save(config: DictConfig, checkpoint: Checkpoint, student: Spotter, selector: QualitySelector, folder: Path) -> Path:
    """Write student and selector, with what the selector's cost weights spend on the validation images."""
    facts = assembly.provenance(config)
    loader = assembly.build_validation_loader(config)
    if loader is not None:
        facts["calibration"] = calibrate(selector, loader, FlopCost(student)).to_dict()
    path = folder / "student.ckpt"
    save_checkpoint(path, {"student": student, "selector": selector}, facts)
    assembly.save_config(config, folder)
    (folder / f"student{SUFFIX}").unlink(missing_ok=True)  # what was read is in the table
    rich.print(f"{checkpoint.path} with a selector is in {path}")
    return path


@entry_point("fit_selector")
def main(config: DictConfig) -> None:
    """Compose, fit, save."""
    run(config, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    main()
