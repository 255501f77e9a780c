"""Training in several processes: which one writes, what noise each draws, how they end.

Lightning starts the further processes when the first stage begins, by running the same command again; they run every stage
beside the first process, write nothing and end before the evaluation.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_only

from dld_spotter.core.errors import SpotterError, TrainingError
from dld_spotter.core.interruption import Interrupted

LAUNCHED = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables that Lightning leaves behind for its own processes."""
SETTLE = 8.0
"""Seconds in which a process that has failed ends, sentence included."""
PATIENCE = 60.0
"""Seconds that a process which has nothing left to do may take to end."""


def is_first() -> bool:
    """Whether this process is the one that writes, evaluates and reports."""
    return rank_zero_only.rank in (None, 0)


class Processes:
    """The processes that Lightning started for a run, which a torchrun or Slurm launch already has."""

    def __init__(self) -> None:
        self.external = "LOCAL_RANK" in os.environ
        self.parent = os.getppid()
        self.started: list[Popen] = []
        self.observed: list[Popen] = []

    @contextmanager
    def launching(self, trainer: Trainer) -> Iterator[None]:
        """Start what ``trainer`` starts as a run of its own, where this one is a job of a sweep, and remember it."""
        before = sys.argv
        if HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN:
            sys.argv = [before[0], *HydraConfig.get().overrides.task]
        try:
            yield
        finally:
            sys.argv = before
            launched = getattr(trainer.strategy.launcher, "procs", [])
            if launched:
                self.started, self.observed = list(launched), launched

    def end(self, error: BaseException | None = None) -> None:
        """Let the processes end, or make them where the run has failed, so that a next run can start its own.

        Raises:
            SystemExit: ``error`` only follows from what went wrong in another process, which told it.
        """
        if self.external:
            if os.getppid() != self.parent and not isinstance(error, SpotterError | Interrupted | None):
                raise SystemExit(1) from error  # the process that has started this one is gone, and cannot be worked with
            return
        if error is not None:
            self.observed[:] = []  # or Lightning, which watches them, would kill this process too
            status = 0 if isinstance(error, SpotterError | Interrupted) else self._failed()
            lost = [k for k, process in enumerate(self.started, start=1) if (process.poll() or 0) < 0]
            for process in self.started:
                process.kill()
        for process in self.started:
            process.wait(PATIENCE)
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        for name in LAUNCHED:
            os.environ.pop(name, None)
        if error is not None and status > 0:
            raise SystemExit(status) from error
        if error is not None and status < 0:
            name = signal.Signals(-status).name
            raise TrainingError(f"process {lost[0]} of the training was ended by {name}; resume=auto goes on") from error

    def _failed(self) -> int:
        """Exit status of a process that has ended with one, else 0; it may be about to."""
        deadline = time.monotonic() + SETTLE
        while self.started and time.monotonic() < deadline:
            if statuses := [process.returncode for process in self.started if process.poll()]:
                return statuses[0]
            time.sleep(0.1)
        return 0
