"""The weighted sum of named loss terms."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from dld_spotter.core.errors import ConfigError


class Objective(nn.Module):
    """Weigh every term by its name; a term without a weight is an error, a weight may wait for its term.

    Args:
        weights: term -> weight.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.weights = {name: float(weight) for name, weight in weights.items()}

    def forward(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Sum the weighted terms, each a scalar.

        Raises:
            ConfigError: a term has no weight, or every term has weight 0.
        """
        unknown = sorted(set(terms) - set(self.weights))
        if unknown:
            raise ConfigError(f"objective.weights has no weight for {', '.join(unknown)}; add it, 0 switches a term off")
        weighted = [self.weights[name] * term for name, term in terms.items() if self.weights[name]]
        if not weighted:
            raise ConfigError(f"objective.weights is 0 for each of {', '.join(sorted(terms))}; raise one, or nothing is learnt")
        return torch.stack(weighted).sum()
