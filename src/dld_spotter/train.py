"""Train a teacher, distil a dynamic low-resolution student, show the trade-off.

``python -m dld_spotter.train [overrides]``; ``--help`` lists what can be overridden.
"""

from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from torch.nn import Module

from dld_spotter.budget.cost import FlopCost
from dld_spotter.budget.requests import Request
from dld_spotter.config import assembly, resuming
from dld_spotter.config.entry import entry_point
from dld_spotter.core.errors import ConfigError, TrainingError
from dld_spotter.evaluation import measuring, retention
from dld_spotter.evaluation.measuring import Counting, Samples, commit
from dld_spotter.evaluation.predictions import PredictionForm
from dld_spotter.evaluation.report import Report, report
from dld_spotter.inference.checkpoint import amend, load_checkpoint, load_weights, save_checkpoint
from dld_spotter.inference.loading import predictor_of
from dld_spotter.inference.predictor import Predictor
from dld_spotter.inference.torch_backend import TorchBackend, usable_device
from dld_spotter.metrics.rules import Rules
from dld_spotter.models.folding import folded
from dld_spotter.models.spotter import Spotter
from dld_spotter.selection.selector import Selector
from dld_spotter.selection.survey import calibrate
from dld_spotter.tradeoff import Point, TradeOff, point_rows
from dld_spotter.training.callbacks import CostBudget
from dld_spotter.training.checkpoints import WORKER_DIED, BestCheckpoint
from dld_spotter.training.modules import DLDModule, StageModule
from dld_spotter.training.processes import Processes, is_first
from dld_spotter.training.wandb_run import RunLogger


def train(config: DictConfig, folder: Path) -> float:
    """Run the stages that ``config`` asks for and leave everything in ``folder``.

    With ``resume=auto`` a run that has ended well is not run again.

    Returns:
        the metric a sweep optimises: the best ``val/value`` of the last stage, see ``StageModule``.
    """
    with resuming.alone_in(folder):
        score = resuming.finished(config, folder)
        if score is not None:
            return score
        with resuming.Recorder(folder) as record:
            record.score = run(config, folder, record)
        return record.score


def run(config: DictConfig, folder: Path, record: resuming.Recorder) -> float:
    """Run the stages and the evaluation; see :func:`train`."""
    if not isinstance(config.seed, int) or not 0 <= config.seed < 2**32:
        raise ConfigError(f"seed={config.seed} must be a whole number from 0 to 2**32 - 1; give such as seed=1")
    assembly.candidate_scales(config)  # refused here rather than after the training
    Rules(**config.evaluation.rules)
    check_budgets(config)
    assembly.settle_precision(config)
    commit()  # what runs is what is there now, not what is there when the run ends
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    resuming.find_interrupted(config, folder / "checkpoints")
    interrupted = resuming.interrupted_stage(config, folder / "checkpoints")
    record.begin()
    if is_first():
        folder.mkdir(parents=True, exist_ok=True)
        resuming.begin(folder, interrupted)
        assembly.save_config(config, folder)
        print(plan(config, interrupted, folder))
    teacher = assembly.build_teacher(config)
    start = deepcopy(teacher) if retention_asked(config) else None
    loggers = assembly.build_loggers(config)
    processes = Processes()
    status, score = "failed", 0.0
    try:
        score, models, selectors = run_stages(config, folder / "checkpoints", teacher, loggers, interrupted, processes)
        if is_first():
            evaluate(config, models, selectors, folder, loggers)
            if config.evaluation.target is not None:
                score = validation_hmean(config, folder)
            if start is not None:
                compare_with_start(config, start, models, selectors, folder)
        processes.end()
        status = "success"
    except BaseException as error:
        processes.end(error)
        raise
    finally:
        assembly.close_loggers(loggers, status)
    return score


def plan(config: DictConfig, interrupted: str | None, folder: Path) -> str:
    """What a run is going to do, in a sentence."""
    stages = config.stages
    origin = f" from {stages.teacher.checkpoint}" if stages.teacher.checkpoint else " from scratch"
    teacher = f"{stages.teacher.epochs} epochs{origin}" if stages.teacher.epochs else f"as it is in {stages.teacher.checkpoint}"
    after = stages.distillation.epochs
    steps = [f"teacher ({teacher})"] if interrupted in (None, "teacher") else []
    steps += [f"distillation ({after} epochs)"] if after and interrupted != "control" else []
    steps += ["control (the same without distillation)"] if after and config.control and len(config.distillation.terms) else []
    start = f"going on with {config.resume}: " if interrupted else ""
    steps += [f"evaluation at {len(config.scales)} scales"]
    return f"{start}{', '.join(steps)} on {config.data.name}; everything goes to {folder}"


def run_stages(
    config: DictConfig,
    checkpoints: Path,
    teacher: Spotter,
    loggers: list[Logger],
    interrupted: str | None,
    processes: Processes,
) -> tuple[float, dict[str, Spotter], dict[str, Selector]]:
    """Run the stages that are asked for and write their weights to ``checkpoints``.

    Returns:
        best ``val/value`` of the student, or of the teacher alone; the models by name, the student last; their selectors.
    """
    fit_stage = partial(fit, config, checkpoints=checkpoints, interrupted=interrupted, processes=processes)
    score = 0.0
    # Built before the teacher stage, so that what they refuse is told now; students take the teacher's weights later on.
    module = assembly.build_dld_module(config, teacher) if config.stages.distillation.epochs else None
    control = assembly.build_control_module(config, module) if module else None
    if interrupted in (None, "teacher"):  # checkpoints of the other stages hold the teacher too
        if config.stages.teacher.epochs:
            score, _ = fit_stage(assembly.build_teacher_module(config, teacher), loggers=loggers)
        save(checkpoints / "teacher.ckpt", {"teacher": teacher}, config)
    if module is None:
        return score, {"teacher": teacher}, {}
    score, best = fit_stage(module, loggers=loggers)
    keep(checkpoints / "student.ckpt", module, best, config)
    trained = {"student": module}
    if control is not None:
        _, best = fit_stage(control, loggers=assembly.build_control_loggers(resuming.stage_folders(checkpoints)["control"]))
        keep(checkpoints / "control.ckpt", control, best, config)
        trained = {"control": control} | trained
    models = {"teacher": teacher} | {name: each.student for name, each in trained.items()}
    return score, models, {name: each.selector for name, each in trained.items()}


def keep(path: Path, module: DLDModule, best: Path | None, config: DictConfig) -> None:
    """Write a student with its selector, and what budgets need to its best epoch, too."""
    if config.budget is not None:  # the cost weight that training has found for it
        config = config.copy()
        config.objective.weights.cost = module.objective.weights["cost"]
    facts = calibration(config, module.student, module.selector)
    save(path, {"student": module.student, "selector": module.selector}, config, facts)
    if best and facts:
        amend(best, facts)


def save(path: Path, parts: dict[str, Module], config: DictConfig, facts: Mapping[str, Any] | None = None) -> None:
    """Write weights for inference, in the first process only; ``facts`` are further plain values about them."""
    if is_first():
        save_checkpoint(path, parts, assembly.provenance(config) | (facts or {}))


def calibration(config: DictConfig, student: Spotter, selector: Selector) -> dict[str, Any]:
    """See on the validation images what a trained selector spends, in the first process only.

    Returns:
        the entry of a checkpoint that budgets need; empty where the selector does not learn, or there is no validation.
    """
    loader = assembly.build_validation_loader(config) if selector.trainable and is_first() else None
    return {"calibration": calibrate(selector, loader, FlopCost(student)).to_dict()} if loader else {}


def fit(
    config: DictConfig,
    module: StageModule,
    checkpoints: Path,
    loggers: list[Logger],
    interrupted: str | None,
    processes: Processes,
) -> tuple[float, Path | None]:
    """Train one stage; afterwards ``module`` holds the weights of the best epoch.

    Returns:
        that epoch's ``val/value`` and checkpoint; 0 and None where nothing was validated.
    """
    lightning.seed_everything(config.seed, workers=True, verbose=False)  # whatever was drawn before, or was not after a resume
    stage, settings = module.stage, config.stages[module.settings]
    trainer = assembly.build_trainer(config, loggers, resuming.stage_folders(checkpoints)[stage], settings.epochs)
    resume = resuming.checkpoint_of(stage, interrupted, config, checkpoints)
    data = assembly.build_data(config, stage, module.teacher if stage == "teacher" else module.student)
    try:
        with processes.launching(trainer):
            trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    except MisconfigurationException as error:
        raise ConfigError(f"the {stage} stage cannot run with these trainer.* settings: {error}") from error
    except (RuntimeError, ConnectionError, EOFError) as error:
        lost_half_way = config.data.workers and not isinstance(error, RuntimeError)  # of what a worker had sent
        if not (lost_half_way or str(error).startswith(WORKER_DIED)):
            raise
        raise TrainingError(
            f"a process that loads data died in the {stage} stage, often for want of memory; go on with resume=auto, and with "
            "fewer data.workers where it happens again"
        ) from error
    best = next((callback for callback in trainer.checkpoint_callbacks if isinstance(callback, BestCheckpoint)), None)
    if best is None or not best.best_model_path:
        return 0.0, None
    content = load_checkpoint(best.best_model_path)
    for part in content.parts():
        load_weights(getattr(module, part), content.weights(part), content.path)
    return float(best.best_model_score), Path(best.best_model_path)


def evaluate(
    config: DictConfig, models: dict[str, Spotter], selectors: dict[str, Selector], folder: Path, loggers: list[Logger]
) -> None:
    """Measure the models on the test images, report the trade-off, and let Weights & Biases have it."""
    device = reading_device(config)
    policies = {name: folded(selector).to(device) for name, selector in selectors.items()}
    reference = assembly.build_reference(config)
    predictors = {
        name: Predictor(TorchBackend(model, device), policies.get(name), reference=reference) for name, model in models.items()
    }
    samples, rules = assembly.build_test_samples(config, config.evaluation.images), Rules(**config.evaluation.rules)
    counting = Counting(rules, PredictionForm.of(rules, samples.dataset))
    scales = assembly.candidate_scales(config)
    asked = [read_for(config, folder, budget, samples, counting) for budget in config.evaluation.budgets]
    met = [point for point in asked if point]
    about = Report(config.data.name, scales, counting, folder, config.evaluation.resamples, asked=met)
    report(about, predictors, samples)
    about.end()
    for logger in loggers:
        if isinstance(logger, RunLogger):
            logger.log_points(point_rows(folder.name, resuming.overrides(), TradeOff.read(folder / "tradeoff.json")))
            shown = min(logger.pictures, len(samples.dataset))
            logger.log_readings(list(predictors.values())[-1], [samples.dataset[i] for i in range(shown)], (scales[0], 1.0))
            if logger.checkpoint:
                logger.keep(folder / "checkpoints" / f"{list(models)[-1]}.ckpt")


def reading_device(config: DictConfig) -> torch.device:
    """Where to read; the trainer leaves its models on the CPU, wherever it trained them."""
    return usable_device("cpu" if config.trainer.accelerator == "cpu" else None)


def read_for(config: DictConfig, folder: Path, budget: float, samples: Samples, counting: Counting) -> Point | None:
    """The point of a student that has been trained, and reads images for a budget as ``predict`` would.

    None, and a sentence, where each of its selector's cost weights spends more.
    """
    content = load_checkpoint(folder / "checkpoints" / "student.ckpt")
    predictor = predictor_of(content, assembly.build_reference(config), reading_device(config))
    request = Request(budget=budget)
    try:
        predictor.check(request)
    except ConfigError as error:
        print(f"not read for a budget of {budget:g}: {error}")
        return None
    return measuring.evaluate(predictor, samples, request, counting, config.evaluation.resamples)[0]


def validation_hmean(config: DictConfig, folder: Path) -> float:
    """The student's Hmean on the validation images at the mean relative cost of ``evaluation.target``, 0 if it spends more."""
    samples, rules = assembly.build_validation_samples(config), Rules(**config.evaluation.rules)
    counting = Counting(rules, PredictionForm.of(rules, samples.dataset))
    point = read_for(config, folder, config.evaluation.target, samples, counting)
    return point.hmean if point else 0.0


def check_budgets(config: DictConfig) -> None:
    """Raise ConfigError if the evaluation is asked for budgets that no selector will have learnt to hold."""
    target = config.evaluation.target
    asked = {"evaluation.budgets": list(config.evaluation.budgets), "evaluation.target": [] if target is None else [target]}
    if config.budget is not None:
        CostBudget(config.budget)
        asked["budget"] = [config.budget]
    for key, budgets in asked.items():
        for budget in budgets:
            Request(budget=budget)
        if budgets and (not config.stages.distillation.epochs or "selection" not in config):
            raise ConfigError(
                f"{key}={budgets} needs a distillation stage with a selector that learns, such as selector=gumbel"
            )
        if budgets and config.trainer.get("limit_val_batches") == 0:
            raise ConfigError(f"{key}={budgets} needs validation images to calibrate on; give trainer.limit_val_batches")


def retention_asked(config: DictConfig) -> bool:
    """Whether to say at the end what weights that were given have learnt and forgotten.

    Raises:
        ConfigError: ``evaluation.retention`` is no number of images.
    """
    images, stages = config.evaluation.retention, config.stages
    if not isinstance(images, int) or images < 0:
        raise ConfigError(f"evaluation.retention={images} must be a whole number of images, 0 for no comparison with the start")
    return bool(images and stages.teacher.checkpoint and (stages.teacher.epochs or stages.distillation.epochs))


def compare_with_start(
    config: DictConfig, start: Spotter, models: dict[str, Spotter], selectors: dict[str, Selector], folder: Path
) -> None:
    """Say what training learnt and forgot; weights half-way to the start are written where they are the better ones."""
    name, now = list(models.items())[-1]  # the student where there is one
    loader, images = assembly.build_validation_loader(config), config.evaluation.retention
    sets = {"rendered scenes": retention.rendered(images)}
    if loader is not None:
        own = [loader.dataset[index] for index in range(min(images, len(loader.dataset)))]
        sets = {"validation images": own} | sets
    mean = retention.half_way(start, now)
    spotters = {retention.START: start, retention.NOW: now} | ({retention.HALF_WAY: mean} if mean else {})
    device = reading_device(config)
    found = retention.compare(spotters, sets, assembly.build_reference(config), device)
    files = {
        retention.START: config.stages.teacher.checkpoint,
        retention.NOW: f"checkpoints/{name}.ckpt",
        retention.HALF_WAY: f"checkpoints/{name}_half_way.ckpt",
    }
    kept = retention.better(found, next(iter(sets)))
    (folder / files[retention.HALF_WAY]).unlink(missing_ok=True)  # of an earlier run
    if mean and kept == retention.HALF_WAY:
        facts = load_checkpoint(folder / files[retention.NOW]).provenance
        parts = {name: mean} | ({"selector": selectors[name]} if name in selectors else {})
        save_checkpoint(folder / files[kept], parts, facts)
    retention.report(found, kept, files, folder)


@entry_point("train")
def main(config: DictConfig) -> float:
    """Compose, train, report."""
    return train(config, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    main()
