"""The same images once more, moved by less than matters: how much of an outcome is chance."""

import zlib

import cv2
import numpy as np
from torch.utils.data import Dataset

from dld_spotter.core.batches import Sample
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.instances import TextInstances
from dld_spotter.data.dataset import TextDataset


class JitteredDataset(Dataset[Sample]):
    """Every image moved by a fraction of a pixel, with a trace of noise; the same at every call.

    Args:
        dataset: the images.
        pixels: an image moves by up to so many pixels in each direction; its border is repeated.
        noise: standard deviation of the noise in grey values of 255.
        seed: with an image's name, of what is drawn.
    """

    def __init__(self, dataset: TextDataset, pixels: float = 1.0, noise: float = 1.0, seed: int = 0) -> None:
        if not (0 <= pixels <= 4 and 0 <= noise <= 16):
            raise ConfigError(f"jitter of {pixels} pixels and noise {noise} must be from 0 to 4 and to 16: more would matter")
        self.dataset = dataset
        self.pixels, self.noise, self.seed = pixels, noise, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self.dataset[index]
        rng = np.random.default_rng([self.seed, zlib.crc32(sample.name.encode())])
        x, y = rng.uniform(-self.pixels, self.pixels, 2)
        height, width = sample.image.shape[:2]
        move = np.array([[1, 0, x], [0, 1, y]], np.float32)
        image = cv2.warpAffine(
            sample.image, move, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        ).astype(np.float32)
        image += rng.normal(0, self.noise, image.shape)
        polygons = [polygon + np.array([x, y], np.float32) for polygon in sample.instances.polygons]
        words = TextInstances.of(polygons, sample.instances.transcriptions, sample.instances.ignore)
        return Sample(np.rint(image).clip(0, 255).astype(np.uint8), words, sample.name)

    def damage_report(self, examples: int = 3) -> str:
        """Nothing: the images themselves are reported where they are read first."""
        return ""
