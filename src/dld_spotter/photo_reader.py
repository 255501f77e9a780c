"""What reading a photo means, whatever computes it. Needs no torch."""

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from dld_spotter.data.photos import ReferenceSize, scaled_size, to_array
from dld_spotter.errors import ConfigError
from dld_spotter.word import Word


@dataclass(frozen=True)
class Reading:
    """What was read in one image.

    Args:
        words: the words, polygons in pixels of the original image.
        scale: the scale it was read at; 1.0 is the reference resolution.
        gflops: GFLOP spent, the selector included.
        seconds: wall time from pixels to words.
        relative_cost: GFLOP over those of scale 1.0 with as many words.
        width: of the original image, pixels.
        height: of the original image, pixels.
    """

    words: tuple[Word, ...]
    scale: float
    gflops: float
    seconds: float
    relative_cost: float
    width: int
    height: int


class PhotoReader(ABC):
    """Reads photos at the resolution that each needs.

    Attributes:
        reference: rule for the reference resolution.
        has_selector: whether it can choose; else it reads at 1.0 unless a scale is given.
        selector_gflops: GFLOP of one choice.
    """

    reference: ReferenceSize
    has_selector: bool
    selector_gflops: float

    def read(
        self, image: str | Path | Image.Image | np.ndarray, gamma: float | None = None, scale: float | None = None
    ) -> Reading:
        """Read one image.

        Args:
            image: a path, a PIL image, or ``(H, W, 3)`` uint8 RGB.
            gamma: cost weight to decide with, one of the selector's; None takes the middle one.
            scale: read at this scale, above 0 and at most 1, without asking the selector.

        Raises:
            DataError: the file is no image.
            ConfigError: gamma is none of the selector's, or scale is out of range, or both are given.
        """
        self.check(gamma, scale)
        pixels = to_array(image)
        start = time.perf_counter()
        height, width = pixels.shape[:2]
        reference = self.resize(pixels, *self.reference(height, width))
        spent = 0.0
        if scale is None and self.has_selector:
            scale, spent = self.choose(reference, gamma), self.selector_gflops
        scale = 1.0 if scale is None else float(scale)
        words = self.spot(reference, scale)
        grow = np.array([width / reference.shape[1], height / reference.shape[0]], np.float32)
        words = tuple(Word(word.polygon * grow, word.text, word.score) for word in words)
        seconds = time.perf_counter() - start
        full = self.gflops(*reference.shape[:2], len(words))
        spent += self.gflops(*scaled_size(*reference.shape[:2], scale), len(words))
        return Reading(words, scale, spent, seconds, spent / full, width, height)

    def check(self, gamma: float | None, scale: float | None) -> None:
        """Raise ConfigError if images cannot be read with this cost weight or at this scale."""
        if scale is not None and not 0 < scale <= 1:
            raise ConfigError(f"scale={scale:g} must be above 0 and at most 1, the reference resolution")
        if gamma is None:
            return
        if scale is not None:
            raise ConfigError(f"gamma={gamma:g} and scale={scale:g} exclude each other; leave one of them out")
        if not self.has_selector:
            raise ConfigError(f"gamma={gamma:g} needs a selector, which this checkpoint lacks; give another one, or a scale")
        self.check_gamma(gamma)

    @abstractmethod
    def check_gamma(self, gamma: float) -> None:
        """Raise ConfigError if the selector cannot decide with this cost weight."""

    @abstractmethod
    def resize(self, image: np.ndarray, height: int, width: int) -> np.ndarray:
        """Resize ``(H, W, 3)`` uint8, bilinear and anti-aliased."""

    @abstractmethod
    def choose(self, reference: np.ndarray, gamma: float | None = None) -> float:
        """Scale that the selector chooses for a reference image ``(H, W, 3)``."""

    @abstractmethod
    def spot(self, reference: np.ndarray, scale: float) -> list[Word]:
        """Words of a reference image ``(H, W, 3)`` read at a scale; polygons in its pixels."""

    @abstractmethod
    def gflops(self, height: int, width: int, words: int) -> float:
        """GFLOP of reading an image of this size with so many words."""
