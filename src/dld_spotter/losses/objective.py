"""The weighted sum of named loss terms."""

from collections.abc import Mapping
from math import isfinite

import torch
from torch import Tensor, nn

from dld_spotter.core.errors import ConfigError
from dld_spotter.losses.balance import RECOGNITION


class Objective(nn.Module):
    """Weigh every term by its name; a term without a weight is an error, a weight may wait for its term.

    Args:
        weights: term -> weight.
        shares: term -> share of the recognition gradient that training weighs it to, in place of its weight
            (:class:`dld_spotter.training.balancing.GradientShares`); None, for one or for all, keeps the weight.

    Raises:
        ConfigError: a share is of an unknown term, or no number above 0.
    """

    def __init__(self, weights: Mapping[str, float], shares: Mapping[str, float | None] | None = None) -> None:
        super().__init__()
        self.weights = {name: float(weight) for name, weight in weights.items()}
        self.shares = checked_shares(shares, self.weights)

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


def checked_shares(shares: Mapping[str, float | None] | None, weights: Mapping[str, float]) -> dict[str, float]:
    """Shares of the recognition gradient, without those that are None.

    Raises:
        ConfigError: they are not such, or there is no recognition loss to have shares of.
    """
    if not isinstance(shares, Mapping | None):
        raise ConfigError(f"objective.shares={shares} must name terms; give such as objective.shares.roi=0.3, or null for none")
    asked = {name: share for name, share in (shares or {}).items() if share is not None}
    for name, share in asked.items():
        if name not in weights or name == RECOGNITION:
            others = ", ".join(sorted(set(weights) - {RECOGNITION}))
            raise ConfigError(f"objective.shares.{name} is no term to give a share of the recognition gradient; name {others}")
        if isinstance(share, bool) or not isinstance(share, int | float) or not (isfinite(share) and share > 0):
            raise ConfigError(
                f"objective.shares.{name}={share} must be a number above 0, such as 0.3; null keeps objective.weights.{name}"
            )
    if asked and not weights.get(RECOGNITION):
        raise ConfigError(
            "objective.shares are of the recognition gradient, which objective.weights.recognition=0 leaves out; "
            "give objective.shares=null"
        )
    return {name: float(share) for name, share in asked.items()}
