"""What every objective of a selector is: named terms from what a step offers to learn from."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from dld_spotter.core.batches import Recognition, SpottingBatch
from dld_spotter.models.spotter import Spotter
from dld_spotter.selection.selector import Selector


@dataclass(frozen=True)
class Evidence:
    """What a step offers a selector to learn from.

    Args:
        student: reads; in evaluation mode or not, as the objective needs.
        batch: B images with a view per scale.
        teacher: what the teacher recognises in the batch's words.
        costs: ``(B, K)`` relative cost of every scale.
        temperature: of the Gumbel-softmax.
    """

    student: Spotter
    batch: SpottingBatch
    teacher: Recognition
    costs: Tensor
    temperature: float


class SelectionObjective(nn.Module, ABC):
    """Named terms that a selector's parameters receive their gradient from.

    Attributes:
        name: of the option of ``conf/selection``; a selector names the one that it learns by.
    """

    name: str

    def teaches(self, selector: Selector) -> bool:
        """Whether it is what a selector learns by."""
        return self.name == selector.learns_by

    @abstractmethod
    def forward(self, selector: Selector, evidence: Evidence) -> dict[str, Tensor]:
        """Scalars by name."""
