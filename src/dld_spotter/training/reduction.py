"""What several processes make of values that each of them has."""

import torch
from torch import Tensor, distributed


def processes() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of a tensor without gradient over all processes, each of which calls this."""
    if processes() == 1:
        return values
    total = values.detach().clone()
    distributed.all_reduce(total)
    return total / processes()


def word_weight(words: int, device: torch.device) -> Tensor | float:
    """What a mean over the words of this process counts: processes with more words than others weigh more.

    Gradients are averaged over processes. With it the average is over all words, as it is in a single process.
    """
    if processes() == 1:
        return 1.0
    mean = mean_over_processes(torch.tensor(float(words), device=device))
    return words / mean.clamp(min=1e-9)
