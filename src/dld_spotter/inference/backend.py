"""What computes the two steps of reading, detecting and recognising: torch, ONNX Runtime, or a black-box engine."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from dld_spotter.core.words import Word
from dld_spotter.models.detections import Detections


class Backend(ABC):
    """Detects and recognises words; :class:`~dld_spotter.inference.predictor.Predictor` does everything else.

    Attributes:
        counts_flops: whether :meth:`cost` is in GFLOP; else it is in millions of pixels, as of an engine of unknown FLOPs.
        largest_scale: to which an image may be brought; above 1.0 it is enlarged, which networks were not trained for.
    """

    counts_flops: bool = True
    largest_scale: float = 1.0

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
    def detect(self, images: Sequence[np.ndarray], scale: float, keep_all: bool = False) -> list[Detections]:
        """Find where words may be; nothing is recognised.

        Args:
            images: ``(H, W, 3)`` uint8 of one size.
            scale: at which they are seen.
            keep_all: whether words are kept whatever their score.
        """

    @abstractmethod
    def recognize(self, detections: Sequence[Detections], which: Sequence[np.ndarray]) -> list[list[Word]]:
        """Recognise what was detected.

        Args:
            detections: of one call of :meth:`detect`, not necessarily of all of its images.
            which: proposals ``(M,)`` of each that are recognised, ascending, wholes with all of their parts.

        Returns:
            the words of each that are sure enough, polygons in pixels of the images.
        """

    def read_boxes(self, detections: Detections, polygons: Sequence[np.ndarray]) -> list[Word]:
        """Recognise given words in a view, whatever their score, as if they had been detected.

        Args:
            detections: of an image.
            polygons: ``(P, 2)`` pixels of the image, P even and at least 4, clockwise from the text's top left.

        Returns:
            what is read in each; of score 0 and without text where nothing is.

        Raises:
            ConfigError: of a black-box engine, which finds its words itself.
        """
        given = detections.at(polygons)
        read = self.recognize([given] * len(polygons), list(given.all[:, None]))  # each on its own: none is another's part
        return [next(iter(words), Word(polygon, "", 0.0)) for words, polygon in zip(read, polygons, strict=True)]
