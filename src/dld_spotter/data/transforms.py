"""Random changes of images together with their words, for training."""

from collections.abc import Sequence
from pathlib import Path

import albumentations as A
import numpy as np
from torch.utils.data import Dataset

from dld_spotter.data.dataset import TextDataset
from dld_spotter.data.geometry import polygons_to_sides, word_heights
from dld_spotter.data.views import resize, scaled_size
from dld_spotter.structures import Sample, TextInstances

CUT_TOLERANCE = 0.1  # of a word's height; annotations are no more exact


class TextTransforms:
    """Resizes at random, then applies albumentations' transforms to image and polygons.

    Change the resolution with ``scale`` only: the resizing transforms of albumentations move points by a part of a
    pixel against the image.

    Args:
        transforms: applied in this order; geometric ones take the polygons along.
        scale: smallest and largest factor of size; drawn evenly in its logarithm.
    """

    def __init__(self, transforms: Sequence[A.BasicTransform], scale: tuple[float, float] = (1.0, 1.0)) -> None:
        self.scale = scale
        self.compose = A.Compose(list(transforms), keypoint_params=A.KeypointParams(format="xy", remove_invisible=False))

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return a changed copy; words that were cut are don't-care, words left outside are dropped."""
        image, words = sample.image, sample.instances
        height, width = scaled_size(*image.shape[:2], float(np.exp(rng.uniform(*np.log(self.scale)))))
        words = words.scaled(width / image.shape[1], height / image.shape[0])
        self.compose.set_random_seed(int(rng.integers(2**31)))
        points = np.concatenate([np.zeros((0, 2), np.float32), *words.polygons]) - 0.5  # first pixel's centre at 0 there
        changed = self.compose(image=resize(image, height, width), keypoints=points)
        points = np.asarray(changed["keypoints"], np.float32).reshape(-1, 2) + np.float32(0.5)
        polygons = np.split(points, np.cumsum([len(polygon) for polygon in words.polygons])[:-1]) if len(words) else []
        moved = TextInstances.of(polygons, words.transcriptions, words.ignore)
        return Sample(changed["image"], mark_cut_words(moved, *changed["image"].shape[:2]), sample.name)


def default_transforms(size: int = 640, rotation: float = 15.0, scale: tuple[float, float] = (0.7, 1.4)) -> TextTransforms:
    """Return the augmentation of photos and scans: scale, rotation by degrees, a crop of ``size`` pixels, colour."""
    return TextTransforms(
        [
            A.Rotate(limit=rotation, p=0.7),
            A.RandomCrop(size, size, pad_if_needed=True, pad_position="top_left"),
            A.ColorJitter(brightness=(0.87, 1.13), contrast=(0.7, 1.3), saturation=(0.5, 1.5), hue=(-0.05, 0.05), p=0.8),
            A.GaussianBlur(sigma_limit=(0.1, 1.0), p=0.1),
            A.ImageCompression(quality_range=(40, 95), p=0.2),
        ],
        tuple(scale),
    )


def mark_cut_words(words: TextInstances, height: int, width: int) -> TextInstances:
    """Drop words outside an image of this size, and set ``ignore`` for words that its border cuts."""
    keep, ignore = [], []
    heights = word_heights(polygons_to_sides(words.polygons))
    for index, polygon in enumerate(words.polygons):
        low, high = polygon.min(0), polygon.max(0)
        if (high <= 0).any() or (low >= (width, height)).any():
            continue
        overshoot = max(*-low, *(high - (width, height)))
        keep.append(index)
        ignore.append(bool(words.ignore[index]) or overshoot > CUT_TOLERANCE * heights[index])
    return TextInstances.of([words.polygons[i] for i in keep], [words.transcriptions[i] for i in keep], ignore)


class TransformedDataset(Dataset[Sample]):
    """A data set seen through random transforms, differently in every pass.

    Args:
        dataset: what is changed.
        transforms: how it is changed.
        seed: of the transforms, together with the index.
    """

    endless = True

    def __init__(self, dataset: TextDataset, transforms: TextTransforms, seed: int = 0) -> None:
        self.dataset, self.transforms, self.seed = dataset, transforms, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        source = index if getattr(self.dataset, "endless", False) else index % len(self)
        return self.transforms(self.dataset[source], np.random.default_rng([self.seed, index]))

    def damage_report(self, examples: int = 3) -> str:
        """Report what was damaged, see :meth:`dld_spotter.data.dataset.FileDataset.damage_report`."""
        return self.dataset.damage_report(examples)

    @property
    def images(self) -> list[Path]:
        """The image files behind it; empty for data that is not made of files."""
        return getattr(self.dataset, "images", [])
