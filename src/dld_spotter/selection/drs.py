"""The paper's objective of the selector: L_DRS = L_acc + gamma * L_flops (DLD, arXiv 2207.06694, section 3.2).

    L_acc = KL( y || sum_k h_k y_k )        :meth:`DRSObjective.accuracy`
    L_flops = sum_k h_k T_k                 :func:`expected_cost`

with the one-hot decision h of the Gumbel-softmax, the teacher's output y, the student's output y_k at scale k and its relative
cost T_k. Both are terms of the step's loss; gamma is the weight of the second one, ``objective.weights.cost``. The student
reads at every scale without gradient, which is what a step costs: h alone carries one.
"""

import torch
from torch import Tensor

from dld_spotter.core.batches import Recognition, SpotterOutput, View
from dld_spotter.core.charset import PADDING
from dld_spotter.core.errors import ConfigError
from dld_spotter.losses.detection import DetectionLoss
from dld_spotter.losses.recognition import ctc_loss, sequence_cross_entropy
from dld_spotter.models.modes import evaluating
from dld_spotter.models.spotter import Spotter
from dld_spotter.selection.gumbel import GumbelSelector
from dld_spotter.selection.objective import Evidence, SelectionObjective

OBJECTIVES = ("kl", "cross_entropy")


class DRSObjective(SelectionObjective):
    """The paper's: the loss of the student's outputs, mixed by the decision, and the decision's cost.

    Args:
        objective: ``kl``: KL(teacher || mixed student), the paper's term in the direction of distillation;
            ``cross_entropy``: of the mixed student output against the ground truth (the authors' code).
        detection: weight of the detection loss at the chosen scale; words that are not found cannot be read. A view's own
            targets are used, in which words that vanish do not count.
        samples: decisions drawn per image and step; more of them make the gradient less noisy.
        detection_loss: how the student's maps are judged.
    """

    name = "drs"

    def __init__(
        self,
        objective: str = "kl",
        detection: float = 0.0,
        samples: int = 4,
        detection_loss: DetectionLoss | None = None,
    ) -> None:
        super().__init__()
        if objective not in OBJECTIVES:
            raise ConfigError(f"selection.objective must be one of {', '.join(OBJECTIVES)}, found {objective}")
        if samples < 1:
            raise ConfigError(f"selection.samples must be at least 1, found {samples}; raise it")
        self.objective = objective
        self.detection = detection
        self.samples = samples
        self.detection_loss = detection_loss or DetectionLoss()

    def forward(self, selector: GumbelSelector, evidence: Evidence) -> dict[str, Tensor]:
        """L_acc and L_flops, averaged over draws and cost weights; the cost is multiplied by each weight's factor."""
        batch = evidence.batch
        logits, detection = self.read_everywhere(selector.scales, evidence)
        ctc = not evidence.student.has_attention
        teacher = self.compared(evidence.teacher, evidence.student, logits)
        preferences = selector.logits(batch.thumbnails, batch.views[1.0].sizes)
        accuracy, cost = [], []
        for _ in range(self.samples):
            for choice, factor in zip(selector.sample(preferences, evidence.temperature), selector.factors, strict=True):
                h = choice.one_hot
                accuracy.append(self.accuracy(h, logits, teacher, batch.labels, batch.image_index, detection, ctc))
                cost.append(factor * expected_cost(h, evidence.costs))
        return {"accuracy": torch.stack(accuracy).mean(), "cost": torch.stack(cost).mean()}

    @torch.no_grad()
    def read_everywhere(self, scales: tuple[float, ...], evidence: Evidence) -> tuple[Tensor, Tensor]:
        """Student at every scale: logits ``(K, N, L, V)`` of the batch's words and detection losses ``(B, K)``.

        They are those of its attention decoder, or the CTC columns of a student without one.
        """
        batch = evidence.batch
        views = [batch.view(scale) for scale in scales]
        with evaluating(evidence.student):
            outputs = [evidence.student(view, batch.boundaries, batch.image_index, batch.labels) for view in views]
            losses = [self.judged(evidence.student, o, view) for view, o in zip(views, outputs, strict=True)]
        head = "logits" if evidence.student.has_attention else "ctc_logits"
        return torch.stack([getattr(output.recognition, head) for output in outputs]), torch.stack(losses, dim=1)

    def judged(self, student: Spotter, output: SpotterOutput, view: View) -> Tensor:
        """Detection loss ``(B,)`` of a view; 0 where it has no weight."""
        if not self.detection:
            return output.recognition.roi.new_zeros(len(view.sizes))
        return student.detection_loss(output.detection, view.targets, self.detection_loss)

    def compared(self, teacher: Recognition, student: Spotter, logits: Tensor) -> Tensor:
        """The teacher's logits ``(N, L, V)`` that the student's ``(K, N, L, V)`` are compared with, of the same head.

        Raises:
            ConfigError: the objective compares them, and the teacher has none that are as many.
        """
        wanted = teacher.logits if student.has_attention else teacher.ctc_logits
        if self.objective == "kl" and (wanted is None or wanted.shape != logits.shape[1:]):
            raise ConfigError(
                "selection.objective=kl compares teacher and student step by step, and theirs differ in number; "
                "give selection.objective=cross_entropy, or spotters of one family"
            )
        return logits[0] if wanted is None else wanted

    def accuracy(
        self,
        one_hot: Tensor,
        logits: Tensor,
        teacher: Tensor,
        labels: Tensor,
        image_index: Tensor,
        detection: Tensor,
        ctc: bool = False,
    ) -> Tensor:
        """L_acc: the loss of the mixed output.

        Args:
            one_hot: ``(B, K)`` decision h, differentiable.
            logits: ``(K, N, L, V)`` student at every scale, without gradient.
            teacher: ``(N, L, V)``.
            labels: ``(N, L)``.
            image_index: ``(N,)``.
            detection: ``(B, K)`` detection loss of every image at every scale.
            ctc: whether the logits are CTC columns, not an attention decoder's steps.

        Returns:
            scalar: mean over images.
        """
        images = len(one_hot)
        loss = self.detection * (one_hot * detection).sum(1)
        if len(labels):
            mixed = torch.einsum("nk,knlv->nlv", one_hot[image_index], logits.float())
            loss = loss + image_mean(self.words(mixed, teacher, labels, ctc), image_index, images)
        return loss.mean()

    def words(self, mixed: Tensor, teacher: Tensor, labels: Tensor, ctc: bool = False) -> Tensor:
        """Loss ``(N,)`` of each word of mixed logits ``(N, L, V)``."""
        if self.objective == "cross_entropy":
            return ctc_loss(mixed, labels) if ctc else sequence_cross_entropy(mixed, labels)
        target = teacher.float().log_softmax(-1)
        divergence = (target.exp() * (target - mixed.log_softmax(-1))).sum(-1)
        if ctc:
            return divergence.mean(1)
        mask = labels != PADDING
        return (divergence * mask).sum(1) / mask.sum(1).clamp(min=1)


def image_mean(values: Tensor, image_index: Tensor, images: int) -> Tensor:
    """Mean ``(images,)`` of the values ``(N,)`` of each image's words; 0 for an image without words."""
    total = values.new_zeros(images).index_add(0, image_index, values)
    count = values.new_zeros(images).index_add(0, image_index, torch.ones_like(values))
    return total / count.clamp(min=1)


def expected_cost(one_hot: Tensor, relative_cost: Tensor) -> Tensor:
    """L_flops: mean over images of the cost of the chosen scale, from ``(B, K)`` decisions and relative costs."""
    return (one_hot * relative_cost).sum(1).mean()
