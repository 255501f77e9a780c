"""The contract of a black-box OCR engine: it turns pixels into lines of text, everything else is shared.

We resize, never the engine, so that a scale means the same for an engine as for a spotter. Data sets count words and
engines return lines, hence one rule for all of them: the polygon of a line is cut in proportion to its characters,
spaces included (:func:`dld_spotter.core.geometry.split_line`). FLOPs of an engine are unknown: it costs its pixels, its
sides rounded up to multiples of ``stride``.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from dld_spotter.core.batches import View, Word
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.geometry import split_line


class Line(NamedTuple):
    """Words in a row: polygon ``(4, 2)`` clockwise from the text's top left, text with spaces, score in 0..1."""

    polygon: np.ndarray
    text: str
    score: float


class Engine(ABC):
    """What an engine must be able to do. It runs on the CPU.

    Args:
        threads: how many it may use; None for as many as PyTorch uses for a spotter.

    Attributes:
        name: what its table and its points are called.
        stride: heights and widths are charged for as multiples of it.

    Raises:
        ConfigError: the engine is not installed, or ``threads`` is no positive number.
    """

    name: ClassVar[str]
    stride: ClassVar[int] = 32

    def __init__(self, threads: int | None = None) -> None:
        if reason := self.missing():
            raise ConfigError(f"engine={self.name} cannot run here: {reason}")
        self.threads = torch.get_num_threads() if threads is None else threads
        if not isinstance(self.threads, int) or self.threads < 1:
            raise ConfigError(f"engine.threads={threads} must be a whole number of at least 1; null takes PyTorch's number")

    @classmethod
    @abstractmethod
    def missing(cls) -> str | None:
        """What is not installed and how to install it; None where the engine can run."""

    @abstractmethod
    def version(self) -> str:
        """Version of the engine that is installed."""

    @abstractmethod
    def read(self, image: np.ndarray) -> list[Line]:
        """Find and read the lines of an image ``(H, W, 3)`` uint8 RGB at its own resolution; polygons in its pixels."""

    def spot(self, view: View) -> list[list[Word]]:
        """Find and read the words of B images, each without its padding; polygons in reference pixels."""
        sizes, factors = view.sizes.tolist(), view.factors.cpu().numpy()
        images = [image[:, :height, :width] for image, (height, width) in zip(view.images.cpu(), sizes, strict=True)]
        lines = [self.read(image.permute(1, 2, 0).contiguous().numpy()) for image in images]
        return [_words(found, factor) for found, factor in zip(lines, factors, strict=True)]


def _words(lines: list[Line], factor: np.ndarray) -> list[Word]:
    """Cut lines into words and bring them from a view's pixels to those of the reference, ``factor`` being (x, y)."""
    pieces = [(line.score, *piece) for line in lines for piece in split_line(line.polygon, line.text)]
    return [Word((polygon / factor).astype(np.float32), text, score) for score, polygon, text in pieces if text]
