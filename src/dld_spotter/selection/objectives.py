"""How selectors learn: the paper's objective L_DRS = L_acc + gamma * L_flops (DLD, section 3.2), and regression of outcomes.

The student reads at every scale without gradient, which is what a step of either costs.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_spotter.core.batches import Recognition, SpottingBatch, TextInstances, Word
from dld_spotter.core.charset import PADDING
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.geometry import polygons_to_boundaries, word_heights
from dld_spotter.losses.detection import DetectionLoss
from dld_spotter.losses.recognition import ctc_loss, sequence_cross_entropy
from dld_spotter.models.modes import evaluating
from dld_spotter.models.spotter import Spotter
from dld_spotter.selection.gumbel import GumbelSelector
from dld_spotter.selection.quality import QualitySelector
from dld_spotter.selection.selector import NOMINAL_SIDE, Selector

OBJECTIVES = ("kl", "cross_entropy")
ENOUGH = 200
"""Images read at every scale from which a table can be fitted anew."""


class Counter(Protocol):
    """Counts an image's matched, predicted and true words, such as :class:`dld_spotter.evaluation.measuring.Rules`."""

    def count(self, name: str, truth: TextInstances, words: Sequence[Word]) -> Sequence[int]:
        """Count one image."""


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
    """Named terms that a selector's parameters receive their gradient from."""

    learns: type[Selector]
    """The selectors it can teach."""

    @abstractmethod
    def forward(self, selector: Selector, evidence: Evidence) -> dict[str, Tensor]:
        """Scalars by name."""


class MixtureObjective(SelectionObjective):
    """The paper's: the loss of the student's outputs, mixed by the decision, and the decision's cost.

    Args:
        objective: ``kl``: KL(teacher || mixed student), the paper's term in the direction of distillation;
            ``cross_entropy``: of the mixed student output against the ground truth (the authors' code).
        detection: weight of the detection loss at the chosen scale; words that are not found cannot be read. A view's own
            targets are used, in which words that vanish do not count.
        samples: decisions drawn per image and step; more of them make the gradient less noisy.
        detection_loss: how the student's maps are judged.
    """

    learns = GumbelSelector

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
        losses = [self.detection_loss(o.detection, view.targets) for view, o in zip(views, outputs, strict=True)]
        head = "logits" if evidence.student.has_attention else "ctc_logits"
        return torch.stack([getattr(output.recognition, head) for output in outputs]), torch.stack(losses, dim=1)

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


class OutcomeRegression(SelectionObjective):
    """Teaches a :class:`QualitySelector` the heights of words, and what the student reads of each height at every scale.

    Heights cost nothing: those of the latest images are remembered, and each step learns from a larger batch of them. Outcomes
    cost a reading at every scale, but the table has few numbers: some images of each step are read, and the table is fitted
    to all outcomes remembered. The memories are no part of a checkpoint: a run that goes on fills them anew, keeping its table
    until they hold enough.

    Args:
        rules: how words are counted.
        images: images of a step that are read at every scale.
        capacity: images remembered.
        batch: images drawn from the memory per step.
    """

    learns = QualitySelector

    def __init__(self, rules: Counter, images: int = 2, capacity: int = 4096, batch: int = 64) -> None:
        super().__init__()
        for name, value in (("images", images), ("batch", batch)):
            if value < 1:
                raise ConfigError(f"selection.{name} must be at least 1, found {value}; raise it")
        self.rules = rules
        self.images = images
        self.batch = batch
        self.seen = Memory(capacity)
        self.read = Memory(capacity)

    def forward(self, selector: QualitySelector, evidence: Evidence) -> dict[str, Tensor]:
        """Remember the batch; fit the table; the loss of the heights in some of the images remembered."""
        batch = evidence.batch
        self.seen.add(batch.thumbnails, shown_heights(batch, selector.edges))
        self.read.add(heights(batch, selector.edges)[: self.images], self.read_everywhere(selector.scales, evidence))
        histograms, outcomes = self.read.rows()
        if len(self.read) >= min(ENOUGH, int(selector.readings)):  # after a resume, what was known is better than a few images
            selector.words.copy_(outcomes[:, 0, 2].mean().clamp(min=1))
            selector.table.copy_(fit_table(selector.table, histograms, outcomes))
            selector.readings.fill_(len(self.read))
        return {"quality": heights_loss(selector.network, *self.seen.draw(self.batch))}

    @torch.no_grad()
    def read_everywhere(self, scales: tuple[float, ...], evidence: Evidence) -> Tensor:
        """Matched, predicted and true words ``(images, K, 3)`` of the first images at every scale."""
        batch = evidence.batch
        first = torch.arange(min(self.images, len(batch)), device=batch.thumbnails.device)
        counts = []
        for scale in scales:
            with evaluating(evidence.student):
                found = evidence.student.spot(batch.view(scale).select(first))
            images = zip(batch.names, batch.instances, found, strict=False)
            counts.append([self.rules.count(name, truth, words) for name, truth, words in images])
        return torch.tensor(counts, dtype=torch.float32, device=batch.thumbnails.device).transpose(0, 1)


def heights_loss(network: nn.Module, thumbnails: Tensor, shown: Tensor) -> Tensor:
    """Poisson loss of the words ``(B, bins)`` of each height that thumbnails ``(B, 3, S, S)`` show; half are mirrored."""
    mirrored = torch.rand(len(thumbnails), device=thumbnails.device) < 0.5
    thumbnails = torch.where(mirrored[:, None, None, None], thumbnails.flip(3), thumbnails)
    return F.poisson_nll_loss(network(thumbnails), shown)


def heights(batch: SpottingBatch, edges: Tensor) -> Tensor:
    """Words ``(B, bins)`` of each height in pixels of the reference images."""
    return torch.stack([histogram(words, edges) for words in batch.instances])


def shown_heights(batch: SpottingBatch, edges: Tensor) -> Tensor:
    """Words ``(B, bins)`` of each height in images brought to the nominal area: what a thumbnail can show."""
    sizes = batch.views[1.0].sizes
    shown = [words.scaled(*relative_scale(size)) for words, size in zip(batch.instances, sizes, strict=True)]
    return torch.stack([histogram(words, edges) for words in shown])


def relative_scale(size: Tensor) -> tuple[float, float]:
    """Factors of width and height that bring an image of ``size`` (height, width) to the nominal area."""
    factor = NOMINAL_SIDE / float(size.prod()) ** 0.5
    return factor, factor


def histogram(words: TextInstances, edges: Tensor) -> Tensor:
    """Number ``(bins,)`` of words that count, by height in pixels; the ``bins - 1`` edges separate the bins."""
    counted = [polygon for polygon, ignored in zip(words.polygons, words.ignore, strict=True) if not ignored]
    heights = torch.from_numpy(word_heights(polygons_to_boundaries(counted))).to(edges)
    return torch.bincount(torch.bucketize(heights, edges), minlength=len(edges) + 1).float()


def fit_table(table: Tensor, histograms: Tensor, outcomes: Tensor, iterations: int = 3, prior: float = 2.0) -> Tensor:
    """Raise the Poisson likelihood of the outcomes by expectation maximisation, and pull each height towards its neighbours.

    Every iteration raises the likelihood where ``prior`` is 0, and leaves no value below 0.

    Args:
        table: ``(2, bins + 1, K)`` words read rightly and falsely, per word of a height and, in the last row, per image.
        histograms: ``(N, bins)`` words of each height.
        outcomes: ``(N, K, 3)`` matched, predicted and true words.
        iterations: passes over the images.
        prior: words of each height that are taken to agree with the row of the height above or below, half of it each, so
            that heights never seen have sensible values.

    Returns:
        the improved table.
    """
    with torch.autocast(table.device.type, enabled=False):  # half precision would blur what sets scales apart
        return _maximize(table, histograms, outcomes, iterations, prior)


def _maximize(table: Tensor, histograms: Tensor, outcomes: Tensor, iterations: int, prior: float) -> Tensor:
    seen = torch.cat([histograms, torch.ones_like(histograms[:, :1])], dim=1)
    matched, predicted, _ = outcomes.unbind(-1)
    counts = torch.stack([matched, predicted - matched])
    for _ in range(iterations):
        expected = torch.einsum("nh,ohk->onk", seen, table).clamp(min=1e-6)
        credit = table * torch.einsum("nh,onk->ohk", seen, counts / expected)
        rows = table[:, :-1]
        neighbours = (torch.cat([rows[:, :1], rows[:, :-1]], 1) + torch.cat([rows[:, 1:], rows[:, -1:]], 1)) / 2
        neighbours = torch.cat([neighbours, table[:, -1:]], dim=1)
        table = (credit + prior * neighbours) / (seen.sum(0)[None, :, None] + prior)
    return table


class Memory:
    """The latest rows of aligned columns.

    Args:
        capacity: rows kept.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ConfigError(f"selection.capacity must be at least 1, found {capacity}; raise it")
        self.capacity = capacity
        self.columns: list[Tensor] = []
        self.seen = 0

    def __len__(self) -> int:
        return min(self.seen, self.capacity)

    def add(self, *rows: Tensor) -> None:
        """Keep rows ``(B, ...)`` of each column in the place of the oldest; of more than there is room for the last ones."""
        rows = tuple(row[-self.capacity :] for row in rows)
        if not self.columns:
            self.columns = [row.new_empty(self.capacity, *row.shape[1:]) for row in rows]
        count = len(rows[0])
        places = torch.arange(self.seen, self.seen + count, device=rows[0].device) % self.capacity
        for column, row in zip(self.columns, rows, strict=True):
            column[places] = row
        self.seen += count

    def rows(self) -> list[Tensor]:
        """All rows of every column, in any order."""
        return [column[: len(self)] for column in self.columns]

    def draw(self, count: int) -> list[Tensor]:
        """Rows drawn with replacement, the same of every column."""
        index = torch.randint(len(self), (count,), device=self.columns[0].device)
        return [column[index] for column in self.columns]


def image_mean(values: Tensor, image_index: Tensor, images: int) -> Tensor:
    """Mean ``(images,)`` of the values ``(N,)`` of each image's words; 0 for an image without words."""
    total = values.new_zeros(images).index_add(0, image_index, values)
    count = values.new_zeros(images).index_add(0, image_index, torch.ones_like(values))
    return total / count.clamp(min=1)


def expected_cost(one_hot: Tensor, relative_cost: Tensor) -> Tensor:
    """L_flops: mean over images of the cost of the chosen scale, from ``(B, K)`` decisions and relative costs."""
    return (one_hot * relative_cost).sum(1).mean()
