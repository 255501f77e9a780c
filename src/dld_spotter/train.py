"""Train a teacher, distil a dynamic low-resolution student, show the trade-off.

``python -m dld_spotter.train [overrides]``; ``--help`` lists what can be overridden.
"""

from pathlib import Path

import lightning
from hydra.core.hydra_config import HydraConfig
from lightning import LightningModule
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from dld_spotter import assembly
from dld_spotter.checkpoint import load_checkpoint, load_weights, save_checkpoint
from dld_spotter.entry import entry_point
from dld_spotter.errors import CheckpointError, ConfigError
from dld_spotter.evaluation import Rules, commit
from dld_spotter.models.selector import Selector
from dld_spotter.models.spotter import Spotter
from dld_spotter.reading import usable_device
from dld_spotter.report import report


def train(config: DictConfig, folder: Path) -> float:
    """Run the stages that ``config`` asks for and leave everything in ``folder``.

    Returns:
        the metric a sweep optimises: best validation Hmean of the last stage.
    """
    if not isinstance(config.seed, int) or not 0 <= config.seed < 2**32:
        raise ConfigError(f"seed={config.seed} must be a whole number from 0 to 2**32 - 1; give such as seed=1")
    assembly.candidate_scales(config)  # refused here rather than after the training
    Rules(**config.evaluation.rules)
    commit()  # what runs is what is there now, not what is there when the run ends
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, folder / "config.yaml", resolve=True)
    checkpoints = folder / "checkpoints"
    folders = {"teacher": checkpoints / "teacher", "distillation": checkpoints}
    interrupted = interrupted_stage(config.resume, folders)
    if interrupted:
        set_aside(folder / "metrics.csv")
    teacher = assembly.build_teacher(config)
    loggers = assembly.build_loggers(config)
    status, score = "failed", 0.0
    try:
        if interrupted != "distillation":  # whose checkpoint holds the teacher too
            if config.stages.teacher.epochs:
                score = fit(config, "teacher", assembly.build_teacher_module(config, teacher), loggers, folders, interrupted)
            save_checkpoint(checkpoints / "teacher.ckpt", {"teacher": teacher}, assembly.provenance(config))
        if config.stages.distillation.epochs:
            module = assembly.build_dld_module(config, teacher)
            score = fit(config, "distillation", module, loggers, folders, interrupted)
            parts = {"student": module.student, "selector": module.selector}
            save_checkpoint(checkpoints / "student.ckpt", parts, assembly.provenance(config))
            evaluate(config, {"teacher": teacher, "student": module.student}, module.selector, folder)
        else:
            evaluate(config, {"teacher": teacher}, None, folder)
        status = "success"
    finally:
        assembly.close_loggers(loggers, status)
    return score


def interrupted_stage(resume: str | None, folders: dict[str, Path]) -> str | None:
    """Which stage wrote the checkpoint to resume from.

    Raises:
        CheckpointError: the file is missing.
        ConfigError: it is not of this run.
    """
    if resume is None:
        return None
    if not Path(resume).is_file():
        raise CheckpointError(f"resume={resume} does not exist; give the last.ckpt of an interrupted stage")
    load_checkpoint(resume)
    if Path(resume).stem not in assembly.CHECKPOINTS:
        raise ConfigError(f"resume={resume} holds weights only; give the last.ckpt beside it, or the best.ckpt")
    for stage, folder in folders.items():
        if Path(resume).resolve().parent == folder.resolve():
            return stage
    raise ConfigError(
        f"resume={resume} lies in none of {', '.join(map(str, folders.values()))}; give paths.output_dir=FOLDER of that run"
    )


def set_aside(metrics: Path) -> None:
    """Keep the metrics of an interrupted run as ``metrics.1.csv`` and so on, since the logger starts the file anew."""
    if metrics.is_file():
        number = 1 + len(list(metrics.parent.glob("metrics.*.csv")))
        metrics.replace(metrics.with_suffix(f".{number}.csv"))


def fit(
    config: DictConfig,
    stage: str,
    module: LightningModule,
    loggers: list[Logger],
    folders: dict[str, Path],
    interrupted: str | None,
) -> float:
    """Train one stage; afterwards ``module`` holds the weights of the best epoch, whose validation Hmean is returned."""
    trainer = assembly.build_trainer(config, loggers, folders[stage], config.stages[stage].epochs)
    resume = config.resume if interrupted == stage else None
    trainer.fit(module, datamodule=assembly.build_data(config, stage), ckpt_path=resume, weights_only=True)
    best = next((callback for callback in trainer.checkpoint_callbacks if callback.monitor), None)
    if best is None or not best.best_model_path:
        return 0.0
    content = load_checkpoint(best.best_model_path)
    for part in content.parts():
        load_weights(getattr(module, part), content.weights(part), content.path)
    return float(best.best_model_score)


def evaluate(config: DictConfig, models: dict[str, Spotter], selector: Selector | None, folder: Path) -> None:
    """Measure the models on the test images and report the trade-off."""
    # The trainer leaves its models on the CPU, wherever it trained them.
    device = usable_device("cpu" if config.trainer.accelerator == "cpu" else None)
    report(
        {name: model.to(device) for name, model in models.items()},
        selector.to(device) if selector else None,
        assembly.build_test_loader(config, config.evaluation.images),
        scales=assembly.candidate_scales(config),
        dataset=config.data.name,
        rules=Rules(**config.evaluation.rules),
        resamples=config.evaluation.resamples,
        folder=folder,
    )


@entry_point("train")
def main(config: DictConfig) -> float:
    """Compose, train, report."""
    return train(config, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    main()
