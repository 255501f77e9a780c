"""What a training stage is made of, each passed as one object."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from dld_spotter.budget.cost import CostModel
from dld_spotter.core.errors import ConfigError
from dld_spotter.losses.detection import DetectionLoss
from dld_spotter.losses.objective import Objective
from dld_spotter.losses.recognition import RecognitionLoss
from dld_spotter.models.spotter import Spotter
from dld_spotter.selection.objective import SelectionObjective
from dld_spotter.selection.selector import Selector


@dataclass(frozen=True)
class StageLosses:
    """What a stage minimises.

    Args:
        detection: loss of the text map, per image.
        recognition: loss of the words, per word.
        objective: weights of the named terms.
    """

    detection: DetectionLoss
    recognition: RecognitionLoss
    objective: Objective


@dataclass(frozen=True)
class Optimization:
    """How a stage minimises it.

    Args:
        optimizer: builds the optimiser from groups of parameters.
        scheduler: builds the schedule from ``(optimizer, max_lr=, total_steps=)``, stepped every batch.
    """

    optimizer: Callable[[Iterable[dict[str, Any]]], Optimizer]
    scheduler: Callable[..., LRScheduler]

    def build(self, groups: Iterable[dict[str, Any]], steps: int) -> dict[str, Any]:
        """Optimiser and schedule of ``steps`` steps, in the form that Lightning asks for."""
        optimizer = self.optimizer(groups)
        rates = [group["lr"] for group in optimizer.param_groups]
        schedule = self.scheduler(optimizer, max_lr=rates, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


@dataclass(frozen=True)
class ScaleSelection:
    """How the distillation stage chooses scales, and how that is learnt.

    Args:
        selector: chooses.
        objective: how the selector learns; None where it does not.
        cost_model: relative cost of every scale.
        lr: learning rate of the selector, which starts from nothing.

    Raises:
        ConfigError: the selector learns, but not by this objective.
    """

    selector: Selector
    objective: SelectionObjective | None
    cost_model: CostModel
    lr: float = 2e-3

    def __post_init__(self) -> None:
        if self.selector.trainable and not (self.objective and self.objective.teaches(self.selector)):
            kind = type(self.selector).__name__
            raise ConfigError(f"selection= cannot teach a {kind}; leave it out, selector= brings its own")


@dataclass(frozen=True)
class Frozen:
    """What of a spotter does not learn in a stage.

    Args:
        parts: names of its parts, such as ``backbone``; their batch statistics stay as well.
        normalization: keep the batch statistics of all of it.
    """

    parts: Sequence[str] = ()
    normalization: bool = False

    def freeze(self, spotter: Spotter, others: bool = False) -> list[nn.Module]:
        """Let no gradient be computed for the parts, and return them.

        Args:
            spotter: what they are parts of.
            others: whether something beside the spotter learns, so that all of it may stay as it is.

        Raises:
            ConfigError: the spotter has no such part, or nothing would be left to learn.
        """
        children = {name: child for name, child in spotter.named_children() if any(True for _ in child.parameters())}
        unknown = [name for name in self.parts if name not in children]
        if unknown or (set(self.parts) == set(children) and not others):
            raise ConfigError(
                f"stages.*.freeze={list(self.parts)} must name some of {', '.join(children)}"
                + (f", not {unknown[0]}" if unknown else ", not all: nothing would be left to learn")
            )
        return [children[name].requires_grad_(False) for name in self.parts]
