"""What computes the two halves of reading, finding and recognising: torch, ONNX Runtime, or a black-box engine."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from dld_spotter.core.words import Word
from dld_spotter.models.detections import Detections


class Backend(ABC):
    """Finds and recognises words; :class:`~dld_spotter.inference.predictor.Predictor` does everything else.

    Attributes:
        counts_flops: whether :meth:`cost` is in GFLOP; else it is in millions of pixels, as of an engine of unknown FLOPs.
    """

    counts_flops: bool = True

    @abstractmethod
    def describe(self) -> str:
        """What tables and reports call it."""

    @abstractmethod
    def identity(self) -> tuple[str, str, int]:
        """What seconds depend on: fingerprint of the weights, name of the device, number of threads."""

    @abstractmethod
    def cost(self, height: int, width: int, words: float) -> float:
        """Cost of reading a view of this size with so many words, padding included."""

    @abstractmethod
    def resize(self, image: np.ndarray, height: int, width: int) -> np.ndarray:
        """Resize ``(H, W, 3)`` uint8, bilinear and anti-aliased."""

    @abstractmethod
    def detect(self, images: Sequence[np.ndarray], scale: float) -> list[Detections]:
        """Find where words may be in images ``(H, W, 3)`` uint8 of one size, seen at a scale of them; nothing is recognised."""

    @abstractmethod
    def recognize(self, detections: Sequence[Detections], which: Sequence[np.ndarray]) -> list[list[Word]]:
        """Recognise what was detected.

        Args:
            detections: of images that were detected in together, not necessarily all of them.
            which: proposals ``(M,)`` of each that are recognised, ascending, wholes with all of their parts.

        Returns:
            the words of each that are sure enough, polygons in pixels of the images.
        """
