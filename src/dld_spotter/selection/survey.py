"""What the cost weights of a selector spend, seen without reading; checkpoints keep it, so that budgets can be asked for."""

import numpy as np
import torch
from torch.utils.data import DataLoader

from dld_spotter.budget.calibration import Calibration
from dld_spotter.budget.cost import CostModel
from dld_spotter.selection.selector import Selector


@torch.inference_mode()
def calibrate(selector: Selector, loader: DataLoader, flops: CostModel) -> Calibration:
    """Ask a selector about every image of a loader, each name once, and see what each of its cost weights spends.

    Args:
        selector: on the device it is on.
        loader: batches of validation images with the reference view.
        flops: GFLOP of the spotter that will read, the words of each image included.
    """
    selector.eval()
    spent: dict[str, np.ndarray] = {}
    for batch in loader:
        parameter = next(selector.parameters(), batch.thumbnails)
        thumbnails, sizes = batch.thumbnails.to(parameter.device), batch.views[1.0].sizes.to(parameter.device)
        costs = flops.relative(sizes, selector.scales, batch.words_per_image())
        index = torch.stack([choice.index for choice in selector(thumbnails, sizes, costs)], dim=1)
        chosen = costs.gather(1, index).double().cpu().numpy()
        for name, row, (height, width) in zip(batch.names, chosen, sizes.tolist(), strict=True):
            spent.setdefault(name, row + selector.gflops / flops.cost(height, width))
    return Calibration.of_heads(selector.gammas, np.stack(list(spent.values())).T)
