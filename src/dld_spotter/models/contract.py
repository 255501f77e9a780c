"""The spotter contract: what a family gives, so that training, cost, policies, reading and evaluation work unchanged."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dld_spotter.core.batches import Movable, Recognition, SpotterOutput, View, Word, WordCrops
from dld_spotter.core.charset import Charset
from dld_spotter.core.errors import ConfigError
from dld_spotter.models.detections import Detections
from dld_spotter.models.graphs import SpotterGraphs
from dld_spotter.models.vocabulary import Vocabulary

Features = tuple[Tensor, ...]
"""What a family computes once per image and cuts words out of."""
FullResolution = tuple[Tensor, Tensor]
"""uint8 images ``(B, 3, H, W)`` and factors ``(B, 2)`` (x, y) that bring a view's pixels to theirs."""


def full_resolution(view: View) -> FullResolution | None:
    """What a view offers to take words' pixels from, if it is not itself of that resolution."""
    if view.full is None or torch.equal(view.full.factors, view.factors):
        return None
    return view.full.images, view.full.factors / view.factors


class Source(NamedTuple):
    """What the words of one image of a view are cut out of: its row in the view, and what the view's images share."""

    row: int
    features: Features
    full: FullResolution | None


class Spotter(nn.Module, ABC):
    """What a spotter family must be able to do; everything else is built on these methods.

    :meth:`detect` and :meth:`recognize` are the two steps of reading, as of a
    :class:`~dld_spotter.inference.backend.Backend`, which makes the view. Both run the networks, whose parts training, cost
    and export take one by one: :meth:`detect_maps` for every pixel, :meth:`cut` and :meth:`recognize_crops` for every word.
    Families that read words one by one with a :class:`~dld_spotter.models.word_recognizer.WordRecognizer` get all that is
    about reading from :class:`~dld_spotter.models.crop_spotter.CropSpotter`.

    Attributes:
        charset: the characters it writes.
        stride: heights and widths of its inputs are multiples of this.
        vocabulary: words that it weighs what it reads against; None for none.
        has_attention: whether ``Recognition`` has an attention decoder's logits; CTC logits it always has.
        has_text_map: whether what it detects is :class:`~dld_spotter.core.batches.DetectionMaps`, which some losses compare.
        min_score: words of a lower score are dropped; 0, and none is.
        full_resolution_crops: whether it takes the words' pixels from the full resolution where a view offers that.
    """

    charset: Charset
    stride: int
    min_score: float = 0.0
    vocabulary: Vocabulary | None = None
    has_attention: bool = True
    has_text_map: bool = False
    full_resolution_crops: bool = False

    @property
    @abstractmethod
    def target_settings(self) -> dict[str, Any]:
        """Arguments of :class:`~dld_spotter.data.collate.Collate` by which the targets are drawn that it is taught with."""

    @abstractmethod
    def detect_maps(self, images: Tensor) -> tuple[Features, Movable]:
        """Everything that costs per pixel: features and maps of uint8 images ``(B, 3, H, W)``.

        The maps are what :meth:`detect` and :meth:`detection_loss` take; ``select(index)`` of them keeps some images.
        """

    @abstractmethod
    def detection_loss(self, maps: Movable, targets: Movable, text_map: Callable[..., Tensor]) -> Tensor:
        """How wrong what was detected is.

        Args:
            maps: of :meth:`detect_maps`, with gradient.
            targets: drawn by :attr:`target_settings` of the same B images.
            text_map: the loss that a run has configured for text maps, ``(maps, targets) -> (B,)``.

        Returns:
            ``(B,)`` the loss of each image.
        """

    @abstractmethod
    def cut(self, features: Features, boundaries: Tensor, image_index: Tensor, full: FullResolution | None = None) -> WordCrops:
        """Cut out N words.

        Args:
            features: what :meth:`detect_maps` has computed of a view.
            boundaries: ``(N, 2, K, 2)`` pixels of the view.
            image_index: ``(N,)`` int64.
            full: the same images at another resolution, for families that take the words' pixels from there.
        """

    @abstractmethod
    def recognize_crops(self, crops: WordCrops, labels: Tensor) -> Recognition:
        """Everything that costs per word: recognise N words, ``labels`` ``(N, L)`` for teacher forcing."""

    @abstractmethod
    def detect(self, view: View, keep_all: bool = False) -> list[Detections]:
        """Find where words of B images may be; nothing is recognised.

        Args:
            view: B images.
            keep_all: whether words are kept whatever their score, in place of :attr:`min_score`.
        """

    @abstractmethod
    def recognize(self, detections: Sequence[Detections], which: Sequence[np.ndarray]) -> list[list[Word]]:
        """Recognise what was detected.

        Args:
            detections: of one call of :meth:`detect`, not necessarily of all of its images.
            which: proposals ``(M,)`` of each that are recognised, ascending, wholes with all of their parts.

        Returns:
            the words of each that are sure enough, polygons in pixels of the reference.
        """

    @abstractmethod
    def weigh(self, context: Tensor, words: Tensor, labels: Tensor) -> Tensor:
        """Log-probability ``(M,)`` of texts.

        Args:
            context: of N encoded words.
            words: ``(M,)`` int64, the word that each text is tried on.
            labels: ``(M, L)`` the texts, END included.
        """

    @abstractmethod
    def beams(self, context: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Likeliest label sequences ``(N, count, L)`` and log-probabilities ``(N, count)`` of encoded words."""

    def spot(self, view: View) -> list[list[Word]]:
        """Detect and recognise all words of B images; polygons in pixels of the reference."""
        detections = self.detect(view)
        return self.recognize(detections, [one.all for one in detections])

    def detect_maps_and_cut(self, view: View, boundaries: Tensor, image_index: Tensor) -> tuple[WordCrops, Any]:
        """Detect in a view and cut given words out of it.

        Args:
            view: B images.
            boundaries: ``(N, 2, K, 2)`` reference pixels; the view's factors bring them into the view.
            image_index: ``(N,)`` int64.
        """
        features, maps = self.detect_maps(view.images)
        return self.cut(
            features, boundaries * view.factors[image_index][:, None, None, :], image_index, full_resolution(view)
        ), maps

    def forward(self, view: View, boundaries: Tensor, image_index: Tensor, labels: Tensor) -> SpotterOutput:
        """Detect in a view and recognise given words in it, see :meth:`detect_maps_and_cut` and :meth:`recognize_crops`."""
        crops, maps = self.detect_maps_and_cut(view, boundaries, image_index)
        return SpotterOutput(maps, self.recognize_crops(crops, labels))

    def run_per_image(self, images: Tensor) -> Features:
        """Run all networks that every image takes, for what they cost to be counted; on the meta device, without values."""
        return self.detect_maps(images)[0]

    def run_per_word(self, features: Features, boundaries: Tensor, image_index: Tensor, labels: Tensor) -> Recognition:
        """The same of what every word takes, see :meth:`cut` and :meth:`recognize_crops`."""
        return self.recognize_crops(self.cut(features, boundaries, image_index), labels)

    def graphs(self) -> SpotterGraphs:
        """What is exported of it.

        Raises:
            ConfigError: this family, or its recogniser, has no graphs.
        """
        raise ConfigError(f"export knows no graphs of {type(self).__name__}; give the checkpoint of another spotter")
