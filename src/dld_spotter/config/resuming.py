"""How a training goes on: from which checkpoint, with which settings, and whether there is anything left to do."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import rich
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from dld_spotter.config import assembly
from dld_spotter.config.entry import sentence
from dld_spotter.core.errors import CheckpointError, ConfigError
from dld_spotter.inference.checkpoint import Checkpoint, load_checkpoint
from dld_spotter.tradeoff import TradeOff, table
from dld_spotter.tradeoff.runs import RESULT, STATUS, RunStatus, held
from dld_spotter.training.processes import is_first

AUTOMATIC = ("auto", True)
"""Values of ``resume`` that ask for what is in the folder of the run."""
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
        "control",
        "objective",
        "budget",
        "selector",
        "selection",
        "callbacks.shares",
    ),
    *("detection_loss", "recognition_loss", "distillation", "cost", "optimizer", "scheduler"),
    *("data.batch_size", "data.seed", "data.train_collate"),
    *("trainer.max_steps", "trainer.limit_train_batches", "trainer.val_check_interval", "trainer.accumulate_grad_batches"),
    *("trainer.precision", "trainer.gradient_clip_val", "trainer.check_val_every_n_epoch"),
)
"""Settings without which a run cannot go on to the result that it would have had."""
RATES = ("lr", "selector_lr")
CHANGEABLE = (*RATES, "_target_")
"""Settings among them that may change, and then hold from there on; code may have moved."""
APART = ("resume", "paths", "logger")
"""Settings that a finished run may be asked about with others."""


def stage_folders(checkpoints: Path) -> dict[str, Path]:
    """Where each stage keeps its checkpoints."""
    return {"teacher": checkpoints / "teacher", "distillation": checkpoints, "control": checkpoints / "control"}


def find_interrupted(config: DictConfig, checkpoints: Path) -> None:
    """Put in the place of ``resume=auto`` the last checkpoint of the run in the same folder, None where there is none yet."""
    if config.resume is False:
        config.resume = None
    if config.resume not in AUTOMATIC:
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
    if stage == "control" and not (checkpoints / "last.ckpt").is_file():
        raise CheckpointError(f"{checkpoints / 'last.ckpt'} is missing, the student whose control {resume} is; begin anew")
    refuse_other_models(content, assembly.provenance(config), config.budget is not None)
    if (earlier := settings_of(checkpoints.parent)) is not None:
        refuse_other_settings(earlier, settings(config), resume)
    return stage


def checkpoint_of(stage: str, interrupted: str | None, config: DictConfig, checkpoints: Path) -> str | None:
    """From which checkpoint a stage goes on; None where it begins.

    Where the control was interrupted, the distillation before it is over, and takes up what it has left.
    """
    if interrupted == "control" and stage == "distillation":
        return str(checkpoints / "last.ckpt")
    return config.resume if interrupted == stage else None


def refuse_other_models(content: Checkpoint, asked: dict[str, Any], budgeted: bool = False) -> None:
    """Raise ConfigError if a run that goes on with ``content`` has other models than ``content``, naming the first setting."""
    parts = content.parts()
    before, now = (
        flatten({"model": {part: facts["model"].get(part) for part in parts}, "scales": facts["scales"]})
        for facts in (content.provenance, asked)
    )
    moved = {"model.selector.gamma"} if budgeted else set()  # a budget moves it while it trains
    for key in sorted((before.keys() | now.keys()) - moved):
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
    if interrupted:
        for log in (folder, stage_folders(folder / "checkpoints")["control"]):
            set_aside(log / "metrics.csv")
        return
    for place in stage_folders(folder / "checkpoints").values():  # or resume=auto would go on with another run
        (place / "last.ckpt").unlink(missing_ok=True)


def set_aside(metrics: Path) -> None:
    """Keep the metrics of an interrupted run as ``metrics.1.csv`` and so on, since the logger starts the file anew."""
    if metrics.is_file():
        number = 1 + len(list(metrics.parent.glob("metrics.*.csv")))
        metrics.replace(metrics.with_suffix(f".{number}.csv"))


Ending = Literal["running", "completed", "failed"]


PATIENCE = 8
"""Seconds to wait for what a killed run has started, such as its loaders, to see that it is gone."""


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes out of the folder of a run: of a sweep that was killed, jobs in other processes may go on.

    Raises:
        ConfigError: another process is at work there.
    """
    with ExitStack() as stack:
        for attempt in range(PATIENCE * is_first()):
            if stack.enter_context(held(folder)):
                break
            if attempt == PATIENCE - 1:
                raise ConfigError(
                    f"another process is training in {folder}; wait for it to end, or give another paths.output_dir"
                )
            time.sleep(1)
        yield


class Recorder:
    """Keeps ``status.json`` of a run: that it runs, and how it ended, whatever ends it.

    What an earlier run has left is not touched by one that is refused before it begins.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.begun = folder, False
        self.score: float | None = None

    def __enter__(self) -> Self:
        self._begin = time.perf_counter()
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        return self

    def begin(self) -> None:
        """Note that the run has begun."""
        self.begun = True
        self._write("running")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self._write("completed", seconds=self._seconds())
        elif self.begun or not (self.folder / STATUS).is_file():
            self._write("failed", seconds=self._seconds(), error=sentence(error))

    def _seconds(self) -> float:
        return round(time.perf_counter() - self._begin, 1)

    def _write(
        self, status: Literal["running", "completed", "failed"], seconds: float | None = None, error: str | None = None
    ) -> None:
        if is_first():
            self.folder.mkdir(parents=True, exist_ok=True)
            score = self.score if self.score is not None and isfinite(self.score) else None
            RunStatus(status, self._started, overrides(), seconds, score, error).write(self.folder)


def overrides() -> dict[str, str]:
    """What the run was started with; how it goes on is no part of it."""
    given = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    pairs = (override.partition("=")[::2] for override in given)
    return {key: value for key, value in pairs if key.partition(".")[0] not in APART}


def finished(config: DictConfig, folder: Path) -> float | None:
    """Where the run in a folder has done all that ``config`` asks for, show its table and return what it came to; else None.

    Raises:
        ConfigError: the folder of a sweep's job holds a run with other settings, or a finished run is asked to go on at
            another rate.
    """
    gone_on_with = config.resume in AUTOMATIC or (isinstance(config.resume, str) and Path(config.resume).is_file())
    before, earlier, result = (RunStatus.read(folder), settings_of(folder), folder / RESULT) if gone_on_with else (None,) * 3
    if before is None or earlier is None:
        return None
    config = config.copy()
    try:
        assembly.settle_precision(config)
    except ConfigError:  # which the run will say itself
        return None
    difference = first_difference(earlier, settings(config))
    if difference is not None and config.resume in AUTOMATIC and _in_sweep():
        raise ConfigError(
            f"resume={config.resume}: {folder} holds a run with {difference[0]}={difference[1]}, but this job has "
            f"{difference[2]}; give the command of that sweep, or another paths.output_dir"
        )
    if before.status != "completed" or not result.is_file():
        return None
    if difference is not None and difference[0].rpartition(".")[2] in RATES:
        raise ConfigError(
            f"the run in {folder} is finished, and {difference[0]}={difference[2]} would change nothing; leave it out, or give "
            "another paths.output_dir"
        )
    if difference is not None:
        return None
    if is_first():
        found = TradeOff.read(result)
        print(f"the run in {folder} is finished, nothing is left to do; its table:")
        rich.print(table(found.select("static") + found.select("dynamic")))
    return before.score or 0.0


def first_difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """The first setting that differs between two configurations, with both values; what trains nothing is left out."""
    one, two = (flatten({k: v for k, v in tree.items() if k not in APART}) for tree in (before, now))
    keys = sorted(key for key in one.keys() | two.keys() if one.get(key) != two.get(key))
    return (keys[0], one.get(keys[0]), two.get(keys[0])) if keys else None


def _in_sweep() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN


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
