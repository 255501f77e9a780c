"""What a recogniser must be able to do, so that any detector may be put before it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from dld_spotter.core.batches import Recognition, WordCrops
from dld_spotter.core.errors import ConfigError
from dld_spotter.models.graphs import RecognizerGraphs

PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)


class WordRecognizer(nn.Module, ABC):
    """Crops words out of images and reads them; everything that costs per word.

    What a word costs is counted on these methods, on the meta device (:class:`dld_spotter.budget.cost.FlopCost`): there the
    shapes of crops must not depend on values.

    Attributes:
        max_length: most characters of a word.
        has_attention: whether it has an attention decoder beside the CTC head; without one ``Recognition.logits`` is None.
        reads_features: whether it reads features of a view beside pixels.
        margin: how far a word's crop reaches beyond the word at every side, of its height.
        width_ratio: of a crop's width to that which keeps the word's proportions.
    """

    max_length: int
    has_attention: bool = True
    reads_features: bool = True
    margin: float = 0.0
    width_ratio: float = 1.0

    @abstractmethod
    def crop(
        self,
        images: Tensor,
        boundaries: Tensor,
        image_index: Tensor,
        pyramid: Sequence[Tensor] = (),
        view_boundaries: Tensor | None = None,
    ) -> WordCrops:
        """Cut out and rectify N words.

        Args:
            images: ``(B, 3, H, W)`` in 0..255, what the words' pixels are taken from.
            boundaries: ``(N, 2, K, 2)`` pixels of ``images``.
            image_index: ``(N,)`` int64.
            pyramid: features of a view of the images, for recognisers that read them.
            view_boundaries: the boundaries in pixels of that view; None where it is ``images`` themselves.
        """

    @abstractmethod
    def forward(self, crops: WordCrops, labels: Tensor) -> Recognition:
        """Recognise N words, ``labels`` ``(N, L)`` for teacher forcing."""

    @abstractmethod
    def encode(self, crops: WordCrops) -> Tensor:
        """Context ``(N, T, C)`` of N words, which the other methods take."""

    @abstractmethod
    def read(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Read N words: labels ``(N, L)`` and a score in 0..1 ``(N,)``, the geometric mean of the characters' probabilities."""

    def paths(self, context: Tensor) -> list[np.ndarray]:
        """Likeliest class of each of a word's columns ``(T,)``, which lie evenly along its crop, of N words.

        Raises:
            ConfigError: this recogniser has no such columns.
        """
        raise ConfigError(f"{type(self).__name__} has no columns along the word; leave out spotter.split_at_spaces")

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

    def graphs(self, images: Tensor, pyramid: Sequence[Tensor], boundaries: Tensor, stride: int) -> RecognizerGraphs:
        """What is exported of it; the arguments are examples.

        Args:
            images: ``(B, 3, H, W)`` uint8.
            pyramid: features of these images; empty for recognisers that read pixels alone.
            boundaries: ``(N, 2, K, 2)`` pixels of the images.
            stride: sides of images are multiples of it.

        Raises:
            ConfigError: this recogniser has no graphs.
        """
        raise ConfigError(f"export knows no graphs of {type(self).__name__}; give a checkpoint with another recogniser")


def pixel_statistics(mean: Sequence[float] = PIXEL_MEAN, std: Sequence[float] = PIXEL_STD) -> tuple[Tensor, Tensor]:
    """Mean and deviation ``(1, 3, 1, 1)`` of red, green and blue in 0..255."""
    return tuple(255 * torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std))
