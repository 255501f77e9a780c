"""Sequential knowledge distillation (DLD, section 3.3), its token-level alternative, and distillation of the text map.

A term compares teacher and student on the same words, or their text maps of the same images.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_spotter.core.batches import DetectionMaps, Recognition, View
from dld_spotter.core.charset import PADDING
from dld_spotter.core.errors import ConfigError
from dld_spotter.data.targets import MAP_STRIDE
from dld_spotter.data.views import alike
from dld_spotter.losses.detection import LEAST_CELLS
from dld_spotter.models.spotter import Spotter


def single(values: Tensor) -> Tensor:
    """Half precision to single; what is finer stays."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def squared_difference(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference over every element (L_roi and L_con of the paper); raises ConfigError where shapes differ."""
    if student.shape != teacher.shape:
        raise ConfigError(
            f"distillation.terms roi and context need features of one size, found {list(student.shape[1:])} of the student "
            f"and {list(teacher.shape[1:])} of the teacher; give '~distillation.terms.roi' '~distillation.terms.context'"
        )
    return F.mse_loss(single(student), single(teacher))


def sequence_loss(log_probabilities: Tensor) -> Tensor:
    """``-log sum_k p(path_k)`` averaged over words, from path log-probabilities ``(N, K)`` (L_seq of the paper)."""
    return -log_probabilities.logsumexp(dim=1).mean()


def token_kl(student: Tensor, teacher: Tensor, temperature: float, mask: Tensor | None = None) -> Tensor:
    """``KL(teacher || student)`` of softened characters, averaged over the steps (Hinton et al., arXiv 1503.02531).

    Without the factor ``temperature**2``, as the paper's authors define it.

    Args:
        student: ``(N, L, V)`` logits.
        teacher: the same shape.
        temperature: both logits are divided by it.
        mask: ``(N, L)`` bool, steps that count; all where it is absent.
    """
    target = (single(teacher) / temperature).log_softmax(-1)
    predicted = (single(student) / temperature).log_softmax(-1)
    divergence = F.kl_div(predicted, target, reduction="none", log_target=True).sum(-1)
    return divergence.mean() if mask is None else (divergence * mask).sum() / mask.sum().clamp(min=1)


WORDS, MAPS = "words", "maps"


class DistillationTerm(nn.Module):
    """One comparison of teacher and student.

    Attributes:
        compares: what of both: ``WORDS`` that they read, see :class:`WordTerm`, or ``MAPS`` of images, see :class:`MapTerm`.
    """

    compares: str


class WordTerm(DistillationTerm, ABC):
    """One comparison on the same N words."""

    compares = WORDS

    @abstractmethod
    def forward(
        self, student: Recognition, teacher: Recognition, labels: Tensor, spotters: tuple[Spotter, Spotter]
    ) -> dict[str, Tensor]:
        """Compare.

        Args:
            student: the student's recognition, with gradient.
            teacher: the teacher's, without.
            labels: ``(N, L)`` int64, the characters both were forced through.
            spotters: student and teacher themselves, for terms that decode.

        Returns:
            scalars by name.
        """


class MapTerm(DistillationTerm, ABC):
    """One comparison on the same B images."""

    compares = MAPS

    @abstractmethod
    def forward(self, student: DetectionMaps, teacher: DetectionMaps, view: View, reference: View) -> Tensor:
        """Compare the maps of B images.

        Args:
            student: of ``view``, with gradient.
            teacher: of ``reference``, without.
            view: what the student has seen.
            reference: what the teacher has seen.

        Returns:
            ``(B,)`` a value for each image.
        """


class RoIFeatures(WordTerm):
    """L_roi: mean squared difference of the RoI features."""

    def forward(
        self, student: Recognition, teacher: Recognition, labels: Tensor, spotters: tuple[Spotter, Spotter]
    ) -> dict[str, Tensor]:
        """See :class:`WordTerm`."""
        return {"roi": squared_difference(student.roi, teacher.roi)}


class Context(WordTerm):
    """L_con: mean squared difference of the sequence encoder's hidden states."""

    def forward(
        self, student: Recognition, teacher: Recognition, labels: Tensor, spotters: tuple[Spotter, Spotter]
    ) -> dict[str, Tensor]:
        """See :class:`WordTerm`."""
        return {"context": squared_difference(student.context, teacher.context)}


class SequenceBeams(WordTerm):
    """L_seq: the student gives probability to the teacher's likeliest sequences.

    Args:
        beams: sequences K kept per word (paper: 3).
        per_character: divide by the mean length of the sequences, so that the term has the scale of a cross-entropy.
    """

    def __init__(self, beams: int = 3, per_character: bool = True) -> None:
        super().__init__()
        if beams < 1:
            raise ConfigError(f"distillation beams must be at least 1, found {beams}")
        self.beams = beams
        self.per_character = per_character

    def forward(
        self, student: Recognition, teacher: Recognition, labels: Tensor, spotters: tuple[Spotter, Spotter]
    ) -> dict[str, Tensor]:
        """See :class:`WordTerm`."""
        with torch.no_grad():
            paths, scores = spotters[1].beams(teacher.context, self.beams)
        words, beams, length = paths.shape
        tried = torch.arange(words, device=paths.device).repeat_interleave(beams)
        log_probabilities = spotters[0].weigh(student.context, tried, paths.view(words * beams, length)).view(words, beams)
        # A beam that does not exist (fewer sequences than beams) takes no part.
        loss = sequence_loss(log_probabilities.masked_fill(scores.isinf(), float("-inf")))
        return {"sequence": loss / (paths[:, 0] != PADDING).sum(1).float().mean() if self.per_character else loss}


class TokenKL(WordTerm):
    """Character-level distillation with a temperature, on the attention decoder and on CTC.

    Of spotters without an attention decoder the CTC columns are compared.

    Args:
        temperature: T; both logits are divided by it and the loss is scaled by T**2, so that T changes what is matched
            and not how strongly (Hinton et al., section 2).
        ctc: weight of the same term on the CTC columns.
    """

    def __init__(self, temperature: float = 2.0, ctc: float = 0.0) -> None:
        super().__init__()
        if temperature <= 0:
            raise ConfigError(f"distillation.temperature must be above 0, found {temperature}")
        self.temperature = temperature
        self.ctc = ctc

    def forward(
        self, student: Recognition, teacher: Recognition, labels: Tensor, spotters: tuple[Spotter, Spotter]
    ) -> dict[str, Tensor]:
        """See :class:`WordTerm`."""
        heads = {spotter.has_attention for spotter in spotters}
        if len(heads) > 1:
            raise ConfigError(
                "distillation.terms.token compares characters step by step, and only one of teacher and student has an "
                "attention decoder; give distillation=sequential, or spotters of one family"
            )
        weights = {"attention": 1.0, "ctc": self.ctc} if heads.pop() else {"ctc": self.ctc or 1.0}
        loss = 0.0
        if "attention" in weights:
            loss = token_kl(student.logits, teacher.logits, self.temperature, labels != PADDING)
        if weights["ctc"]:
            loss = loss + weights["ctc"] * token_kl(student.ctc_logits, teacher.ctc_logits, self.temperature)
        return {"token": loss * self.temperature**2}


class TextMap(MapTerm):
    """What the teacher finds at full resolution, as the target of the student's smaller text map.

    The paper's terms are about reading alone. This one is the divergence of Bernoulli distributions ``KL(teacher || student)``
    of each cell, summed over an image and divided by the sum of the teacher's probabilities of text, which counts as 1,000
    cells where it is less, as in the loss of the text map itself.
    """

    def forward(self, student: DetectionMaps, teacher: DetectionMaps, view: View, reference: View) -> Tensor:
        """See :class:`MapTerm`."""
        stride = view.images.shape[2] // student.text.shape[1]
        target, known = map_in_view(single(teacher.text).sigmoid(), reference, view, stride)
        entropy = -torch.xlogy(target, target) - torch.xlogy(1 - target, 1 - target)
        divergence = F.binary_cross_entropy_with_logits(single(student.text), target, reduction="none") - entropy
        return (divergence * known).sum((1, 2)) / target.sum((1, 2)).clamp(min=LEAST_CELLS)


def map_in_view(probability: Tensor, reference: View, view: View, stride: int = MAP_STRIDE) -> tuple[Tensor, Tensor]:
    """Bring the map of the reference to the cells of another view of the same images, exact to half a cell.

    Args:
        probability: ``(B, H / s, W / s)`` of the reference, at any stride s.
        reference: the view that it is a map of.
        view: the other view.
        stride: pixels of ``view`` per cell of the result.

    Returns:
        probabilities ``(B, h / stride, w / stride)``, 0 in the padding; bool of the same shape, True outside the padding.
    """
    batch, _, height, width = view.images.shape
    target = probability.new_zeros((batch, height // stride, width // stride))
    known = torch.zeros_like(target, dtype=torch.bool)
    own = reference.images.shape[2] // probability.shape[1]
    cells = [-(-side.sizes // step) for side, step in ((reference, own), (view, stride))]
    for images, (rows, columns, height, width) in alike(*cells):
        whole = probability[images, None, :rows, :columns]
        part = F.interpolate(whole, (height, width), mode="bilinear", antialias=True)
        target[images, :height, :width] = part[:, 0].clamp(0, 1)  # rounding may leave the interval
        known[images, :height, :width] = True
    return target, known


class Distillation(nn.Module):
    """The terms of one run, together.

    Args:
        terms: by any name, None among them; none for the control that trains without distillation.
    """

    def __init__(self, terms: Mapping[str, DistillationTerm | None]) -> None:
        super().__init__()
        self.words, self.maps = (
            nn.ModuleDict({name: term for name, term in terms.items() if term is not None and term.compares == kind})
            for kind in (WORDS, MAPS)
        )

    def __len__(self) -> int:
        return len(self.words) + len(self.maps)

    def check(self, spotters: tuple[Spotter, Spotter]) -> None:
        """Raise ConfigError if text maps are to be compared of student and teacher, and one of them has none."""
        without = [type(spotter).__name__ for spotter in spotters if not spotter.has_text_map]
        if self.maps and without:
            raise ConfigError(
                f"distillation.terms {', '.join(self.maps)} compares text maps, and a {without[0]} has none; "
                f"give distillation=sequential or distillation=token"
            )

    def compare_maps(self, student: DetectionMaps, teacher: DetectionMaps, view: View, reference: View) -> dict[str, Tensor]:
        """Compare what is found in B images, see :class:`MapTerm`; ``(B,)`` by name."""
        return {name: term(student, teacher, view, reference) for name, term in self.maps.items()}

    def forward(
        self, student: Recognition, teacher: Recognition, labels: Tensor, spotters: tuple[Spotter, Spotter]
    ) -> dict[str, Tensor]:
        """Compare what is read; no word gives no term."""
        found: dict[str, Tensor] = {}
        if len(labels):
            for term in self.words.values():
                found |= term(student, teacher, labels, spotters)
        return found
