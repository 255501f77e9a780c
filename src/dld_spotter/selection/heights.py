"""Words by their height: histograms, the loss of predicted ones, and the table of what is read of each height."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_spotter.core.batches import SpottingBatch, TextInstances
from dld_spotter.core.geometry import polygons_to_boundaries, word_heights
from dld_spotter.selection.selector import NOMINAL_SIDE


def heights_loss(network: nn.Module, thumbnails: Tensor, shown: Tensor) -> Tensor:
    """Poisson loss of the words ``(B, bins)`` of each height that thumbnails ``(B, 3, S, S)`` show; half are mirrored."""
    mirrored = torch.rand(len(thumbnails), device=thumbnails.device) < 0.5
    thumbnails = torch.where(mirrored[:, None, None, None], thumbnails.flip(3), thumbnails)
    return F.poisson_nll_loss(network(thumbnails), shown)


def heights(batch: SpottingBatch, edges: Tensor) -> Tensor:
    """Words ``(B, bins)`` of each height in pixels of the reference images."""
    return torch.stack([histogram(words, edges) for words in batch.instances])


def shown_heights(batch: SpottingBatch, edges: Tensor) -> Tensor:
    """Words ``(B, bins)`` of each height in images brought to the nominal area: what a thumbnail can show."""
    sizes = batch.views[1.0].sizes
    shown = [words.scaled(*relative_scale(size)) for words, size in zip(batch.instances, sizes, strict=True)]
    return torch.stack([histogram(words, edges) for words in shown])


def relative_scale(size: Tensor) -> tuple[float, float]:
    """Factors of width and height that bring an image of ``size`` (height, width) to the nominal area."""
    factor = NOMINAL_SIDE / float(size.prod()) ** 0.5
    return factor, factor


def histogram(words: TextInstances, edges: Tensor) -> Tensor:
    """Number ``(bins,)`` of words that count, by height in pixels; the ``bins - 1`` edges separate the bins."""
    counted = [polygon for polygon, ignored in zip(words.polygons, words.ignore, strict=True) if not ignored]
    heights = torch.from_numpy(word_heights(polygons_to_boundaries(counted))).to(edges)
    return torch.bincount(torch.bucketize(heights, edges), minlength=len(edges) + 1).float()


def fit_table(table: Tensor, histograms: Tensor, outcomes: Tensor, iterations: int = 3, prior: float = 2.0) -> Tensor:
    """Raise the Poisson likelihood of the outcomes by expectation maximisation, and pull each height towards its neighbours.

    Every iteration raises the likelihood where ``prior`` is 0, and leaves no value below 0.

    Args:
        table: ``(2, bins + 1, K)`` words read rightly and falsely, per word of a height and, in the last row, per image.
        histograms: ``(N, bins)`` words of each height.
        outcomes: ``(N, K, 3)`` matched, predicted and true words.
        iterations: passes over the images.
        prior: words of each height that are taken to agree with the row of the height above or below, half of it each, so
            that heights never seen have sensible values.

    Returns:
        the improved table.
    """
    with torch.autocast(table.device.type, enabled=False):  # half precision would blur what sets scales apart
        return _maximize(table, histograms, outcomes, iterations, prior)


def _maximize(table: Tensor, histograms: Tensor, outcomes: Tensor, iterations: int, prior: float) -> Tensor:
    seen = torch.cat([histograms, torch.ones_like(histograms[:, :1])], dim=1)
    matched, predicted, _ = outcomes.unbind(-1)
    counts = torch.stack([matched, predicted - matched])
    for _ in range(iterations):
        expected = torch.einsum("nh,ohk->onk", seen, table).clamp(min=1e-6)
        credit = table * torch.einsum("nh,onk->ohk", seen, counts / expected)
        rows = table[:, :-1]
        neighbours = (torch.cat([rows[:, :1], rows[:, :-1]], 1) + torch.cat([rows[:, 1:], rows[:, -1:]], 1)) / 2
        neighbours = torch.cat([neighbours, table[:, -1:]], dim=1)
        table = (credit + prior * neighbours) / (seen.sum(0)[None, :, None] + prior)
    return table
