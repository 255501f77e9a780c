"""Selector objective L_DRS = L_acc + gamma * L_flops (DLD, section 3.2).

The student reads at every scale without gradient; only the decision ``h`` carries one.
"""

import torch
from torch import Tensor, nn

from dld_spotter.charset import PADDING
from dld_spotter.errors import ConfigError
from dld_spotter.losses.recognition import sequence_cross_entropy

OBJECTIVES = ("kl", "cross_entropy")


def image_mean(values: Tensor, image_index: Tensor, images: int) -> Tensor:
    """Mean ``(images,)`` of the values ``(N,)`` of each image's words; 0 for an image without words."""
    total = values.new_zeros(images).index_add(0, image_index, values)
    count = values.new_zeros(images).index_add(0, image_index, torch.ones_like(values))
    return total / count.clamp(min=1)


class SelectionLoss(nn.Module):
    """What reading at the chosen scale loses against the teacher, or against the truth.

    Args:
        objective: ``kl``: KL of the mixed student output against the teacher's (the paper's); ``cross_entropy``: of the mixed
            student output against the ground truth (the authors' code).
        detection: weight of the detection loss at the chosen scale; words that are not found cannot be read.
    """

    def __init__(self, objective: str = "kl", detection: float = 0.0) -> None:
        super().__init__()
        if objective not in OBJECTIVES:
            raise ConfigError(f"selection.objective must be one of {', '.join(OBJECTIVES)}, found {objective}")
        self.objective = objective
        self.detection = detection

    def accuracy(
        self, one_hot: Tensor, logits: Tensor, teacher: Tensor, labels: Tensor, image_index: Tensor, detection: Tensor
    ) -> Tensor:
        """L_acc: the loss of the mixed output.

        Args:
            one_hot: ``(B, K)`` decision h, differentiable.
            logits: ``(K, N, L, V)`` student at every scale, without gradient.
            teacher: ``(N, L, V)``.
            labels: ``(N, L)``.
            image_index: ``(N,)``.
            detection: ``(B, K)`` detection loss of every image at every scale.

        Returns:
            scalar: mean over images.
        """
        images = len(one_hot)
        loss = self.detection * (one_hot * detection).sum(1)
        if len(labels):
            mixed = torch.einsum("nk,knlv->nlv", one_hot[image_index], logits.float())
            loss = loss + image_mean(self._words(mixed, teacher, labels), image_index, images)
        return loss.mean()

    def _words(self, mixed: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        if self.objective == "cross_entropy":
            return sequence_cross_entropy(mixed, labels)
        target = teacher.float().log_softmax(-1)
        divergence = (target.exp() * (target - mixed.log_softmax(-1))).sum(-1)
        mask = labels != PADDING
        return (divergence * mask).sum(1) / mask.sum(1).clamp(min=1)


def expected_cost(one_hot: Tensor, relative_cost: Tensor) -> Tensor:
    """L_flops: mean over images of the cost of the chosen scale, from ``(B, K)`` decisions and relative costs."""
    return (one_hot * relative_cost).sum(1).mean()
