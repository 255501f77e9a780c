"""How a training goes on: from which checkpoint, with which settings, and whether there is anything left to do."""

import json
from pathlib import Path
from typing import Any

import rich
from omegaconf import DictConfig, OmegaConf

from dld_spotter.config import assembly
from dld_spotter.core.errors import CheckpointError, ConfigError
from dld_spotter.core.files import write_text
from dld_spotter.inference.checkpoint import Checkpoint, load_checkpoint
from dld_spotter.tradeoff import TradeOff, table
from dld_spotter.training.processes import is_first

FINISHED = "finished.json"
"""Written last of all; holds the metric that a sweep optimises."""
DECISIVE = (
    *(
        "seed",
        "scales",
        "max_length",
        "shrink",
        "thumbnail",
        "charset",
        "model",
        "stages",
        "objective",
        "selector",
        "selection",
    ),
    *("detection_loss", "recognition_loss", "distillation", "cost", "optimizer", "scheduler"),
    *("data.batch_size", "data.seed", "data.train_collate"),
    *("trainer.max_steps", "trainer.limit_train_batches", "trainer.val_check_interval", "trainer.accumulate_grad_batches"),
    *("trainer.precision", "trainer.gradient_clip_val", "trainer.check_val_every_n_epoch"),
)
"""Settings without which a run cannot go on to the result that it would have had."""
CHANGEABLE = ("lr", "selector_lr", "_target_")
"""Settings among them that may change, and then hold from there on; code may have moved."""
APART = ("resume", "paths", "logger")
"""Settings that a finished run may be asked about with others."""


def stage_folders(checkpoints: Path) -> dict[str, Path]:
    """Where each stage keeps its checkpoints."""
    return {"teacher": checkpoints / "teacher", "distillation": checkpoints}


def find_interrupted(config: DictConfig, checkpoints: Path) -> None:
    """Put in the place of ``resume=auto`` the last checkpoint of the run in the same folder, None where there is none yet."""
    if config.resume is False:
        config.resume = None
    if config.resume not in ("auto", True):
        return
    stages = reversed(stage_folders(checkpoints).values())
    config.resume = next((str(place / "last.ckpt") for place in stages if (place / "last.ckpt").is_file()), None)


def interrupted_stage(config: DictConfig, checkpoints: Path) -> str | None:
    """Which stage wrote the checkpoint to resume from.

    Raises:
        CheckpointError: the file is missing.
        ConfigError: it is not of this run, or of other models or settings.
    """
    resume = config.resume
    if resume is None:
        return None
    if not Path(resume).is_file():
        raise CheckpointError(f"resume={resume} does not exist; give the last.ckpt of an interrupted stage")
    content = load_checkpoint(resume)
    if Path(resume).stem not in assembly.CHECKPOINTS:
        raise ConfigError(f"resume={resume} holds weights only; give the last.ckpt beside it, or the best.ckpt")
    folders = stage_folders(checkpoints)
    stage = next((name for name, place in folders.items() if Path(resume).resolve().parent == place.resolve()), None)
    if stage is None:
        raise ConfigError(
            f"resume={resume} lies in none of {', '.join(map(str, folders.values()))}; give paths.output_dir=FOLDER of that run"
        )
    refuse_other_models(content, assembly.provenance(config))
    if (earlier := settings_of(checkpoints.parent)) is not None:
        refuse_other_settings(earlier, settings(config), resume)
    return stage


def refuse_other_models(content: Checkpoint, asked: dict[str, Any]) -> None:
    """Raise ConfigError if a run that goes on with ``content`` has other models than ``content``, naming the first setting."""
    parts = content.parts()
    before, now = (
        flatten({"model": {part: facts["model"].get(part) for part in parts}, "scales": facts["scales"]})
        for facts in (content.provenance, asked)
    )
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            raise another(content.path, key, before.get(key), now.get(key))


def refuse_other_settings(earlier: dict[str, Any], asked: dict[str, Any], resume: str) -> None:
    """Raise ConfigError if a run that goes on has other settings that decide on its result, naming the first."""
    before, now = flatten(earlier), flatten(asked)
    for key in sorted(before.keys() & now.keys()):  # others are of another version
        decisive = any(key == name or key.startswith(f"{name}.") for name in DECISIVE)
        if decisive and key.rpartition(".")[2] not in CHANGEABLE and before[key] != now[key]:
            raise another(resume, key, before[key], now[key])


def another(resume: str | Path, key: str, before: Any, now: Any) -> ConfigError:
    """The error about a setting of an interrupted run that has changed."""
    return ConfigError(
        f"resume={resume} was written with {key}={before}, but this run has {now}; give the settings of the interrupted run"
    )


def settings(config: DictConfig) -> dict[str, Any]:
    """The settings of a run as :func:`settings_of` reads them."""
    return OmegaConf.to_container(OmegaConf.create(assembly.plain(config)))


def settings_of(folder: Path) -> dict[str, Any] | None:
    """The settings of the run in a folder; None where they are not there."""
    file = folder / "config.yaml"
    return OmegaConf.to_container(OmegaConf.load(file)) if file.is_file() else None


def flatten(tree: Any, name: str = "") -> dict[str, Any]:
    """Name every leaf of nested dictionaries by its path.

    >>> flatten({"model": {"student": {"channels": 16}}})
    {'model.student.channels': 16}
    """
    if not isinstance(tree, dict):
        return {name: tree}
    return {k: v for key, value in tree.items() for k, v in flatten(value, f"{name}.{key}" if name else str(key)).items()}


def begin(folder: Path, interrupted: str | None) -> None:
    """Prepare the folder of a run: the metrics of an interrupted one are kept, what another run left to go on from is not."""
    (folder / FINISHED).unlink(missing_ok=True)
    if interrupted:
        set_aside(folder / "metrics.csv")
        return
    for place in stage_folders(folder / "checkpoints").values():  # or resume=auto would go on with another run
        (place / "last.ckpt").unlink(missing_ok=True)


def set_aside(metrics: Path) -> None:
    """Keep the metrics of an interrupted run as ``metrics.1.csv`` and so on, since the logger starts the file anew."""
    if metrics.is_file():
        number = 1 + len(list(metrics.parent.glob("metrics.*.csv")))
        metrics.replace(metrics.with_suffix(f".{number}.csv"))


def finish(folder: Path, value: float) -> None:
    """Note that a run has done all that it was asked for, and what it came to."""
    write_text(folder / FINISHED, json.dumps({"value": value}) + "\n")


def shown_again(config: DictConfig, folder: Path) -> float | None:
    """Where the run in a folder has done all that ``config`` asks for, show its table and return what it came to; else None."""
    file, result, earlier = folder / FINISHED, folder / "tradeoff.json", settings_of(folder)
    if not (file.is_file() and result.is_file() and earlier is not None):
        return None
    asked = settings(config)
    if any(earlier.get(key) != asked.get(key) for key in (earlier.keys() | asked.keys()) - set(APART)):
        return None
    found = TradeOff.read(result)
    if is_first():
        print(f"the run in {folder} is finished, nothing is left to train or to evaluate; its table:")
        rich.print(table(found.select("static") + found.select("dynamic")))
        result.touch()  # a sweep that is started again joins what has changed
    return float(json.loads(file.read_text("utf-8"))["value"])


def going_on(config: DictConfig) -> bool:
    """Whether a command that reads is to go on with what it has read.

    Raises:
        ConfigError: ``resume`` is something else than true or false.
    """
    if config.resume not in (True, False, "auto", None):
        raise ConfigError(f"resume={config.resume} must be true, to go on with what was read in paths.output_dir, or false")
    return bool(config.resume)


def readings_of(config: DictConfig) -> dict[str, Any]:
    """The settings that readings may depend on: all but where they go, how many there are, and whether to go on."""
    return {key: value for key, value in settings(config).items() if key not in (*APART, "images", "resamples", "verbose")}
