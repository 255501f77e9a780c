"""The contract of a black-box OCR engine: it turns pixels into lines of text, everything else is shared.

We resize, never the engine, so that a scale means the same for an engine as for a spotter. Data sets count words and
engines return lines, hence one rule for all of them: the polygon of a line is cut in proportion to its characters,
spaces included (:func:`dld_spotter.core.geometry.split_line`). FLOPs of an engine are unknown: it costs its pixels, its
sides rounded up to multiples of ``stride``.
"""

import platform
from abc import abstractmethod
from collections.abc import Sequence
from math import ceil
from typing import ClassVar, NamedTuple

import cv2
import numpy as np
import torch

from dld_spotter.budget.cost import pad_to
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.geometry import polygons_to_boundaries, split_line
from dld_spotter.core.words import Word
from dld_spotter.data.photos import scaled_size
from dld_spotter.data.views import resize
from dld_spotter.inference.backend import Backend
from dld_spotter.models.detections import Detections
from dld_spotter.models.proposals import MAP_STRIDE, Proposals

LEAST_DOUBT = 0.2
"""Text probability, in the map that an engine is taken to have seen, where it was not sure of what it read."""


class Line(NamedTuple):
    """Words in a row: polygon ``(4, 2)`` clockwise from the text's top left, text with spaces, score in 0..1.

    The polygon of a single word may have more corners.
    """

    polygon: np.ndarray
    text: str
    score: float


class Engine(Backend):
    """What an engine must be able to do. It runs on the CPU.

    Args:
        threads: how many it may use; None for as many as PyTorch uses for a spotter.

    Attributes:
        name: what its table and its points are called.
        min_score: words of a lower score are dropped, where the engine has not dropped them itself.
        stride: heights and widths are charged for as multiples of it.

    Raises:
        ConfigError: the engine is not installed, or ``threads`` is no positive number.
    """

    counts_flops = False
    name: ClassVar[str]
    min_score: float = 0.0
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

    def settings(self) -> dict[str, str | int | float | bool]:
        """What its readings depend on beside the version; a policy that was learnt with other settings is refused."""
        return {"min_score": self.min_score}

    def fingerprint(self) -> str:
        """Name, version and settings: what a policy is learnt for."""
        settings = ", ".join(f"{name}={value}" for name, value in self.settings().items())
        return f"{self.name} {self.version()} ({settings})"

    def describe(self) -> str:
        """See :meth:`Backend.describe`."""
        return f"{self.name} {self.version()}, relative cost by area"

    def identity(self) -> tuple[str, str, int]:
        """See :meth:`Backend.identity`."""
        return f"{self.name} {self.version()}", f"{platform.machine()} cpu", self.threads

    def cost(self, height: int, width: int, words: float) -> float:
        """Millions of pixels of a view, its sides rounded up to multiples of the stride."""
        return pad_to(height, self.stride) * pad_to(width, self.stride) / 1e6

    def resize(self, image: np.ndarray, height: int, width: int) -> np.ndarray:
        """See :meth:`Backend.resize`."""
        return resize(image, height, width)

    def detect(self, images: Sequence[np.ndarray], scale: float, keep_all: bool = False) -> list[Detections]:
        """See :meth:`Backend.detect`; an engine recognises at once what it finds."""
        return [self._detect(image, scale, 0.0 if keep_all else self.min_score) for image in images]

    def _detect(self, image: np.ndarray, scale: float, min_score: float) -> Detections:
        height, width = image.shape[:2]
        size = scaled_size(height, width, scale)
        factors = np.array([size[1] / width, size[0] / height], np.float32)
        view = np.ascontiguousarray(self.resize(image, *size))  # engines hand its memory on
        found = _words(self.read(view), factors)
        words = [word for word in found if word.score >= min_score]
        boundaries = polygons_to_boundaries([word.polygon * factors for word in words])
        scores = np.array([word.score for word in words], np.float32)
        proposals = Proposals(boundaries, scores, np.full(len(words), -1))
        return Detections(size, _text_map(size, found, factors), proposals, factors, words)

    def recognize(self, detections: Sequence[Detections], which: Sequence[np.ndarray]) -> list[list[Word]]:
        """See :meth:`Backend.recognize`."""
        return [[one.source[k] for k in kept.tolist()] for one, kept in zip(detections, which, strict=True)]

    def read_boxes(self, detections: Detections, polygons: Sequence[np.ndarray]) -> list[Word]:
        """See :meth:`Backend.read_boxes`; an engine cannot."""
        raise ConfigError(
            f"engine={self.name} finds its words itself and reads no given boxes; ask without the truth's boxes, or run "
            "python -m dld_spotter.score with explain=true on its predictions"
        )


def _words(lines: list[Line], factor: np.ndarray) -> list[Word]:
    """Cut lines into words and bring them from a view's pixels to those of the reference, ``factor`` being (x, y)."""
    pieces = [(line.score, *piece) for line in lines for piece in split_line(line.polygon, line.text)]
    return [Word((polygon / factor).astype(np.float32), text, score) for score, polygon, text in pieces if text]


def _text_map(size: tuple[int, int], words: list[Word], factors: np.ndarray) -> np.ndarray:
    """The text map ``(h, w)`` of a view in which an engine has read words: it shows nobody its own.

    Words that it is not sure of are there, so that they can be read again.
    """
    text = np.zeros([ceil(side / MAP_STRIDE) for side in size], np.float32)
    for word in sorted(words, key=lambda word: word.score):
        corners = np.rint(word.polygon * factors / MAP_STRIDE - 0.5).astype(np.int32)
        cv2.fillPoly(text, [corners], max(word.score, LEAST_DOUBT))
    return text
