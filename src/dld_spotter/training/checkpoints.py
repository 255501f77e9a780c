"""Checkpoints of a training: what is kept of it, when, and how it goes on from there as if nothing had happened.

The order of images and everything random in them depend on the seed and the place in the data alone. The rest of a step
depends on weights, optimiser and schedule, which Lightning keeps, and on what :class:`LastCheckpoint` adds: the random states
of all processes, and the place in the pass.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint

from dld_spotter.core.errors import ConfigError, TrainingError
from dld_spotter.core.interruption import Interrupted, Postponed
from dld_spotter.data.datamodule import PassSampler
from dld_spotter.inference.checkpoint import write_whole
from dld_spotter.training.modules import StageModule

WORKER_DIED = "DataLoader worker"
"""How torch's message begins where a loader's process has died."""
DUE = 0.5
"""What a process wishes for that only wants to save: less than the number of any signal."""
PROCESSES = "processes"
"""Entry of a checkpoint: what each process of the training keeps for itself."""


class WholeFiles(TorchCheckpointIO):
    """Writes checkpoints whole or not at all; Lightning's own way goes through the temporary folder, maybe of another disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint in its folder, and rename it."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_whole(Path(path), checkpoint)


class BestCheckpoint(ModelCheckpoint):
    """``best.ckpt``, the validation with the highest ``val/value``; knows it again in a folder that was moved."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the best score; the file lies in this run's folder, whatever its path was."""
        places = {path: str(Path(self.dirpath) / Path(path).name) if path else "" for path in _paths(state_dict)}
        moved = {key: places.get(value, value) if isinstance(value, str) else value for key, value in state_dict.items()}
        moved["best_k_models"] = {places[path]: score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(moved | {"dirpath": self.dirpath})


def _paths(state: Mapping[str, Any]) -> set[str]:
    return {state["best_model_path"], state["kth_best_model_path"], state["last_model_path"], *state["best_k_models"]}


class LastCheckpoint(Checkpoint):
    """``last.ckpt``, from which a run goes on to the result that it would have had undisturbed.

    It is written before every pass over the data, before every validation, at the end, every ``minutes`` in between, and where
    a signal asks the run to stop or a loader's process dies; always between two steps, where nothing is under way.

    Args:
        dirpath: folder of the stage; the present one where none is given.
        minutes: after which it is written within a pass.
    """

    def __init__(self, dirpath: str = ".", minutes: float = 10.0) -> None:
        if not minutes > 0:
            raise ConfigError(f"callbacks.last.minutes={minutes} must be above 0; give such as 10")
        self.path = Path(dirpath) / "last.ckpt"
        self.seconds = 60 * minutes
        self.signals = Postponed()
        self.written = 0.0
        self.validated = False
        self.kept: list[dict[str, Any]] | None = None
        self.own = False

    def on_train_start(self, trainer: Trainer, module: StageModule) -> None:
        """Go on where the checkpoint was written, if there is one."""
        if self.kept is not None:
            go_on(trainer, module, self.kept)
            self.kept = None
        self.written = time.monotonic()
        self.signals.start()

    def on_train_epoch_start(self, trainer: Trainer, module: StageModule) -> None:
        """Keep the state between two passes."""
        self.save(trainer)

    def on_train_batch_start(self, trainer: Trainer, module: StageModule, batch: Any, batch_idx: int) -> None:
        """Keep the state between two steps, where it is time or the run is asked to stop.

        Raises:
            Interrupted: it is.
        """
        validated, self.validated = self.validated, False
        if batch_idx == 0 or batch_idx % trainer.accumulate_grad_batches or validated:
            return
        due = time.monotonic() - self.written > self.seconds
        wish = agreed(trainer, self.signals.number or DUE * due)
        if wish:
            self.save(trainer)
        self.stop_if_asked(trainer, module, int(wish))

    def on_validation_start(self, trainer: Trainer, module: StageModule) -> None:
        """Keep the state before a validation, which may take long; signals end it at once."""
        if not trainer.sanity_checking:
            self.save(trainer)
            self.stop_if_asked(trainer, module, int(agreed(trainer, self.signals.number)))
            self.signals.waits = False

    def on_validation_end(self, trainer: Trainer, module: StageModule) -> None:
        """Let signals wait again."""
        if not trainer.sanity_checking:
            self.validated = True
            self.signals.waits = True

    def on_train_end(self, trainer: Trainer, module: StageModule) -> None:
        """Keep the state at the end, from which nothing is trained any more."""
        self.save(trainer)
        self.signals.end()
        self.stop_if_asked(trainer, module, self.signals.number)

    def on_exception(self, trainer: Trainer, module: StageModule, exception: BaseException) -> None:
        """Keep what was trained before a loader's process died."""
        self.signals.end()
        progress = trainer.fit_loop.epoch_loop.batch_progress.current
        between = trainer.training and 0 < progress.completed == progress.ready and not self.validated
        if between and trainer.world_size == 1 and str(exception).startswith(WORKER_DIED):
            self.save(trainer)

    def stop_if_asked(self, trainer: Trainer, module: StageModule, number: int) -> None:
        """Raise Interrupted where a signal has come."""
        if number:
            raise Interrupted(
                number, f"{self.path} holds the {module.stage} stage up to step {trainer.global_step}; resume=auto goes on"
            )

    def save(self, trainer: Trainer) -> None:
        """Write ``last.ckpt``, and the log up to it.

        Raises:
            TrainingError: weights are not finite; the file stays as it is.
        """
        refuse_lost_weights(trainer, self.path)
        for logger in trainer.loggers:
            logger.save()
        self.own = True
        try:
            trainer.save_checkpoint(self.path)
        finally:
            self.own = False
        self.written = time.monotonic()

    def on_save_checkpoint(self, trainer: Trainer, module: StageModule, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not keep; other checkpoints, to read with, stay small."""
        if self.own:
            checkpoint[PROCESSES] = gathered(trainer, {"random": random_state()})
            settle(checkpoint["loops"]["fit_loop"], validating=trainer.validating)

    def on_load_checkpoint(self, trainer: Trainer, module: StageModule, checkpoint: dict[str, Any]) -> None:
        """Remember what each process kept, for the start of the training.

        Raises:
            ConfigError: there were more or fewer processes.
        """
        change_rates(module, checkpoint)
        self.kept = checkpoint.get(PROCESSES)
        if self.kept is not None and len(self.kept) != trainer.world_size:
            raise ConfigError(
                f"the interrupted stage was trained in {len(self.kept)} processes, but this run has {trainer.world_size}; "
                "give its trainer.devices"
            )


def change_rates(module: StageModule, checkpoint: dict[str, Any]) -> None:
    """Let the learning rates that are asked for hold from here on; the schedule goes on, higher or lower by a factor."""
    asked = module.optimization.optimizer(module.parameter_groups()).param_groups
    for state in checkpoint["optimizer_states"]:
        for group, wanted in zip(state["param_groups"], asked, strict=True):
            if "max_lr" in group and wanted["lr"] != group["max_lr"]:
                factor = wanted["lr"] / group["max_lr"]
                group.update({key: group[key] * factor for key in ("lr", "initial_lr", "min_lr")} | {"max_lr": wanted["lr"]})


def refuse_lost_weights(trainer: Trainer, path: Path) -> None:
    """Raise TrainingError where weights are not finite, so that the last good ones are not written over."""
    lost = [name for name, value in trainer.lightning_module.named_parameters() if not value.detach().isfinite().all()]
    if lost:
        settings = trainer.lightning_module.settings
        raise TrainingError(
            f"the weights {lost[0]} are not finite at step {trainer.global_step}; {path} keeps the last good ones: go on with "
            f"resume=auto and a lower stages.{settings}.lr"
        )


def random_state() -> dict[str, torch.Tensor]:
    """States of the generators that a step draws from."""
    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() and torch.cuda.is_initialized() else {})


def gathered(trainer: Trainer, own: dict[str, Any]) -> list[dict[str, Any]] | None:
    """What all processes keep, by their rank, in the first one; None in the others."""
    if trainer.world_size == 1:
        return [own]
    everything: list[Any] | None = [None] * trainer.world_size if trainer.is_global_zero else None
    torch.distributed.gather_object(own, everything)
    return everything


def agreed(trainer: Trainer, value: float) -> float:
    """The highest value among all processes, so that they save and stop at the same step."""
    if trainer.world_size == 1:
        return value
    shared = torch.tensor(float(value), device=trainer.strategy.root_device)
    torch.distributed.all_reduce(shared, torch.distributed.ReduceOp.MAX)
    return shared.item()


def settle(fit_loop: dict[str, Any], validating: bool) -> None:
    """Let the counters in a checkpoint say where the training stands, in the way that Lightning's loops go on from.

    Lightning expects checkpoints at the ends of steps, passes and validations only, before what happened there is logged, and
    takes a validation that was about to begin for one that is done.

    Args:
        fit_loop: state of Lightning's loop over passes.
        validating: whether a validation is about to begin.
    """
    epochs, batches = fit_loop["epoch_progress"], fit_loop["epoch_loop.batch_progress"]
    validation = fit_loop["epoch_loop.val_loop.batch_progress"]
    for counts in (batches["total"], batches["current"]):  # the step that is about to begin has not
        counts.update(dict.fromkeys(("ready", "started", "processed"), counts["completed"]))
    within = epochs["total"]["started"] > epochs["total"]["processed"]
    if not within:
        for counts in (epochs["total"], epochs["current"]):
            counts.update(dict.fromkeys(("ready", "started", "completed"), counts["processed"]))
        batches["current"].update(dict.fromkeys(batches["current"], 0))
        batches["is_last_batch"] = False
    done = 1 if validating else 0
    validation["total"].update(ready=done, started=done, processed=0, completed=0)
    validation["current"].update(ready=done, started=done, processed=0, completed=0)
    validation["is_last_batch"] = False


def go_on(trainer: Trainer, module: LightningModule, kept: list[dict[str, Any]]) -> None:
    """Take up the place in the data and the random states, in this order."""
    loop = trainer.fit_loop
    batches = loop.epoch_loop.batch_progress.current.completed
    if batches == 0:  # between two passes there is nothing to go back to: the next one begins as any other
        loop.restarting = False
    loader = trainer.train_dataloader
    sampler: PassSampler = loader.sampler
    sampler.set_epoch(trainer.current_epoch)
    sampler.start = batches % trainer.num_training_batches * loader.batch_size
    iter(loop._data_fetcher)  # the workers have begun with the first pass, when the number of steps was asked for
    own = kept[trainer.global_rank]
    torch.set_rng_state(own["random"]["cpu"])
    if "cuda" in own["random"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(own["random"]["cuda"])
