"""The typed values that flow from file to trade-off curve.

Coordinates are pixels, x to the right and y down, with the centre of the first pixel at (0.5, 0.5), so that a change
of resolution multiplies a coordinate and nothing else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from dld_spotter.core.instances import Sample as Sample
from dld_spotter.core.instances import TextInstances as TextInstances
from dld_spotter.core.words import SpottingResult as SpottingResult
from dld_spotter.core.words import Word as Word


@dataclass(frozen=True)
class Movable:
    """A dataclass of tensors that moves to a device as a whole, nested ones included."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Return a copy on ``device``."""
        return self._each(lambda part: part.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """Return a copy in page-locked memory, as a loader that feeds a GPU asks for."""
        return self._each(lambda part: part.pin_memory())

    def _each(self, change: Callable[[Any], Any]) -> Self:
        return replace(self, **{f.name: _change(getattr(self, f.name), change) for f in fields(self)})


def _change(value: Any, change: Callable[[Any], Any]) -> Any:
    """Change a tensor, or what holds tensors; leave everything else as it is."""
    if isinstance(value, Tensor | Movable):
        return change(value)
    if isinstance(value, dict):
        return {key: _change(item, change) for key, item in value.items()}
    if type(value) is tuple:
        return tuple(_change(item, change) for item in value)
    return value


@dataclass(frozen=True)
class DetectionTargets(Movable):
    """What a text map should show, at the stride s of the map: 2 pixels of the view, 1 for some families.

    Args:
        text: ``(B, H/s, W/s)`` float32, 1 inside a shrunk word.
        care: the same shape, what each cell counts: 0 where an ignored word makes the answer unknown, and 1 or more elsewhere.
        border: the same shape in 0..1, 1 on a word's outline, falling to 0 at the shrink distance (threshold map).
        border_care: the same shape, 1 where ``border`` is defined.
    """

    text: Tensor
    care: Tensor
    border: Tensor
    border_care: Tensor

    def select(self, index: Tensor) -> "DetectionTargets":
        """Keep the images at ``index`` ``(M,)`` int64."""
        return DetectionTargets(*(getattr(self, f.name)[index] for f in fields(self)))


@dataclass(frozen=True)
class WordTargets(Movable):
    """The words of a view, for detectors that are taught one word at a time.

    Args:
        boundaries: ``(W, 2, K, 2)`` float32 pixels of the view, upper and lower side of each.
        image_index: ``(W,)`` int64, ascending.
        care: ``(W,)`` bool, False where a word is don't-care.
        images: how many images the view has.
    """

    boundaries: Tensor
    image_index: Tensor
    care: Tensor
    images: int

    def select(self, index: Tensor) -> "WordTargets":
        """Keep the images at ``index`` ``(M,)`` int64."""
        kept, words = (self.image_index[None] == index[:, None]).nonzero(as_tuple=True)
        return WordTargets(self.boundaries[words], kept, self.care[words], len(index))

    def boxes(self) -> Tensor:
        """Smallest upright boxes ``(W, 4)`` around them: left, top, right and bottom."""
        return torch.cat([self.boundaries.amin((1, 2)), self.boundaries.amax((1, 2))], dim=1)


@dataclass(frozen=True)
class View(Movable):
    """A batch of images at one scale.

    Args:
        images: ``(B, 3, H, W)`` uint8 RGB, each image at the top left, padded with zeros to the model's stride.
        sizes: ``(B, 2)`` int64, height and width of each image without its padding.
        factors: ``(B, 2)`` float32, (x, y) factors from reference pixels to this view's pixels.
        targets: detection targets of this view, of the kind that the spotter takes, where the loader makes them.
        full: the same images at the reference resolution, for spotters that find words in this view and read them there.
    """

    images: Tensor
    sizes: Tensor
    factors: Tensor
    targets: DetectionTargets | WordTargets | None = None
    full: "View | None" = None

    def select(self, index: Tensor) -> "View":
        """Keep the images at ``index`` ``(M,)`` int64."""
        targets = self.targets and self.targets.select(index)
        full = self.full and self.full.select(index)
        return View(self.images[index], self.sizes[index], self.factors[index], targets, full)


@dataclass(frozen=True)
class SpottingBatch(Movable):
    """Images with their words in several resolutions.

    Args:
        names: per image its name.
        views: scale -> view; 1.0 is the reference.
        thumbnails: ``(B, 3, S, S)`` uint8 RGB, the whole image squeezed to one small size, for the selector.
        instances: per image its words in reference pixels, for scoring.
        boundaries: ``(N, 2, K, 2)`` float32 reference pixels, upper and lower side of every word that is read in training,
            both in reading direction.
        image_index: ``(N,)`` int64, the image each of these words lies in.
        labels: ``(N, L)`` int64, see :meth:`dld_spotter.core.charset.Charset.encode`.
        original_sizes: ``(B, 2)`` int64, height and width of each image file.
    """

    names: tuple[str, ...]
    views: dict[float, View]
    thumbnails: Tensor
    instances: tuple[TextInstances, ...]
    boundaries: Tensor
    image_index: Tensor
    labels: Tensor
    original_sizes: Tensor

    def __len__(self) -> int:
        return len(self.names)

    def view(self, scale: float) -> View:
        """The images at a scale, with the reference close by where there is one."""
        return replace(self.views[scale], full=self.views.get(1.0))


@dataclass(frozen=True)
class WordCrops(Movable):
    """What is cut out of a view for each of N words; all that recognition needs.

    Args:
        pixels: ``(N, 3, H, W)`` pixels in the form that the recogniser takes; None for recognisers that read features alone.
        features: ``(N, C, h, w)`` of the feature pyramid; None for recognisers that read pixels alone.
        widths: ``(N,)`` int64, columns of ``pixels`` that are the word's, what is behind them being zeros; None where it is
            all of them.
    """

    pixels: Tensor | None
    features: Tensor | None = None
    widths: Tensor | None = None

    @classmethod
    def concat(cls, parts: Sequence["WordCrops"]) -> "WordCrops":
        """Put the words of several views behind each other, as wide as the widest."""
        cut = [part.pixels for part in parts if part.pixels is not None]
        widest = max((pixels.shape[3] for pixels in cut), default=0)
        pixels = torch.cat([F.pad(pixels, (0, widest - pixels.shape[3])) for pixels in cut]) if cut else None
        others = ([getattr(part, name) for part in parts] for name in ("features", "widths"))
        return cls(pixels, *(None if one[0] is None else torch.cat(one) for one in others))


@dataclass(frozen=True)
class Recognition(Movable):
    """What the recognition branch computes for N words, in the order it computes it.

    Args:
        roi: ``(N, C, h, w)`` features of each word crop.
        context: ``(N, T, C)`` hidden states of the sequence encoder; columns of zeros are behind the end of a word.
        logits: ``(N, L, V)`` attention decoder, one step per character; None for recognisers without one.
        ctc_logits: ``(N, T, V)`` CTC head, which every recogniser has; behind the end of a word nothing but blanks.
    """

    roi: Tensor
    context: Tensor
    logits: Tensor | None
    ctc_logits: Tensor

    def select(self, index: Tensor) -> "Recognition":
        """Keep the words at ``index`` ``(M,)`` int64, in that order."""
        logits = None if self.logits is None else self.logits[index]
        return Recognition(self.roi[index], self.context[index], logits, self.ctc_logits[index])


@dataclass(frozen=True)
class DetectionMaps(Movable):
    """Text-map logits ``(B, H/s, W/s)``, s the map's stride, and threshold logits of the same shape.

    Families without differentiable binarisation have no threshold.
    """

    text: Tensor
    threshold: Tensor | None = None

    def select(self, index: Tensor) -> "DetectionMaps":
        """Keep the images at ``index`` ``(M,)`` int64."""
        return DetectionMaps(self.text[index], None if self.threshold is None else self.threshold[index])


@dataclass(frozen=True)
class SpotterOutput(Movable):
    """What a spotter computes in training: what it detects words in, of its family's kind, and recognition on given words."""

    detection: Any
    recognition: Recognition


@dataclass(frozen=True)
class ScaleChoice(Movable):
    """A selector's decision for B images over K scales.

    Args:
        one_hot: ``(B, K)`` the decision; in training it carries the gradient of a soft decision (straight-through).
        index: ``(B,)`` int64, the scale chosen.
    """

    one_hot: Tensor
    index: Tensor
