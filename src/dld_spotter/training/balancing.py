"""How much of the student's gradient each term of the loss has, logged, and brought to the shares that are asked for."""

import logging
from collections.abc import Mapping
from functools import partial
from math import isfinite
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dld_spotter.core.batches import SpottingBatch
from dld_spotter.core.errors import ConfigError
from dld_spotter.losses.balance import RECOGNITION, Balance, gradient_norms
from dld_spotter.training.modules import DLDModule, StageModule
from dld_spotter.training.reduction import mean_over_processes

logger = logging.getLogger(__name__)
SHARDED = (FSDPStrategy, ModelParallelStrategy)
"""No process has the parameters there that a gradient could be asked for."""


class GradientShares(Callback):
    """Measure the gradient of each term beside that of recognition, in some steps of the distillation stage.

    ``shares/TERM`` of an epoch is the mean norm of the weighted term over that of the weighted recognition loss, both with
    respect to what the recognition loss reaches of the student. Terms of ``objective.shares`` are weighed so that they have
    these shares (:class:`~dld_spotter.losses.balance.Balance`), from the first step on; ``weights/TERM`` tells how.

    Args:
        every: steps from one measurement to the next; before, those that are powers of two.
        memory: how much of the mean norms a measurement leaves.
    """

    def __init__(self, every: int = 50, memory: float = 0.8) -> None:
        if not isinstance(every, int) or every < 1:
            raise ConfigError(f"callbacks.shares.every={every} must be a whole number of steps; give such as 50")
        if not 0 <= memory < 1:
            raise ConfigError(f"callbacks.shares.memory={memory} must be at least 0 and below 1; give such as 0.8")
        self.every, self.memory = every, memory
        self.kept: dict[str, Any] | None = None
        self.balance: Balance | None = None
        self.hook: RemovableHandle | None = None
        self.due = False
        self.warned: set[str] = set()

    def on_train_start(self, trainer: Trainer, module: StageModule) -> None:
        """Watch the terms on their way into the weighted sum; go on with the weights of the checkpoint, if there is one.

        Raises:
            ConfigError: gradients cannot be measured, as parameters are divided among processes.
        """
        if not isinstance(module, DLDModule):
            return
        shares = module.objective.shares
        if isinstance(trainer.strategy, SHARDED):
            if shares and len(module.distillation):
                raise ConfigError("objective.shares cannot be held where the model is divided; give objective.shares=null")
            return
        self.balance = Balance(shares, module.objective.weights, self.memory)
        if self.kept is not None:
            self.balance.load_state_dict(self.kept)
            module.objective.weights |= self.balance.weights
        self.hook = module.objective.register_forward_pre_hook(partial(self._watch, trainer, module))

    def on_train_batch_start(self, trainer: Trainer, module: StageModule, batch: SpottingBatch, batch_idx: int) -> None:
        """Decide whether to measure, the same in every process; of the batches of one step the first is measured."""
        step, early = trainer.global_step, trainer.global_step & (trainer.global_step - 1) == 0
        self.due = batch_idx % trainer.accumulate_grad_batches == 0 and (
            step % self.every == 0 or (step < self.every and early)
        )

    def _watch(self, trainer: Trainer, module: DLDModule, objective: nn.Module, given: tuple[Mapping[str, Tensor]]) -> None:
        """Measure the terms that are about to be summed, where it is due."""
        if self.due:
            self.due = False
            self.measure(trainer, module, given[0])

    def measure(self, trainer: Trainer, module: DLDModule, terms: Mapping[str, Tensor]) -> None:
        """Measure the terms of a step, those of all processes together, and set the weights."""
        weights = module.objective.weights
        weighed = {name: term for name, term in terms.items() if weights.get(name)}
        if RECOGNITION not in weighed:
            return
        scaler = getattr(trainer.precision_plugin, "scaler", None)  # of half precision whose range is small
        every = [name for name in weights if weights[name]]
        size = scaler.get_scale() if scaler else 1.0
        norms = gradient_norms(weighed, module.student.parameters(), size, every, mean_over_processes)
        values = dict(zip(norms, torch.stack(list(norms.values())).tolist(), strict=True))
        if not all(map(isfinite, values.values())):  # the step says so itself
            return
        idle = self.balance.measure(values)
        if values[RECOGNITION] > 0:
            idle += [name for name in weighed if name in self.balance.shares and name not in values]
        self._warn(set(idle), weights, trainer.is_global_zero)
        weights |= self.balance.weights

    def _warn(self, idle: set[str], weights: Mapping[str, float], first: bool) -> None:
        """Say once of each term that there is nothing to weigh."""
        for name in sorted(idle - self.warned):
            if first:
                told = "%s gives next to no gradient to what recognition trains; until it does, its weight stays %g"
                logger.warning(told, name, weights[name])
        self.warned |= idle

    def on_train_epoch_end(self, trainer: Trainer, module: StageModule) -> None:
        """Log the shares of the epoch, where it had a step that was measured, and the weights that were found."""
        if self.balance is not None:
            values = {f"shares/{name}": share for name, share in self.balance.told().items()}
            values |= {f"weights/{name}": weight for name, weight in self.balance.weights.items()}
            module.log_dict(values, sync_dist=True)  # the same in every process

    def on_train_end(self, trainer: Trainer, module: StageModule) -> None:
        """Watch no longer."""
        if self.hook is not None:
            self.hook.remove()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {} if self.balance is None else self.balance.state_dict() | {"warned": sorted(self.warned)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with what a checkpoint keeps."""
        self.kept = state_dict or None
        self.warned = set(state_dict.get("warned", ()))
