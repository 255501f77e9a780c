"""The learning rate over a stage."""

from collections.abc import Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR


def one_cycle(optimizer: Optimizer, max_lr: Sequence[float], total_steps: int, pct_start: float) -> OneCycleLR:
    """Warm-up over a share ``pct_start`` of the steps, then a cosine towards nothing.

    Where the warm-up is exactly one step, torch divides by its length less one; such a stage begins its decay at once.
    """
    if abs(pct_start * total_steps - 1) < 1e-9:
        pct_start = (1 - 1e-6) / total_steps
    return OneCycleLR(optimizer, list(max_lr), total_steps, pct_start=pct_start)
