"""What the cost weights of a selector spend, seen without reading; checkpoints keep it, so that budgets can be asked for."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dld_spotter.budget.calibration import Calibration
from dld_spotter.budget.cost import CostModel
from dld_spotter.budget.latency import Line
from dld_spotter.budget.requests import Request
from dld_spotter.core.batches import SpottingBatch
from dld_spotter.core.errors import ConfigError
from dld_spotter.selection.selector import Selector
from dld_spotter.tradeoff import allocate


@dataclass(frozen=True)
class Survey:
    """What a selector expects of N images at K scales.

    Args:
        names: of the images.
        losses: ``(N, K)``; None of a selector that decides for its own cost weights alone.
        index: ``(G, N)`` scales chosen at each of its own cost weights.
        costs: ``(N, K)`` relative costs that are known beforehand.
        spent: ``(N, K)`` relative costs with the image's words.
        gflops: ``(N,)`` GFLOP at scale 1.0, apart from the words.
        overhead: ``(N,)`` relative cost of the selector itself.
    """

    names: tuple[str, ...]
    losses: np.ndarray | None
    index: np.ndarray
    costs: np.ndarray
    spent: np.ndarray
    gflops: np.ndarray
    overhead: np.ndarray


@torch.inference_mode()
def survey(selector: Selector, loader: DataLoader, flops: CostModel) -> Survey:
    """Ask a selector about every image of a loader, each name once; nothing is read.

    Args:
        selector: on the device it is on.
        loader: batches with the reference view.
        flops: GFLOP of the spotter that will read.
    """
    selector.eval()
    rows: dict[str, list[np.ndarray]] = {}
    for batch in loader:
        columns = [values.cpu().numpy() for values in _ask(selector, batch, flops)]
        for i, name in enumerate(batch.names):
            rows.setdefault(name, [column[i] for column in columns])
    losses, index, costs, spent, gflops = (np.stack(column) for column in zip(*rows.values(), strict=True))
    known = losses if losses.shape[1] else None
    return Survey(tuple(rows), known, index.T, costs, spent, gflops, selector.gflops / gflops)


def _ask(selector: Selector, batch: SpottingBatch, flops: CostModel) -> tuple[Tensor, ...]:
    """Losses ``(B, K)`` or ``(B, 0)``, choices ``(B, G)``, costs and costs with words ``(B, K)``, GFLOP at 1.0 ``(B,)``."""
    parameter = next(selector.parameters(), batch.thumbnails)
    thumbnails, sizes = batch.thumbnails.to(parameter.device), batch.views[1.0].sizes.to(parameter.device)
    costs = flops.relative(sizes, selector.scales)
    words = torch.tensor([len(instances) for instances in batch.instances])
    losses = selector.losses(thumbnails, sizes)
    losses = costs[:, :0] if losses is None else losses
    index = torch.stack([choice.index for choice in selector(thumbnails, sizes, costs)], dim=1)
    full = [flops.cost(*size) for size in sizes.tolist()]
    return (
        losses.double(),
        index,
        costs.double(),
        flops.relative(sizes, selector.scales, words).double(),
        torch.tensor(full).double(),
    )


def allocate_set(seen: Survey, request: Request, line: Line | None = None) -> dict[str, int]:
    """Choose the scales of images that are all known, so that the expected loss is least within a budget.

    Args:
        seen: what a selector that predicts losses expects of the images.
        request: a budget in any unit.
        line: seconds per GFLOP of the device; needed for ``budget_ms`` alone.

    Returns:
        image -> index of its scale.

    Raises:
        ConfigError: the cheapest scales cost more.
    """
    name, amount = request.budgeted
    costs = seen.costs + seen.overhead[:, None]
    if name != "budget":
        costs = costs * seen.gflops[:, None]
    target = line.gflops(amount / 1000) if name == "budget_ms" else amount
    least = float(costs.min(1).mean())
    if target < least or (name == "budget" and target > max(1.0, costs.max())):
        low, high = (1000 * line.seconds(cost) if name == "budget_ms" else cost for cost in (least, float(costs.max(1).mean())))
        raise ConfigError(f"{name}={amount:g} cannot be met: reading these images takes {low:.3g} to {high:.3g} on average")
    return dict(zip(seen.names, allocate(seen.losses, costs, target).tolist(), strict=True))


def calibrate(selector: Selector, loader: DataLoader, flops: CostModel) -> Calibration:
    """See what a selector's cost weights spend on validation images; arguments as of :func:`survey`."""
    seen = survey(selector, loader, flops)
    if seen.losses is not None:
        return Calibration.of(seen.losses, seen.costs, seen.spent, seen.overhead)
    rows = np.arange(len(seen.names))
    return Calibration.of_heads(selector.gammas, seen.spent[rows, seen.index] + seen.overhead)
