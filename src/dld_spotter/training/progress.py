"""How far a stage of the training is: a bar in a terminal, a line now and then in a file."""

import time
from datetime import timedelta
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dld_spotter.training.modules import StageModule


class StageProgress(ProgressBar):
    """One bar for a whole stage: its name, steps, time left, and the figures that are logged for it.

    Args:
        lines: where the output is no terminal, at most so many lines tell of a stage.
    """

    def __init__(self, lines: int = 10) -> None:
        super().__init__()
        self.lines = lines
        self.enabled = True
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self.started = 0.0
        self.first_step = 0

    def disable(self) -> None:
        """Say nothing, as in processes other than the first."""
        self.enabled = False

    def enable(self) -> None:
        """Speak again."""
        self.enabled = True

    def on_train_start(self, trainer: Trainer, module: StageModule) -> None:
        """Say what begins."""
        if not self.enabled:
            return
        console = Console()
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self.bar = Progress(
            TextColumn("{task.description}"),
            *columns,
            TextColumn("{task.fields[figures]}"),
            console=console,
            disable=not console.is_terminal,
            speed_estimate_period=120,  # seconds; steps differ in length, as their images do
        )
        self.started, self.first_step = time.monotonic(), trainer.global_step
        steps = int(trainer.estimated_stepping_batches)
        name = module.stage
        device = trainer.strategy.root_device.type + (f" in {trainer.world_size} processes" if trainer.world_size > 1 else "")
        console.print(f"{name} stage: {steps} step{'s' * (steps != 1)} on {device}")
        self.task = self.bar.add_task(name, total=steps, completed=trainer.global_step, figures="")
        self.bar.start()

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Count the step."""
        if self.bar:
            self._show(trainer, module)

    def on_validation_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Count the validation batch."""
        if self.bar and not trainer.sanity_checking:
            self.bar.update(self.task, figures=f"validating {batch_idx + 1}/{trainer.num_val_batches[0]}")

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Show what validation found."""
        if self.bar and not trainer.sanity_checking:
            self._show(trainer, module, always=True)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Leave the bar as it is."""
        self._stop()

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """Leave the bar as it is, so that what went wrong stands below it."""
        self._stop()

    def _stop(self) -> None:
        if self.bar:
            self.bar.stop()
            self.bar = None

    def _show(self, trainer: Trainer, module: LightningModule, always: bool = False) -> None:
        step, values = trainer.global_step, self.get_metrics(trainer, module)
        figures = " ".join(f"{key} {value:.3f}" for key, value in values.items() if isinstance(value, float))
        self.bar.update(self.task, completed=step, figures=figures)
        (task,) = self.bar.tasks
        if self.bar.disable and (always or step % max(1, int(task.total) // self.lines) == 0):
            pace = (time.monotonic() - self.started) / max(1, step - self.first_step)
            left = timedelta(seconds=round(pace * (task.total - step)))
            self.bar.console.print(f"{task.description}: step {step} of {task.total:g}, {left} left, {figures}")
