"""Reading photos with a trained student at the resolution its selector chooses."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from dld_spotter.checkpoint import load_checkpoint
from dld_spotter.cost import FlopCost, selector_gflops
from dld_spotter.data.dataset import read_image, to_rgb
from dld_spotter.data.views import ReferenceSize, make_thumbnails, make_view, scaled_size
from dld_spotter.errors import ConfigError
from dld_spotter.models.selector import Selector
from dld_spotter.models.spotter import Spotter
from dld_spotter.structures import Sample, TextInstances, Word


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


class DynamicSpotter:
    """A spotter with its selector.

    Args:
        spotter: reads.
        selector: chooses the scale; None reads at 1.0 unless a scale is given.
        thumbnail: side of the image that the selector sees.
        reference: rule for the reference resolution; the longest side is limited, so that large photos stay affordable.
        device: where to read; None takes the GPU where there is one.
    """

    def __init__(
        self,
        spotter: Spotter,
        selector: Selector | None,
        thumbnail: int = 128,
        reference: ReferenceSize | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        self.device = usable_device(device)
        self.spotter = spotter.eval().to(self.device)
        self.selector = selector.eval().to(self.device) if selector else None
        self.thumbnail = thumbnail
        self.reference = reference or ReferenceSize(long=1280)
        self.flops = FlopCost(spotter)
        self.selector_gflops = selector_gflops(selector, thumbnail) if selector else 0.0

    @torch.inference_mode()
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
        reference = self.reference.apply(Sample(pixels, TextInstances.of([], []), "")).image
        spent = 0.0
        if scale is None and self.selector is not None:
            scale, spent = self.choose(reference, gamma), self.selector_gflops
        scale = 1.0 if scale is None else float(scale)
        words = self.spotter.spot(make_view([reference], scale, self.spotter.stride).to(self.device))[0]
        grow = np.array([width / reference.shape[1], height / reference.shape[0]], np.float32)
        words = tuple(Word(word.polygon * grow, word.text, word.score) for word in words)
        seconds = time.perf_counter() - start
        full = self.flops.cost(*reference.shape[:2], len(words))
        spent += self.flops.cost(*scaled_size(*reference.shape[:2], scale), len(words))
        return Reading(words, scale, spent, seconds, spent / full, width, height)

    def choose(self, reference: np.ndarray, gamma: float | None = None) -> float:
        """Scale that the selector chooses for a reference image ``(H, W, 3)``."""
        head = self.selector.head(gamma)
        thumbnails = make_thumbnails([reference], self.thumbnail).to(self.device)
        sizes = torch.tensor([reference.shape[:2]], device=self.device)
        return self.selector.scales[int(self.selector(thumbnails, sizes)[head].index[0])]

    def check(self, gamma: float | None, scale: float | None) -> None:
        """Raise ConfigError if images cannot be read with this cost weight or at this scale."""
        if scale is not None and not 0 < scale <= 1:
            raise ConfigError(f"scale={scale:g} must be above 0 and at most 1, the reference resolution")
        if gamma is None:
            return
        if scale is not None:
            raise ConfigError(f"gamma={gamma:g} and scale={scale:g} exclude each other; leave one of them out")
        if self.selector is None:
            raise ConfigError(f"gamma={gamma:g} needs a selector, which this checkpoint lacks; give another one, or a scale")
        self.selector.head(gamma)


def usable_device(device: torch.device | str | None = None) -> torch.device:
    """The device of that name, by default the GPU where there is one; raises ConfigError if it cannot be used."""
    try:
        return torch.zeros(0, device=device or ("cuda" if torch.cuda.is_available() else "cpu")).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"device={device} cannot be used ({reason}); leave it out or give device=cpu") from error


def to_array(image: str | Path | Image.Image | np.ndarray) -> np.ndarray:
    """Bring a path, a PIL image or an array to ``(H, W, 3)`` uint8 RGB, upright."""
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        return np.array(to_rgb(ImageOps.exif_transpose(image)))
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ConfigError(f"an image array must be (H, W, 3) uint8 RGB, found {image.shape} {image.dtype}; convert it first")
    return image


def load(
    checkpoint: str | Path = "bundled", reference: ReferenceSize | None = None, device: torch.device | str | None = None
) -> DynamicSpotter:
    """Load a spotter that reads photos: ``bundled``, or the path of a checkpoint.

    Raises:
        CheckpointError: the file is missing, damaged, or none of this package.
        ConfigError: the device cannot be used.
    """
    content = load_checkpoint(checkpoint)
    return DynamicSpotter(content.spotter(), content.selector(), content.provenance["thumbnail"], reference, device)
