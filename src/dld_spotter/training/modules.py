"""The two training stages as LightningModules; no network code, no configuration."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Self

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MeanMetric

from dld_spotter.core.batches import Recognition, SpotterOutput, SpottingBatch, Word, WordCrops
from dld_spotter.core.errors import TrainingError
from dld_spotter.losses.distillation import Distillation
from dld_spotter.metrics.spotting import EndToEndHmean
from dld_spotter.models.spotter import Spotter
from dld_spotter.selection.objective import Evidence
from dld_spotter.training.components import Frozen, Optimization, ScaleSelection, StageLosses
from dld_spotter.training.reduction import means_by_name, word_weight

NORMALIZATIONS = (nn.BatchNorm1d, nn.BatchNorm2d)
EXACT = torch.float32 if torch.backends.mps.is_available() else torch.float64
"""Type of sums that do not depend on the order, and so not on the number of processes; Apple's GPUs lack it."""
NOTHING, STATISTICS = Frozen(), Frozen(normalization=True)


class StageModule(LightningModule):
    """What both stages share: supervised losses, optimiser, validation.

    Attributes:
        stage: its name.
        settings: name of its section in ``stages``.
        temperature: of the Gumbel-softmax in this step, where a selector draws.

    The best epoch is the one of the highest ``val/value``: end-to-end Hmean minus the cost weight times the mean relative cost,
    since an epoch that reads better may only have spent more.

    Args:
        losses: what is minimised.
        optimization: how.
        provenance: plain values that every checkpoint carries (see :mod:`dld_spotter.inference.checkpoint`).
    """

    stage: str
    settings: str
    temperature: float = 1.0

    def __init__(self, losses: StageLosses, optimization: Optimization, provenance: dict[str, Any]) -> None:
        super().__init__()
        self.detection_loss, self.recognition_loss, self.objective = losses.detection, losses.recognition, losses.objective
        self.optimization = optimization
        self.provenance = provenance
        self.hmean = EndToEndHmean()
        self.spent, self.charged = (MeanMetric().set_dtype(EXACT) for _ in range(2))
        self.frozen: list[nn.Module] = []

    def train(self, mode: bool = True) -> Self:
        """Switch to training, what is frozen apart."""
        super().train(mode)
        for part in self.frozen:
            part.eval()
            for recurrent in filter(lambda child: isinstance(child, nn.RNNBase), part.modules()):
                recurrent.train(mode)  # without dropout it does the same, and cuDNN has no backward pass for the other mode
        return self

    def configure_optimizers(self) -> dict[str, Any]:
        """One optimiser over everything that learns."""
        return self.optimization.build(self.parameter_groups(), int(self.trainer.estimated_stepping_batches))

    def starting_temperature(self) -> float | None:
        """Gumbel temperature at the start of the stage; None where nothing is drawn."""
        return None

    def count_scales(self) -> dict[float, int]:
        """How many images of the last step were read at each scale; empty where no scale is chosen."""
        return {}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What learns, in groups that may differ in learning rate."""
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the gradient of each group of parameters by itself: together, the selector's would shrink the student's."""
        for group in optimizer.param_groups:
            if gradient_clip_val and gradient_clip_algorithm == "value":
                nn.utils.clip_grad_value_(group["params"], gradient_clip_val)
            elif gradient_clip_val:
                nn.utils.clip_grad_norm_(group["params"], gradient_clip_val)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let the checkpoint say what it holds."""
        checkpoint["dld_spotter"] = self.provenance

    def log_terms(self, terms: dict[str, Tensor], loss: Tensor, batch: SpottingBatch) -> None:
        """Log every term by name, and the weighted sum.

        Raises:
            TrainingError: the sum is not finite, and no step could follow.
        """
        if not loss.detach().isfinite():
            wrong = ", ".join(f"{name}={value.item():g}" for name, value in terms.items() if not value.detach().isfinite())
            raise TrainingError(
                f"the loss is {loss.item():g} at step {self.global_step} ({wrong or 'every term is finite'}) on images such as "
                f"{batch.names[0]}; last.ckpt and best.ckpt keep earlier weights: go on with resume=auto and a lower "
                f"stages.{self.settings}.lr"
            )
        own = {name: value.detach() for name, value in terms.items()} | {"loss": loss.detach()}
        shared = means_by_name(own, [*self.objective.weights, "loss"])  # else the first process's images would count alone
        values = {f"train/{name}": value for name, value in shared.items()}
        self.log_dict(values, batch_size=len(batch))
        self.log("loss", values["train/loss"], prog_bar=True, logger=False, batch_size=len(batch))

    def score(self, words: list[list[Word]], batch: SpottingBatch, costs: Tensor, gamma: float = 0.0) -> None:
        """Add the words read in a validation batch to the Hmean, and the relative costs ``(B,)`` of reading to the mean.

        A unit of cost is charged ``gamma``.
        """
        self.hmean.update(words, batch.instances)
        self.spent.update(costs.to(EXACT))
        self.charged.update(gamma * costs.to(EXACT))

    def on_validation_epoch_end(self) -> None:
        """Log the Hmean of the whole validation set, and its value: the Hmean less what was charged for it."""
        hmean = self.hmean.compute()["hmean"]
        self.log("val/hmean", hmean, prog_bar=True)
        self.log("val/value", hmean - self.charged.compute())
        self.log("val/relative_cost", self.spent.compute())
        for metric in (self.hmean, self.spent, self.charged):
            metric.reset()


class TeacherModule(StageModule):
    """Teacher stage: L_teacher = L_det + L_rec on views of random scale (vanilla multi-scale training).

    Args:
        teacher: the spotter to train.
        losses: see :class:`StageModule`, as what follows.
        optimization: same.
        provenance: same.
        frozen: what of the teacher does not learn.
    """

    stage = settings = "teacher"

    def __init__(
        self,
        teacher: Spotter,
        losses: StageLosses,
        optimization: Optimization,
        provenance: dict[str, Any],
        frozen: Frozen = NOTHING,
    ) -> None:
        super().__init__(losses, optimization, provenance)
        self.teacher = teacher.requires_grad_(True)  # a distillation stage that waits for it may have frozen it
        self.frozen = frozen.freeze(teacher)
        self.train()  # the trainer keeps the modes that it finds, it does not call this itself

    def training_step(self, batch: SpottingBatch, batch_index: int) -> Tensor:
        """Train on every view of the batch; the loader draws one scale per batch."""
        terms: dict[str, Tensor] = {}
        weight = word_weight(len(batch.labels), self.device)
        for view in batch.views.values():
            output = self.teacher(view, batch.boundaries, batch.image_index, batch.labels)
            found = {
                "detection": self.teacher.detection_loss(output.detection, view.targets, self.detection_loss).mean(),
                "recognition": weight * mean_or_zero(self.recognition_loss(output.recognition, batch.labels)),
            }
            terms = {name: terms.get(name, 0.0) + value / len(batch.views) for name, value in found.items()}
        loss = self.objective(terms)
        self.log_terms(terms, loss, batch)
        return loss

    def validation_step(self, batch: SpottingBatch, batch_index: int) -> None:
        """Read the reference view, at no charge."""
        self.score(self.teacher.spot(batch.views[1.0]), batch, torch.ones(len(batch)))


class DLDModule(StageModule):
    """Distillation stage, one optimisation end to end (DLD, section 3.4).

    With ``selector=gumbel`` L = L_det + l1 L_rec + l2 L_acc + gamma L_flops + l3 L_SKD, where l2 L_acc + gamma L_flops is L_DRS
    if l2 is 1.

    It may be built before the teacher is trained: a student of the teacher's shape takes its weights when the stage begins.

    Args:
        teacher: frozen; fed the reference view.
        student: fed each image at the scale the selector chose.
        selection: chooses the scales, and learns to.
        distillation: terms that compare student and teacher.
        losses: see :class:`StageModule`, as what follows.
        optimization: same; of the student, beside which the selector has its own learning rate.
        provenance: same.
        frozen: what of the student does not learn; by default its batch statistics, which are those of the teacher's training.
            That saw every scale, while the groups of one scale in a batch are too small for statistics of their own.
    """

    stage = settings = "distillation"

    def __init__(
        self,
        teacher: Spotter,
        student: Spotter,
        selection: ScaleSelection,
        distillation: Distillation,
        losses: StageLosses,
        optimization: Optimization,
        provenance: dict[str, Any],
        frozen: Frozen = STATISTICS,
    ) -> None:
        super().__init__(losses, optimization, provenance)
        self.teacher = teacher.requires_grad_(False)
        self.student = student
        self.frozen = frozen.freeze(student, others=selection.selector.trainable)
        self.freeze_normalization = frozen.normalization
        self.selector, self.selection_objective = selection.selector, selection.objective
        self.cost_model, self.selector_lr = selection.cost_model, selection.lr
        distillation.check((student, self.teacher))
        self.distillation = distillation
        self.chosen = torch.zeros(0, dtype=torch.int64)
        """``(B,)`` scales of the last step, for :meth:`count_scales`."""
        self.train()  # the trainer keeps the modes that it finds, it does not call this itself

    def setup(self, stage: str) -> None:
        """Begin with the teacher as it is by now: it learns no more, and the student starts from its weights where they fit.

        A checkpoint to go on with is read after this.
        """
        if stage == "fit":
            self.teacher.requires_grad_(False)
            if same_shapes(self.student, self.teacher):
                self.student.load_state_dict(self.teacher.state_dict())
            self.train()

    def train(self, mode: bool = True) -> Self:
        """Switch to training, the teacher and everything frozen apart."""
        super().train(mode)
        self.teacher.eval()
        if self.freeze_normalization:
            for module in self.student.modules():
                if isinstance(module, NORMALIZATIONS):
                    module.eval()
        return self

    def starting_temperature(self) -> float | None:
        """See :meth:`StageModule.starting_temperature`."""
        return self.selector.gumbel_temperature

    def count_scales(self) -> dict[float, int]:
        """See :meth:`StageModule.count_scales`."""
        counts = torch.bincount(self.chosen, minlength=len(self.selector.scales)).tolist()
        return dict(zip(self.selector.scales, counts, strict=True))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The student; and the selector, which starts from nothing, at its own learning rate."""
        groups = [{"params": [p for p in self.student.parameters() if p.requires_grad]}]
        if self.selector.trainable:
            groups.append({"params": list(self.selector.parameters()), "lr": self.selector_lr})
        return [group for group in groups if group["params"]]

    def costs(self, batch: SpottingBatch) -> Tensor:
        """Relative costs ``(B, K)`` of every scale, those of reading the true words included."""
        return self.cost_model.relative(batch.views[1.0].sizes, self.selector.scales, batch.words_per_image())

    def training_step(self, batch: SpottingBatch, batch_index: int) -> Tensor:
        """Choose scales, read at them, compare with the teacher."""
        reference = batch.views[1.0]
        teacher = self.ask_teacher(batch)
        costs = self.costs(batch)
        terms = {}
        if self.selector.trainable:
            evidence = Evidence(self.student, batch, teacher.recognition, costs, self.temperature)
            terms = self.selection_objective(self.selector, evidence)
        # Each image is read for one of the cost weights, drawn at random: over the run the student serves them all.
        choices = self.selector(batch.thumbnails, reference.sizes, costs, self.temperature)
        indices = torch.stack([choice.index for choice in choices])
        drawn = torch.randint(len(indices), (len(batch),), device=indices.device)
        index = indices.gather(0, drawn[None])[0]
        self.chosen = index
        found, recognition, order = self.read_at(index, batch, teacher)
        terms |= found
        weight = word_weight(len(order), self.device)
        terms["recognition"] = weight * mean_or_zero(self.recognition_loss(recognition, batch.labels[order]))
        if len(self.distillation):
            taught = teacher.recognition.select(order)
            compared = self.distillation(recognition, taught, batch.labels[order], (self.student, self.teacher))
            terms |= {name: weight * value for name, value in compared.items()}
        loss = self.objective(terms)
        self.log_terms(terms, loss, batch)
        return loss

    @torch.no_grad()
    def ask_teacher(self, batch: SpottingBatch) -> SpotterOutput | None:
        """What the teacher makes of the reference view and its words; None where nothing is compared with it."""
        if not (self.selector.trainable or len(self.distillation)):
            return None
        return self.teacher(batch.views[1.0], batch.boundaries, batch.image_index, batch.labels)

    def read_at(
        self, index: Tensor, batch: SpottingBatch, teacher: SpotterOutput | None = None
    ) -> tuple[dict[str, Tensor], Recognition, Tensor]:
        """Student at the chosen scales: one forward pass of the detector per scale, one recognition for all.

        Args:
            index: ``(B,)`` the scale of each image.
            batch: the batch.
            teacher: what the teacher makes of the reference, where maps are compared with its.

        Returns:
            mean loss of finding, by term; recognition of the N words, scale after scale; their positions in the batch ``(N,)``.
        """
        losses: dict[str, list[Tensor]] = defaultdict(list)
        crops, orders = [], []
        groups, row, group = list(same_scale(index)), torch.zeros_like(index), torch.zeros_like(index)
        for number, (_, images) in enumerate(groups):
            row[images] = torch.arange(len(images), device=index.device)
            group[images] = number
        words_of = sorted_by(group[batch.image_index], len(groups))
        for (k, images), words in zip(groups, words_of, strict=True):
            view = batch.view(self.selector.scales[k]).select(images)
            cut, maps = self.student.detect_maps_and_cut(view, batch.boundaries[words], row[batch.image_index[words]])
            losses["detection"].append(self.student.detection_loss(maps, view.targets, self.detection_loss))
            if teacher is not None and self.distillation.maps:
                compared = self.distillation.compare_maps(maps, teacher.detection.select(images), view, view.full)
                for name, values in compared.items():
                    losses[name].append(values)
            crops.append(cut)
            orders.append(words)
        order = torch.cat(orders)
        means = {name: torch.cat(values).mean() for name, values in losses.items()}
        return means, self.student.recognize_crops(WordCrops.concat(crops), batch.labels[order]), order

    def validation_step(self, batch: SpottingBatch, batch_index: int) -> None:
        """Read each image at the scale that the middle cost weight chooses."""
        costs = self.costs(batch)
        index = self.selector.choose(batch.thumbnails, batch.views[1.0].sizes, costs)
        words: dict[int, list[Word]] = {}
        for k, images in same_scale(index):
            view = batch.view(self.selector.scales[k]).select(images)
            words |= zip(images.tolist(), self.student.spot(view), strict=True)
        chosen = costs.gather(1, index[:, None])[:, 0]
        self.score([words[i] for i in range(len(batch))], batch, chosen, self.selector.default_gamma)


class ControlModule(DLDModule):
    """The control of a distillation: as many steps on the same images, and nothing that compares the student with the teacher.

    The selector learns as it does beside the distillation, from the teacher's readings too: this is "DRS only" of the paper.
    """

    stage = "control"


def same_scale(index: Tensor, powers: bool | None = None) -> Iterator[tuple[int, Tensor]]:
    """Group images by their scale into ``(scale, images)``.

    Args:
        index: ``(B,)`` scale of each image.
        powers: at most a power of two at a time; None: on CPU, where every new batch shape costs the compilation of new
            kernels, and not on a GPU, which would rather have few groups.
    """
    powers = index.device.type == "cpu" if powers is None else powers
    for k, images in enumerate(sorted_by(index)):
        while len(images):
            size = 2 ** (len(images).bit_length() - 1) if powers else len(images)
            yield k, images[:size]
            images = images[size:]


def sorted_by(owner: Tensor, owners: int = 0) -> tuple[Tensor, ...]:
    """Places of what belongs to each of ``owners``, at least as many as there are, by the owner ``(N,)`` of each.

    How often a GPU is waited for does not grow with the number of owners.
    """
    return owner.argsort(stable=True).split(owner.bincount(minlength=owners).tolist())


def same_shapes(one: nn.Module, other: nn.Module) -> bool:
    """Whether the weights of one module fit into another."""
    first, second = ({name: value.shape for name, value in module.state_dict().items()} for module in (one, other))
    return first == second


def mean_or_zero(values: Tensor) -> Tensor:
    """Mean, or a zero with a gradient path where there is nothing."""
    return values.mean() if len(values) else values.sum()
