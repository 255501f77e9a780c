"""Train a teacher, distil a dynamic low-resolution student, show the trade-off.

``python -m dld_spotter.train [overrides]``; ``--help`` lists what can be overridden.
"""

import json
from dataclasses import asdict
from pathlib import Path

import lightning
import rich
from hydra.core.hydra_config import HydraConfig
from lightning import LightningModule
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from dld_spotter import assembly
from dld_spotter.checkpoint import load_checkpoint, load_weights, save_checkpoint
from dld_spotter.cost import FlopCost
from dld_spotter.entry import entry_point
from dld_spotter.evaluation import Rules, choose, measure, trade_off
from dld_spotter.models.spotter import Spotter
from dld_spotter.module import DLDModule
from dld_spotter.tradeoff import compare, comparison_table, plot, table


def train(config: DictConfig, folder: Path) -> float:
    """Run the stages that ``config`` asks for and leave everything in ``folder``.

    Returns:
        the metric a sweep optimises: best validation Hmean of the last stage.
    """
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, folder / "config.yaml", resolve=True)
    checkpoints = folder / "checkpoints"
    teacher = assembly.build_teacher(config)
    loggers = assembly.build_loggers(config)
    status, score = "failed", 0.0
    try:
        if config.stages.teacher.epochs:
            score = fit(config, "teacher", assembly.build_teacher_module(config, teacher), loggers, checkpoints / "teacher")
        save_checkpoint(checkpoints / "teacher.ckpt", {"teacher": teacher}, assembly.provenance(config))
        if config.stages.distillation.epochs:
            module = assembly.build_dld_module(config, teacher)
            score = fit(config, "distillation", module, loggers, checkpoints)
            parts = {"student": module.student, "selector": module.selector}
            save_checkpoint(checkpoints / "student.ckpt", parts, assembly.provenance(config))
            report(config, {"teacher": teacher, "student": module.student}, module, folder)
        else:
            report(config, {"teacher": teacher}, None, folder)
        status = "success"
    finally:
        assembly.close_loggers(loggers, status)
    return score


def fit(config: DictConfig, stage: str, module: LightningModule, loggers: list[Logger], folder: Path) -> float:
    """Train one stage; afterwards ``module`` holds the weights of the best epoch, whose validation Hmean is returned."""
    trainer = assembly.build_trainer(config, loggers, folder, config.stages[stage].epochs)
    resume = config.resume if config.resume and Path(config.resume).parent == folder else None
    trainer.fit(module, datamodule=assembly.build_data(config, stage), ckpt_path=resume, weights_only=True)
    best = trainer.checkpoint_callback
    if best is None or not best.best_model_path:
        return 0.0
    content = load_checkpoint(best.best_model_path)
    for part in content.parts():
        load_weights(getattr(module, part), content.weights(part), content.path)
    return float(best.best_model_score)


def report(config: DictConfig, models: dict[str, Spotter], module: DLDModule | None, folder: Path) -> None:
    """Measure the models on the test set; write and show the trade-off."""
    loader = assembly.build_test_loader(config)
    rules = Rules(**config.evaluation.rules)
    scales = [float(scale) for scale in config.scales]
    tables = {
        name: measure(model, loader, scales, FlopCost(model), rules, f"reading with the {name}")
        for name, model in models.items()
    }
    choices = {}
    if module is not None:
        outcomes = tables["student"]
        choices["student"] = choose(module.selector, loader, outcomes.names, float(outcomes.gflops[:, -1].mean()))
    for name, outcomes in tables.items():
        outcomes.save(folder / f"outcomes_{name}.npz")
    result = trade_off(tables, choices, config.data.name, "TextMapSpotter", rules, config.evaluation.resamples)
    result.write(folder / "tradeoff.json")
    plot(result.points, folder / "tradeoff.png", f"{config.data.name}: {result.images} images, end to end")
    rich.print(table(result.select("static") + result.select("dynamic")))
    if choices:
        found = compare(tables["teacher"], tables["student"], choices["student"], config.evaluation.resamples)
        (folder / "comparison.json").write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n", "utf-8")
        rich.print(comparison_table(found))
    rich.print(f"everything is in {folder}")


@entry_point("train")
def main(config: DictConfig) -> float:
    """Compose, train, report."""
    return train(config, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    main()
