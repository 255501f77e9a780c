"""Read every image at every scale once and compute the trade-off from that table.

``python -m dld_spotter.measure ckpt=FILE|engine=NAME data=NAME [overrides]``; ``--help`` lists what can be overridden.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import rich
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from torch.utils.data import DataLoader

from dld_spotter.budget.cost import selector_gflops
from dld_spotter.config import assembly
from dld_spotter.config.entry import entry_point
from dld_spotter.core.errors import ConfigError
from dld_spotter.evaluation.measuring import Reader
from dld_spotter.evaluation.report import report, stage_table
from dld_spotter.inference.checkpoint import READERS, load_checkpoint
from dld_spotter.inference.engines.engine import Engine
from dld_spotter.inference.loading import usable_device
from dld_spotter.inference.second_pass.reader import SecondLook
from dld_spotter.metrics.rules import Rules
from dld_spotter.selection.operating_points import OperatingPointPolicy, rule_of
from dld_spotter.selection.selectors import Selector
from dld_spotter.tradeoff import Outcomes

TWICE = "second_look"
"""Name of the table and the points of a spotter that looks twice."""
ONLY_OF_MODELS = {
    "ckpt": ("bundled",),
    "vocabulary": (None,),
    "parts": (None,),
    "device": (None, "cpu"),
    "verbose": (False,),
    "second_look": (False,),
}
"""Keys that an engine has no use for, and the values that they may have beside it."""


def run(config: DictConfig, folder: Path) -> None:
    """Measure an engine, or the models of a checkpoint, and leave table, points and picture in ``folder``."""
    if config.engine is None:
        readers, selector = models_of(config)
    else:
        engine = engine_of(config)
        readers, selector = {engine.name: engine}, None
    loader, scales = assembly.build_test_loader(config, config.images), assembly.candidate_scales(config)
    known = known_tables(config, readers, scales) if config.outcomes else {}
    report(
        readers,
        selector,
        loader,
        scales=scales,
        dataset=config.data.name,
        rules=Rules(config.protocol, config.task, config.iou),
        resamples=config.resamples,
        folder=folder,
        again=assembly.build_test_loader(config, config.images, config.jitter) if config.jitter else None,
        known=known,
    )
    if config.verbose:
        show_stages(config, readers, selector, loader, scales)


def known_tables(config: DictConfig, readers: Mapping[str, Reader], scales: Sequence[float]) -> dict[str, Outcomes]:
    """Load the tables that an earlier run left in ``outcomes``, so that nothing is read again.

    Raises:
        ConfigError: a table has other scales, or there would be something to read.
        DataError: a table is missing or damaged.
    """
    if config.jitter:
        raise ConfigError("outcomes= reads nothing again, and jitter= has to; leave out one of them")
    tables = {name: Outcomes.load(Path(config.outcomes) / f"outcomes_{name}.npz") for name in readers}
    for name, table in tables.items():
        if list(table.scales) != list(scales):
            raise ConfigError(
                f"outcomes={config.outcomes} has the scales {list(table.scales)} of {name}, expected {list(scales)}; "
                "give scales= of the table"
            )
    return tables


def show_stages(
    config: DictConfig,
    readers: Mapping[str, Reader],
    selector: Selector | None,
    loader: DataLoader,
    scales: Sequence[float],
) -> None:
    """Print what each part of the models costs on the first of the test images."""
    first = next(iter(loader))
    for name, reader in readers.items():
        if name == TWICE:  # its parts are those of the spotter
            continue
        own = selector_gflops(selector, config.thumbnail) if selector and name == "student" else 0.0
        size = tuple(first.views[1.0].sizes[0].tolist())
        print(name)
        rich.print(stage_table(reader, size, float(len(first.instances[0])), scales, own))


def engine_of(config: DictConfig) -> Engine:
    """Build the engine that ``config`` names.

    Raises:
        ConfigError: it cannot run here, or something is asked for that only the models of a checkpoint have.
    """
    engine: Engine = assembly.create(config.engine)
    for key, allowed in ONLY_OF_MODELS.items():
        if config[key] not in allowed:
            raise ConfigError(f"{key}={config[key]} and engine={engine.name} exclude each other; leave out one of them")
    if config.scales is None:
        raise ConfigError(f"scales are not given, and engine={engine.name} has none of its own; give such as scales=[0.5,1.0]")
    return engine


def models_of(config: DictConfig) -> tuple[dict[str, Reader], Selector | None]:
    """The models of a checkpoint, and its selector where it chooses among the scales that are asked for.

    ``config`` takes over what its loaders need from the checkpoint.
    """
    checkpoint = load_checkpoint(config.ckpt, config.vocabulary)
    assembly.adopt(config, checkpoint)
    known = [part for part in READERS if part in checkpoint.parts()]
    wanted = list(config.parts or known)
    if unknown := [part for part in wanted if part not in known]:
        raise ConfigError(f"parts={unknown} is not in {checkpoint.path}, which can read with {', '.join(known)}; name these")
    if config.second_look and checkpoint.reader not in wanted:
        raise ConfigError(f"second_look=true is of the {checkpoint.reader}, which parts={wanted} leaves out; name it")
    device = usable_device(config.device)
    models: dict[str, Reader] = {part: checkpoint.build(part).to(device) for part in wanted}
    selector = checkpoint.selector()
    if config.second_look:
        models[TWICE] = SecondLook(models[checkpoint.reader], rule_of(selector, assembly.create(config.escalation)))
    selector = selector if "student" in models else None
    if selector is not None and not _fits(selector, assembly.candidate_scales(config)):
        rich.print(f"no dynamic points: the selector chooses among the scales {list(selector.scales)}")
        selector = None
    return models, selector.to(device) if selector else None


def _fits(selector: Selector, scales: Sequence[float]) -> bool:
    """Whether what a selector chooses can be told from images read at ``scales``; the steps of a ladder are read anew."""
    return (
        set(selector.scales) <= set(scales)
        if isinstance(selector, OperatingPointPolicy)
        else list(selector.scales) == list(scales)
    )


@entry_point("measure")
def main(config: DictConfig) -> None:
    """Compose, measure, report."""
    run(config, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    main()
