"""Hmean over batches and devices; the counting itself is :func:`dld_spotter.metrics.matching.match_images`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from dld_spotter.core.errors import ConfigError
from dld_spotter.core.instances import TextInstances
from dld_spotter.core.words import Word
from dld_spotter.metrics.lexicons import Lexicon
from dld_spotter.metrics.matching import Hmean, ImageCounts, match_images
from dld_spotter.metrics.protocols import Task, find_protocol


class SpottingHmean(Metric):
    """Precision, recall and Hmean of predicted words; the subclasses name the task.

    The states are sums of counts over images, so any split into batches or ranks gives the same figures.

    Args:
        protocol: name of the rules, see :mod:`dld_spotter.metrics.protocols`.
        iou: a pair needs more than this.
        lexicon: words to which predictions are corrected first.
    """

    task: ClassVar[Task]
    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    counts: Tensor

    def __init__(self, protocol: str = "rrc", iou: float = 0.5, lexicon: Lexicon | None = None) -> None:
        super().__init__()
        self.protocol = find_protocol(protocol)
        self.iou = iou
        self.lexicon = lexicon
        self.add_state("counts", torch.zeros(3, dtype=torch.int64), dist_reduce_fx="sum")

    def update(
        self, preds: Sequence[Sequence[Word]], target: Sequence[TextInstances], names: Sequence[str] | None = None
    ) -> None:
        """Count a batch: per image its predicted words, its true words and, for a strong lexicon, its name."""
        if names is None:
            if self.lexicon and not self.lexicon.shared:
                raise ConfigError("a lexicon with one list per image needs names; give update(preds, target, names)")
            names = [""] * len(target)
        lexicons = [None if self.lexicon is None else self.lexicon.of(name) for name in names]
        for match in match_images(target, preds, self.protocol, self.task, self.iou, lexicons, exact=False):
            self.counts += torch.tensor(match.counts, device=self.counts.device)

    def compute(self) -> dict[str, Tensor]:
        """Scalars ``precision``, ``recall`` and ``hmean`` in single precision, 0 where there is nothing to divide by."""
        # Single precision, since loggers move them to devices without doubles.
        figures = asdict(Hmean.of([ImageCounts(*self.counts.tolist())]))
        return {name: torch.tensor(value, dtype=torch.float32) for name, value in figures.items()}


class DetectionHmean(SpottingHmean):
    """Words that were found, whatever was read."""

    task = "detection"


class EndToEndHmean(SpottingHmean):
    """Words that were found and read."""

    task = "end_to_end"


class WordSpottingHmean(SpottingHmean):
    """Dictionary words that were found and read; all other words are don't-care regions."""

    task = "word_spotting"
