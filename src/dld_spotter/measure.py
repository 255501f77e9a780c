"""Read every image at every scale once and compute the trade-off from that table.

``python -m dld_spotter.measure ckpt=FILE data=NAME [overrides]``; ``--help`` lists what can be overridden.
"""

from pathlib import Path

import rich
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from dld_spotter import assembly
from dld_spotter.checkpoint import load_checkpoint
from dld_spotter.entry import entry_point
from dld_spotter.errors import ConfigError
from dld_spotter.evaluation import Rules
from dld_spotter.reading import usable_device
from dld_spotter.report import report

READERS = ("teacher", "student")


def run(config: DictConfig, folder: Path) -> None:
    """Measure the models of a checkpoint and leave table, points and picture in ``folder``."""
    checkpoint = load_checkpoint(config.ckpt)
    assembly.adopt(config, checkpoint)
    known = [part for part in READERS if part in checkpoint.parts()]
    wanted = list(config.parts or known)
    if unknown := [part for part in wanted if part not in known]:
        raise ConfigError(f"parts={unknown} is not in {checkpoint.path}, which can read with {', '.join(known)}; name these")
    device = usable_device(config.device)
    models = {part: checkpoint.build(part).to(device) for part in wanted}
    scales = assembly.candidate_scales(config)
    selector = checkpoint.selector() if "student" in models else None
    if selector is not None and list(selector.scales) != scales:
        rich.print(f"no dynamic points: the selector chooses among the scales {list(selector.scales)}")
        selector = None
    report(
        models,
        selector.to(device) if selector else None,
        assembly.build_test_loader(config, config.images),
        scales=scales,
        dataset=config.data.name,
        rules=Rules(config.protocol, config.task, config.iou),
        resamples=config.resamples,
        folder=folder,
        again=assembly.build_test_loader(config, config.images, config.jitter) if config.jitter else None,
    )


@entry_point("measure")
def main(config: DictConfig) -> None:
    """Compose, measure, report."""
    run(config, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    main()
