"""What several processes make of values that each of them has."""

from collections.abc import Mapping, Sequence

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


def means_by_name(values: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, Tensor]:
    """Means of scalars over all processes; one that a process lacks, as it has no words, is 0 there.

    Args:
        values: scalars of this process by name.
        names: all that any process may have, the same in each.
    """
    if processes() == 1:
        return dict(values)
    like = next(iter(values.values()))
    table = torch.zeros(2, len(names), device=like.device)
    for place, name in enumerate(names):
        if name in values:
            table[:, place] = torch.stack([values[name].detach().float(), torch.ones_like(like, dtype=torch.float32)])
    means, shares = mean_over_processes(table)
    return {name: mean for name, mean, share in zip(names, means, shares.tolist(), strict=True) if share}


def word_weight(words: int, device: torch.device) -> Tensor | float:
    """What a mean over the words of this process counts: processes with more words than others weigh more.

    Gradients are averaged over processes. With it the average is over all words, as it is in a single process.
    """
    if processes() == 1:
        return 1.0
    mean = mean_over_processes(torch.tensor(float(words), device=device))
    return words / mean.clamp(min=1e-9)
