"""Hmean over batches and devices; the counting itself is :func:`dld_spotter.metrics.matching.match_images`."""

from collections.abc import Sequence
from dataclasses import asdict

import torch
from torch import Tensor
from torchmetrics import Metric

from dld_spotter.core.instances import TextInstances
from dld_spotter.core.words import Word
from dld_spotter.metrics.matching import Hmean, ImageCounts, match_images


class EndToEndHmean(Metric):
    """Precision, recall and Hmean of words that were found and read, as training follows them: rules ``rrc``, no lexicon.

    The states are sums of counts over images, so any split into batches or ranks gives the same figures.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    counts: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(3, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, preds: Sequence[Sequence[Word]], target: Sequence[TextInstances]) -> None:
        """Count a batch: per image its predicted words and its true words."""
        for match in match_images(target, preds, exact=False):
            self.counts += torch.tensor(match.counts, device=self.counts.device)

    def compute(self) -> dict[str, Tensor]:
        """Scalars ``precision``, ``recall`` and ``hmean`` in single precision, 0 where there is nothing to divide by."""
        # Single precision, since loggers move them to devices without doubles.
        figures = asdict(Hmean.of([ImageCounts(*self.counts.tolist())]))
        return {name: torch.tensor(value, dtype=torch.float32) for name, value in figures.items()}
