"""Random changes of images together with their words, for training."""

from collections.abc import Sequence
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
from torch.utils.data import Dataset

from dld_spotter.core.batches import Sample, TextInstances
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.geometry import polygons_to_boundaries, word_heights
from dld_spotter.data.dataset import TextDataset
from dld_spotter.data.views import resize, scaled_size

CUT_TOLERANCE = 0.1  # of a word's height; annotations are no more exact
LEAST_SCALE = 0.5  # below it, resampling without a filter would skip pixels


class RandomTextCrop:
    """Turns a photo, changes its size and cuts a square out of it, often one with a given word in it, in one resampling.

    Args:
        size: side of the square, pixels; what lies outside the photo is black.
        scale: smallest and largest factor of size; drawn evenly in its logarithm.
        rotation: largest angle in degrees.
        word_probability: share of squares that are laid around a word drawn at random; the others lie anywhere.
    """

    def __init__(
        self,
        size: int = 512,
        scale: tuple[float, float] = (0.7, 2.0),
        rotation: float = 5.0,
        word_probability: float = 0.8,
    ) -> None:
        if size < 16 or not LEAST_SCALE <= scale[0] <= scale[1] or not 0 <= word_probability <= 1:
            raise ConfigError(
                f"a random crop needs a size of at least 16 pixels, two factors of scale in order from {LEAST_SCALE} up and a "
                f"word_probability in 0..1, found {size}, {list(scale)} and {word_probability}"
            )
        self.size, self.scale, self.rotation, self.word_probability = size, tuple(scale), rotation, word_probability

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the cut-out; words that it cuts are don't-care, words left outside are dropped."""
        scale = float(np.exp(rng.uniform(*np.log(self.scale))))
        angle = np.deg2rad(rng.uniform(-self.rotation, self.rotation))
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = self._draw_place(sample, turn, rng)
        matrix = np.column_stack([turn, shift + 0.5 * turn.sum(axis=1) - 0.5])  # OpenCV has the first pixel's centre at 0
        image = cv2.warpAffine(sample.image, matrix, (self.size, self.size), flags=cv2.INTER_LINEAR)
        words = sample.instances
        moved = TextInstances.of([p @ turn.T + shift for p in words.polygons], words.transcriptions, words.ignore)
        return Sample(image, mark_cut_words(moved, self.size, self.size), sample.name)

    def _draw_place(self, sample: Sample, turn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the shift ``(2,)`` that follows ``turn``: the square stays on the photo as far as it can."""
        height, width = sample.image.shape[:2]
        frame = np.array([[0, 0], [width, 0], [width, height], [0, height]]) @ turn.T
        kept = np.flatnonzero(~sample.instances.ignore)
        low, high = frame.min(axis=0), frame.max(axis=0) - self.size
        if len(kept) and rng.random() < self.word_probability:
            word = sample.instances.polygons[int(rng.choice(kept))] @ turn.T
            low = np.clip(word.max(axis=0) - self.size, low, np.maximum(low, high))
            high = np.clip(word.min(axis=0), low, np.maximum(low, high))
        return -np.where(low < high, rng.uniform(low, np.maximum(low, high)), low)


class TextTransforms:
    """Resizes at random or cuts a square out, then applies albumentations' transforms to image and polygons.

    Change the resolution with ``scale`` only: the resizing transforms of albumentations move points by a part of a
    pixel against the image.

    Args:
        transforms: applied in this order; geometric ones take the polygons along.
        scale: smallest and largest factor of size; drawn evenly in its logarithm.
        crop: comes first.
    """

    def __init__(
        self,
        transforms: Sequence[A.BasicTransform],
        scale: tuple[float, float] = (1.0, 1.0),
        crop: RandomTextCrop | None = None,
    ) -> None:
        self.scale, self.crop = scale, crop
        moving = not all(isinstance(transform, A.ImageOnlyTransform) for transform in transforms)
        keypoints = A.KeypointParams(format="xy", remove_invisible=False) if moving else None
        self.compose = A.Compose(list(transforms), keypoint_params=keypoints)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return a changed copy; words that were cut are don't-care, words left outside are dropped."""
        sample = self.crop(sample, rng) if self.crop else sample
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
    """Return the augmentation of photos and scans: scale, rotation by degrees, tilt, a crop of ``size`` pixels, colour."""
    turned_and_cut = [
        A.Rotate(limit=rotation, p=0.7),
        A.Perspective(scale=(0.01, 0.06), p=0.3),
        A.RandomCrop(size, size, pad_if_needed=True, pad_position="top_left"),
    ]
    return TextTransforms([*turned_and_cut, *_camera()], tuple(scale))


def crop_transforms(size: int = 512, rotation: float = 5.0, scale: tuple[float, float] = (0.7, 2.0)) -> TextTransforms:
    """Return the augmentation of large photos with small words: a square of ``size`` pixels around a word, colour."""
    return TextTransforms(_camera(), crop=RandomTextCrop(size, scale, rotation))


def _camera() -> list[A.BasicTransform]:
    return [
        A.ColorJitter(brightness=(0.87, 1.13), contrast=(0.7, 1.3), saturation=(0.5, 1.5), hue=(-0.05, 0.05), p=0.8),
        A.GaussianBlur(sigma_limit=(0.1, 1.0), p=0.1),
        A.ImageCompression(quality_range=(40, 95), p=0.2),
    ]


def mark_cut_words(words: TextInstances, height: int, width: int) -> TextInstances:
    """Drop words outside an image of this size, and set ``ignore`` for words that its border cuts."""
    keep, ignore = [], []
    heights = word_heights(polygons_to_boundaries(words.polygons))
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
    def images(self) -> Sequence[Path]:
        """The image files behind it; empty for data that is not made of files."""
        return getattr(self.dataset, "images", [])
