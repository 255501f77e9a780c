"""Train a teacher, distil a dynamic low-resolution student, show the trade-off.

``python -m dld_spotter.train [overrides]``; ``--help`` lists what can be overridden.
"""

from pathlib import Path

import lightning
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from dld_spotter.assembly import (
    build_data,
    build_dld_module,
    build_loggers,
    build_teacher,
    build_teacher_module,
    build_trainer,
    close_loggers,
    provenance,
)
from dld_spotter.checkpoint import save_checkpoint
from dld_spotter.entry import entry_point


def train(config: DictConfig, folder: Path) -> float:
    """Run the stages that ``config`` asks for and leave everything in ``folder``.

    Returns:
        the metric a sweep optimises: best validation Hmean of the last stage.
    """
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, folder / "config.yaml", resolve=True)
    teacher = build_teacher(config)
    loggers = build_loggers(config)
    checkpoints = folder / "checkpoints"
    score = 0.0
    try:
        if config.stages.teacher.epochs:
            module = build_teacher_module(config, teacher)
            trainer = build_trainer(config, loggers, checkpoints / "teacher_stage", config.stages.teacher.epochs)
            trainer.fit(module, datamodule=build_data(config, teacher_stage=True), ckpt_path=config.resume)
            score = float(trainer.callback_metrics.get("val/hmean", 0.0))
        save_checkpoint(checkpoints / "teacher.ckpt", {"teacher": teacher}, provenance(config))
        if config.stages.distillation.epochs:
            module = build_dld_module(config, teacher)
            trainer = build_trainer(config, loggers, checkpoints, config.stages.distillation.epochs)
            trainer.fit(module, datamodule=build_data(config), ckpt_path=config.resume)
            score = float(trainer.callback_metrics.get("val/hmean", 0.0))
    finally:
        close_loggers(loggers)
    return score


@entry_point("train")
def main(config: DictConfig) -> float:
    """Compose, train, report."""
    return train(config, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    main()
