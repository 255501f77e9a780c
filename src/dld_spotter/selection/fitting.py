"""Fit a selector to a student that is there already: to what its thumbnails show, and to what it reads at every scale."""

from dataclasses import dataclass

import numpy as np
import torch
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader

from dld_spotter.core.errors import DataError
from dld_spotter.selection.heights import fit_table, heights, heights_loss, shown_heights
from dld_spotter.selection.quality import QualitySelector
from dld_spotter.tradeoff import Outcomes

ITERATIONS = 300
"""Passes of expectation maximisation over a table of outcomes; the table has few numbers and a pass takes a millisecond."""


@dataclass(frozen=True)
class ThumbnailSet:
    """N images as a selector sees them.

    Args:
        thumbnails: ``(N, 3, S, S)`` uint8.
        shown: ``(N, bins)`` words of each height, relative to the image.
    """

    thumbnails: Tensor
    shown: Tensor

    def __len__(self) -> int:
        return len(self.thumbnails)

    @classmethod
    def of(cls, loader: DataLoader, edges: Tensor, label: str) -> "ThumbnailSet":
        """Collect the thumbnails of a loader of batches with the reference view."""
        rows = [(batch.thumbnails, shown_heights(batch, edges)) for batch in track(loader, label)]
        thumbnails, shown = zip(*rows, strict=True)
        return cls(torch.cat(thumbnails), torch.cat(shown))


def learn_heights(selector: QualitySelector, thumbnails: ThumbnailSet, steps: int, batch: int, lr: float, seed: int) -> None:
    """Train the selector's network on thumbnails; nothing is read.

    Args:
        selector: on the device it is on.
        thumbnails: of training images.
        steps: optimiser steps.
        batch: images of a step, drawn with replacement.
        lr: peak of the one-cycle learning rate.
        seed: of the draws.
    """
    device = selector.edges.device
    network = selector.network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.1)
    generator = torch.Generator().manual_seed(seed)
    for _ in track(range(steps), "learning what thumbnails show"):
        index = torch.randint(len(thumbnails), (batch,), generator=generator)
        optimizer.zero_grad()
        heights_loss(network, thumbnails.thumbnails[index].to(device), thumbnails.shown[index].to(device)).backward()
        optimizer.step()
        schedule.step()
    network.eval()


@torch.inference_mode()
def judge_heights(selector: QualitySelector, thumbnails: ThumbnailSet, batch: int = 64) -> tuple[float, float]:
    """Poisson deviance per image of what the network says of thumbnails, and of the mean histogram, which knows nothing."""
    parts = [selector.network(part.to(selector.edges.device)).exp().cpu() for part in thumbnails.thumbnails.split(batch)]
    predicted, shown = torch.cat(parts), thumbnails.shown.cpu()

    def deviance(expected: Tensor) -> float:
        return float(2 * (torch.xlogy(shown, shown / expected.clamp(min=1e-6)) - shown + expected).sum(1).mean())

    return deviance(predicted), deviance(shown.mean(0).expand_as(shown))


def count_heights(loader: DataLoader, edges: Tensor) -> dict[str, Tensor]:
    """Words ``(bins,)`` of each height in pixels of every image of a loader, by name."""
    return {
        name: row
        for batch in track(loader, "measuring heights")
        for name, row in zip(batch.names, heights(batch, edges), strict=True)
    }


def fit_outcomes(selector: QualitySelector, known: dict[str, Tensor], outcomes: Outcomes) -> None:
    """Fit the selector's table to what a reader read at every scale.

    Args:
        selector: over the scales of ``outcomes``.
        known: words ``(bins,)`` of each height of every image, by name.
        outcomes: of these images.

    Raises:
        DataError: the outcomes are of other images.
    """
    if missing := [name for name in outcomes.names if name not in known]:
        raise DataError(f"the table has {len(missing)} images that the data set lacks, such as {missing[0]}; give its data set")
    counts = np.stack([outcomes.matched, outcomes.predicted, outcomes.true], axis=-1)
    device = selector.edges.device
    histograms = torch.stack([known[name] for name in outcomes.names]).to(device)
    table = fit_table(selector.table, histograms, torch.from_numpy(counts).float().to(device), ITERATIONS)
    selector.table.copy_(table)
    selector.words.fill_(max(float(outcomes.true[:, 0].mean()), 1.0))
    selector.readings.fill_(len(outcomes.names))


def false_positive_cost(outcomes: Outcomes) -> float:
    """What a false word costs beside a right one that is missing, at the best fixed scale."""
    return false_positive_cost_at(float(outcomes.measures.sum().hmean.max()))


def false_positive_cost_at(value: float) -> float:
    """What a false word costs an Hmean H of this value beside a right one that is missing: H / (2 - H).

    Of ``H = 2 m / (p + t)`` with m matched, p = m + f predicted and t true words, dH is (2 - H) dm - H df over p + t.
    """
    return value / (2 - value)
