"""Read every image at every scale once and compute the trade-off from that table.

``python -m dld_spotter.measure ckpt=FILE|engine=NAME data=NAME [overrides]``; ``--help`` lists what can be overridden.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import rich
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from dld_spotter.config import assembly
from dld_spotter.config.entry import entry_point
from dld_spotter.config.given_engine import given_engine
from dld_spotter.config.resuming import going_on, readings_of
from dld_spotter.config.second_pass import second_pass_of
from dld_spotter.core.errors import ConfigError
from dld_spotter.evaluation.measuring import Counting, Samples, measure_second_pass
from dld_spotter.evaluation.predictions import PredictionForm
from dld_spotter.evaluation.report import Report, report, report_bias, stage_table
from dld_spotter.inference.checkpoint import READERS, Checkpoint, load_checkpoint
from dld_spotter.inference.predictor import Predictor
from dld_spotter.inference.torch_backend import TorchBackend, usable_device
from dld_spotter.metrics.rules import Rules
from dld_spotter.selection.policy import Policy
from dld_spotter.tradeoff import Outcomes

TWO_PASS = "two_pass"
"""Name of the table and the points of a spotter that reads twice."""
ONLY_OF_MODELS = {
    "ckpt": ("bundled",),
    "vocabulary": (None,),
    "parts": (None,),
    "device": (None, "cpu"),
    "precision": ("fp32",),
    "verbose": (False,),
    "two_pass": (False,),
}
"""Keys that an engine has no use for, and the values that they may have beside it."""


def run(config: DictConfig, folder: Path) -> None:
    """Measure an engine, or the models of a checkpoint, and leave table, points and picture in ``folder``."""
    checkpoint = None if config.engine is not None else load_checkpoint(config.ckpt, config.vocabulary)
    predictors = engine_of(config) if checkpoint is None else models_of(config, checkpoint)
    samples, scales = assembly.build_test_samples(config, config.images), assembly.candidate_scales(config)
    known = known_tables(config, predictors, scales) if config.outcomes else {}
    rules = Rules(config.protocol, config.task, config.iou)
    counting = Counting(rules, PredictionForm.of(rules, samples.dataset))
    facts = {"settings": readings_of(config), "weights": checkpoint and checkpoint.fingerprint()}
    about = Report(config.data.name, scales, counting, folder, config.resamples, facts, going_on(config))
    more = {}
    if config.two_pass:
        twice = predictors[checkpoint.reader]
        journal = about.journal(TWO_PASS)
        more[TWO_PASS] = measure_second_pass(twice, samples, scales, counting, "reading in two passes", journal)
        journal.close()
        more[TWO_PASS].save(folder / f"outcomes_{TWO_PASS}.npz")
    tables = report(about, predictors, samples, known, more)
    if config.jitter:
        report_bias(about, predictors, tables, assembly.build_test_samples(config, config.images, config.jitter))
    if config.verbose:
        show_stages(predictors, samples, scales)
    about.end()


def known_tables(config: DictConfig, predictors: Mapping[str, Predictor], scales: Sequence[float]) -> dict[str, Outcomes]:
    """Load the tables that an earlier run left in ``outcomes``, so that nothing is read again.

    Raises:
        ConfigError: a table has other scales, or there would be something to read.
        DataError: a table is missing or damaged.
    """
    if config.jitter:
        raise ConfigError("outcomes= reads nothing again, and jitter= has to; leave out one of them")
    tables = {name: Outcomes.load(Path(config.outcomes) / f"outcomes_{name}.npz") for name in predictors}
    for name, table in tables.items():
        if list(table.scales) != list(scales):
            raise ConfigError(
                f"outcomes={config.outcomes} has the scales {list(table.scales)} of {name}, expected {list(scales)}; "
                "give scales= of the table"
            )
    return tables


def show_stages(predictors: Mapping[str, Predictor], samples: Samples, scales: Sequence[float]) -> None:
    """Print what each part of the models costs on the first of the test images."""
    first = next(iter(samples))
    for name, predictor in predictors.items():
        size = predictor.reference(*first.image.shape[:2])
        deciding = predictor.policy.gflops if predictor.policy else 0.0
        print(name)
        rich.print(stage_table(predictor.backend.flops, size, float(len(first.instances)), scales, deciding))


def engine_of(config: DictConfig) -> dict[str, Predictor]:
    """Build the engine that ``config`` names.

    Raises:
        ConfigError: it cannot run here, or something is asked for that only the models of a checkpoint have.
    """
    engine = given_engine(config, ONLY_OF_MODELS)
    if config.scales is None:
        raise ConfigError(f"scales are not given, and engine={engine.name} has none of its own; give such as scales=[0.5,1.0]")
    return {engine.name: Predictor(engine, reference=assembly.build_reference(config))}


def models_of(config: DictConfig, checkpoint: Checkpoint) -> dict[str, Predictor]:
    """The models of a checkpoint; the student with its policy where that chooses among the scales that are asked for.

    ``config`` takes over what its loaders need from the checkpoint.
    """
    assembly.adopt(config, checkpoint)
    known = [part for part in READERS if part in checkpoint.parts()]
    wanted = list(config.parts or known)
    if unknown := [part for part in wanted if part not in known]:
        raise ConfigError(f"parts={unknown} is not in {checkpoint.path}, which can read with {', '.join(known)}; name these")
    if config.two_pass and checkpoint.reader not in wanted:
        raise ConfigError(f"two_pass=true is of the {checkpoint.reader}, which parts={wanted} leaves out; name it")
    device, reference, policy = usable_device(config.device), assembly.build_reference(config), None
    given, known = second_pass_of(config), checkpoint.second_pass()
    rule = known if given is None else given.taught_by(known)
    if "student" in wanted:
        policy = fitting(checkpoint.policy(device), assembly.candidate_scales(config))
    backends = {part: TorchBackend(checkpoint.build(part), device, config.precision) for part in wanted}
    return {
        part: Predictor(backend, policy if part == "student" else None, rule, reference) for part, backend in backends.items()
    }


def fitting(policy: Policy | None, scales: Sequence[float]) -> Policy | None:
    """The policy, if it chooses among the scales that are measured."""
    if policy is not None and not set(policy.scales) <= set(scales):
        rich.print(f"no dynamic points: the policy chooses among the scales {list(policy.scales)}")
        return None
    return policy


@entry_point("measure")
def main(config: DictConfig) -> None:
    """Compose, measure, report."""
    run(config, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    main()
