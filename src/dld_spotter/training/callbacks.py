"""What happens beside the steps: the Gumbel temperature, the cost weight of a budget, and a record of the scales chosen."""

import logging
from math import exp
from typing import Any

import torch
from lightning import Callback, Trainer

from dld_spotter.core.batches import SpottingBatch
from dld_spotter.core.errors import ConfigError, TrainingError
from dld_spotter.models.modes import evaluating
from dld_spotter.training.modules import DLDModule, StageModule
from dld_spotter.training.wandb_run import RunLogger

logger = logging.getLogger(__name__)


class TemperatureSchedule(Callback):
    """Cool the selector's Gumbel temperature geometrically (DLD, section 4: from 5.0, times 0.965 per epoch, 50 epochs).

    The paper's 50 epochs are mapped onto the run's length, so that a short run ends at the same temperature.

    Args:
        decay: factor per epoch of the paper's schedule.
        epochs: epochs of that schedule.
        floor: least temperature.
    """

    def __init__(self, decay: float = 0.965, epochs: int = 50, floor: float = 0.5) -> None:
        self.decay = decay
        self.epochs = epochs
        self.floor = floor

    def temperature(self, start: float, progress: float) -> float:
        """Temperature after the fraction ``progress`` of a run that begins with ``start``."""
        return max(self.floor, start * self.decay ** (self.epochs * progress))

    def on_train_batch_start(self, trainer: Trainer, module: StageModule, batch: SpottingBatch, batch_idx: int) -> None:
        """Set the temperature of the step, and log it."""
        start = module.starting_temperature()
        if start is not None:
            progress = trainer.global_step / max(1, trainer.estimated_stepping_batches)
            module.temperature = self.temperature(start, progress)
            module.log("train/gumbel_temperature", module.temperature)


class DistinctNoise(Callback):
    """Let every process draw its own decisions; with one seed for all, they would explore the same ones.

    Args:
        seed: of the run; the first process goes on as it would alone.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def on_train_start(self, trainer: Trainer, module: StageModule) -> None:
        """Seed the further processes, whose weights equal the first one's by now."""
        if trainer.global_rank:
            torch.manual_seed(self.seed + trainer.global_rank)


class SameLength(Callback):
    """Refuse to resume a stage whose number of steps has changed: its learning rates were planned for the number it had."""

    def on_load_checkpoint(self, trainer: Trainer, module: StageModule, checkpoint: dict[str, Any]) -> None:
        """Compare the plan in the checkpoint with this run's.

        Raises:
            ConfigError: they differ.
        """
        planned = [state["total_steps"] for state in checkpoint.get("lr_schedulers", ()) if "total_steps" in state]
        steps = int(trainer.estimated_stepping_batches)
        if planned and planned[0] != steps:
            raise ConfigError(
                f"the interrupted stage was planned for {planned[0]} steps, but this run has {steps}; give the epochs, the "
                "batch size and the trainer.* settings of the interrupted run, or start anew"
            )


class CostBudget(Callback):
    """Move the cost weight while the selector learns, until what it chooses costs the budget: dual ascent, step by step.

    Args:
        budget: mean relative cost, 1.0 being full resolution; None leaves the cost weight as it is.
        rate: by how much of itself the cost weight grows in a step that costs twice the budget.
    """

    RANGE = (1e-4, 1e3)
    """Bounds of the cost weight."""

    def __init__(self, budget: float | None = None, rate: float = 0.05) -> None:
        if budget is not None and not 0 < budget <= 1:
            raise ConfigError(f"budget={budget:g} to train for must be above 0 and at most 1; give such as budget=0.3")
        self.budget, self.rate = budget, rate
        self.gamma: float | None = None

    def on_train_start(self, trainer: Trainer, module: StageModule) -> None:
        """Begin with the cost weight of the run, or go on with that of the checkpoint.

        Raises:
            ConfigError: no selector learns, or the cost weight is 0.
        """
        if self.budget is None or not isinstance(module, DLDModule):
            return
        weight = module.objective.weights.get("cost", 0.0)
        if not module.selector.trainable or weight <= 0:
            fault = f"objective.weights.cost={weight:g}" if module.selector.trainable else "a selector that learns nothing"
            raise ConfigError(f"budget={self.budget:g} cannot be trained for with {fault}; give selector=gumbel and a weight")
        self._weigh(module, self.gamma or weight)

    def on_train_batch_end(
        self, trainer: Trainer, module: StageModule, outputs: Any, batch: SpottingBatch, batch_idx: int
    ) -> None:
        """Compare what the batch would cost with the budget."""
        if self.budget is None or not isinstance(module, DLDModule):
            return
        costs = module.costs(batch)
        with torch.no_grad(), evaluating(module.selector):
            index = module.selector.choose(batch.thumbnails, batch.views[1.0].sizes, costs)
        spent = trainer.strategy.reduce(costs.gather(1, index[:, None]).mean(), reduce_op="mean")
        low, high = self.RANGE
        gamma = self.gamma * exp(self.rate * (float(spent) / self.budget - 1))
        self._weigh(module, round(min(high, max(low, gamma)), 9))
        module.log_dict({"selector/cost_weight": self.gamma, "selector/relative_cost": spent})

    def _weigh(self, module: DLDModule, gamma: float) -> None:
        """Use a cost weight everywhere: in the loss, by the selector, and in what checkpoints say of it."""
        self.gamma = gamma
        module.objective.weights["cost"] = gamma
        module.selector.gammas = tuple(round(gamma * factor, 9) for factor in module.selector.factors)
        module.provenance["model"]["selector"]["gamma"] = gamma

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"gamma": self.gamma}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the cost weight of a checkpoint."""
        self.gamma = state_dict["gamma"]


class ScaleHistogram(Callback):
    """Log how often each scale was trained at: ``scale/0.3`` ... are fractions of an epoch's images."""

    def __init__(self) -> None:
        self.counts: dict[float, int] = {}

    def state_dict(self) -> dict[str, Any]:
        """What was counted in the epoch so far."""
        return {"counts": dict(self.counts)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.counts = dict(state_dict["counts"])

    def on_train_batch_end(
        self, trainer: Trainer, module: StageModule, outputs: Any, batch: SpottingBatch, batch_idx: int
    ) -> None:
        """Count the step's scales."""
        for scale, count in module.count_scales().items():
            self.counts[scale] = self.counts.get(scale, 0) + count

    def on_train_epoch_end(self, trainer: Trainer, module: StageModule) -> None:
        """Log the fractions, and a histogram where the logger takes one, and start anew."""
        total = sum(self.counts.values())
        if total:
            for logger in trainer.loggers:
                if isinstance(logger, RunLogger):
                    logger.log_scales(
                        sorted(self.counts), [self.counts[key] for key in sorted(self.counts)], trainer.global_step
                    )
            fractions = {f"scale/{scale:g}": count / total for scale, count in self.counts.items()}
            module.log_dict(fractions, sync_dist=True)  # all processes train on equally many images
        self.counts.clear()


class RefuseNothing(Callback):
    """End a training whose first epoch has shown no word, and warn of one without a text that can be learnt.

    Raises:
        TrainingError: at the end of that epoch, there is none.
    """

    def __init__(self) -> None:
        self.images = self.words = self.texts = 0
        self.told = False

    def on_train_batch_end(
        self, trainer: Trainer, module: StageModule, outputs: Any, batch: SpottingBatch, batch_idx: int
    ) -> None:
        """Count what there was to learn."""
        self.images += len(batch)
        self.words += sum(map(len, batch.instances))
        self.texts += len(batch.labels)

    def on_train_epoch_end(self, trainer: Trainer, module: StageModule) -> None:
        """Look at the counts of the first epoch, over all processes."""
        if self.told:
            return
        self.told = True
        counts = torch.tensor([self.images, self.words, self.texts], dtype=torch.int64, device=module.device)
        images, words, texts = (int(count) for count in trainer.strategy.reduce(counts, reduce_op="sum"))
        if images and not words:
            raise TrainingError(
                f"the {images} training images of the first epoch hold no word; see what check_data says of the data set"
            )
        if words and not texts:
            logger.warning(
                "none of the %d words of the first epoch can be learnt to read: they are ignored, longer than max_length= or "
                "outside the charset; see what check_data says of the data set, and charset=",
                words,
            )
