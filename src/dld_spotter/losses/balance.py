"""What each term of the loss gives the student beside the recognition loss, and weights that bring it to a stated share.

Terms differ in scale: with all weights 1 the paper's L_roi and L_con give a twentieth of the recognition gradient and less.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

RECOGNITION = "recognition"
"""The term whose gradient the others' are shares of."""
MOST = 100.0
"""A term that would need more than this times its configured weight has next to no gradient: where teacher and student read the
same with the same weights, what is left of L_roi is rounding."""


Mean = Callable[[Tensor], Tensor]
"""Mean of a tensor over all processes that train together."""


def _alone(values: Tensor) -> Tensor:
    return values


def gradient_norms(
    terms: Mapping[str, Tensor],
    parameters: Iterable[nn.Parameter],
    scale: float = 1.0,
    names: Sequence[str] | None = None,
    mean: Mean = _alone,
) -> dict[str, Tensor]:
    """Norms of the gradients of terms with respect to the parameters that the recognition loss reaches.

    No gradient is accumulated, and the graph stays for the step's own backward pass.

    Args:
        terms: scalars by name, recognition among them; a process that has no words may lack some, or their gradients.
        parameters: of the student.
        scale: by which gradients are multiplied on their way, so that half precision holds them.
        names: all terms that any process may have, the same in each; None for those of ``terms``.
        mean: of gradients over processes, whose norm is then that of the whole batch, as a single process has it.

    Returns:
        scalars in single precision by name; without the terms that reach none of the parameters in any process.
    """
    learnt = [parameter for parameter in parameters if parameter.requires_grad]
    device = terms[RECOGNITION].device
    found = _gradients(terms[RECOGNITION], learnt, scale)
    flags = torch.tensor([float(gradient is not None) for gradient in found], device=device)
    reached = [place for place, share in enumerate(mean(flags).tolist()) if share]
    norms = {}
    for name in list(terms) if names is None else names:
        if name == RECOGNITION:
            gradients = [found[place] for place in reached]
        elif name in terms:
            gradients = _gradients(terms[name], [learnt[place] for place in reached], scale)
        else:
            gradients = [None] * len(reached)
        somewhere = mean(torch.tensor(float(any(gradient is not None for gradient in gradients)), device=device))
        if name == RECOGNITION or somewhere:
            norms[name] = mean(_flat(gradients, [learnt[place] for place in reached], device)).norm() / scale
    return norms


def _gradients(term: Tensor, parameters: Sequence[nn.Parameter], scale: float) -> Sequence[Tensor | None]:
    """Gradients of a scalar, None where it does not depend on the parameter."""
    if not parameters or not term.requires_grad:
        return [None] * len(parameters)
    with torch.autocast(term.device.type, enabled=False):  # a backward pass has the precision of what was computed
        return torch.autograd.grad(term, parameters, torch.full_like(term, scale), retain_graph=True, allow_unused=True)


def _flat(gradients: Sequence[Tensor | None], parameters: Sequence[nn.Parameter], device: torch.device) -> Tensor:
    """All gradients as one vector in single precision, zeros where there is none."""
    parts = [
        torch.zeros(parameter.numel(), device=device) if gradient is None else gradient.float().flatten()
        for gradient, parameter in zip(gradients, parameters, strict=True)
    ]
    return torch.cat(parts) if parts else torch.zeros(0, device=device)


class Balance:
    """Weights that follow what was measured, so that each named term has its share of the recognition gradient.

    The share of a term is ``weight * norm / (recognition's weight * recognition's norm)``, both norms being exponential means.

    Args:
        shares: term -> share.
        weights: term -> weight of the configuration; a term of weight 0 stays off.
        memory: how much of the mean a measurement leaves.
    """

    def __init__(self, shares: Mapping[str, float], weights: Mapping[str, float], memory: float) -> None:
        self.shares = {name: share for name, share in shares.items() if weights[name]}
        self.configured = dict(weights)
        self.memory = memory
        self.weights: dict[str, float] = {}
        """Of the terms that were measured."""
        self.means: dict[str, list[float]] = {}
        """Exponential means of a term's norm and recognition's, both too small by the same factor at first."""
        self.measured: dict[str, list[float]] = {}
        """Sums since :meth:`told`: of a weighted term's norm, and of the weighted recognition's."""

    def measure(self, norms: Mapping[str, float]) -> list[str]:
        """Take in the norms of a step and let the weights follow.

        The first measurement of a term gives the weight that its share is told with. Later ones tell the share that the weight
        so far has in a step which it has not seen.

        Args:
            norms: of the unweighted terms, recognition among them.

        Returns:
            names of the terms to balance that are left as they are, since they have next to no gradient.
        """
        reference = self.configured[RECOGNITION] * norms[RECOGNITION]
        if not reference > 0:  # a batch without words
            return []
        idle = []
        for name, norm in norms.items():
            if name == RECOGNITION:
                continue
            before = self.weights.get(name)
            if name in self.shares and self.shares[name] * reference <= MOST * self.configured[name] * norm:
                self.weights[name] = self._follow(name, norm, reference)
            elif name in self.shares:
                idle.append(name)
            weight = before or self.weights.get(name, self.configured[name])
            sums = self.measured.setdefault(name, [0.0, 0.0])
            sums[:] = sums[0] + weight * norm, sums[1] + reference
        return idle

    def _follow(self, name: str, norm: float, reference: float) -> float:
        """The weight of a term after one more measurement."""
        means, left = self.means.setdefault(name, [0.0, 0.0]), self.memory
        means[:] = left * means[0] + (1 - left) * norm, left * means[1] + (1 - left) * reference
        return self.shares[name] * means[1] / means[0]

    def told(self) -> dict[str, float]:
        """Shares since the last call, each a ratio of mean norms."""
        shares = {name: norm / reference for name, (norm, reference) in self.measured.items()}
        self.measured = {}
        return shares

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, plain values."""
        pairs = {key: {name: list(pair) for name, pair in getattr(self, key).items()} for key in ("means", "measured")}
        return {"weights": dict(self.weights)} | pairs

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a checkpoint was written."""
        self.weights = dict(state["weights"])
        self.means, self.measured = ({name: list(pair) for name, pair in state[key].items()} for key in ("means", "measured"))
