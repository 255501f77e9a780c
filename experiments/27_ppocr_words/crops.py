"""Crops of photos and rendered scenes with their targets at full size, the same for the same seed and index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import albumentations as A
import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dld_spotter.core.batches import DetectionTargets, Sample
from dld_spotter.data.readers.icdar2015 import ICDAR2015
from dld_spotter.data.readers.paired import PairedDataset
from dld_spotter.data.readers.sroie import SROIE
from dld_spotter.data.synthetic import Degradation, Occlusion, SceneLayout, SceneRenderer
from dld_spotter.data.targets import TextRegions, detection_targets
from dld_spotter.data.transforms import RandomTextCrop, TextTransforms
from dld_spotter.data.views import make_view, resize, scaled_size
from dld_spotter.models.ppocr.detector import SHRINK_RATIO

WEIGHTS = {"icdar2015": 0.55, "ic03_train": 0.15, "svt_train": 0.1, "rendered": 0.2}
"""How often a crop comes from each source."""
PARTLY_LABELLED = ("svt_train",)
"""Sources with text that has no label: only words and their surroundings count."""
SPACING = (0.12, 0.6)
"""Em between rendered words; photos have narrower spaces than the renderer's default (experiments/spacing)."""


class ScaledCrop:
    """A square out of a photo at a size drawn evenly in its logarithm; reduced ones are resized with a filter first.

    Nothing is made smaller than the square, as far as that is possible.

    Args:
        size: side of the square, pixels.
        scale: smallest and largest factor of size.
        rotation: largest angle in degrees.
    """

    def __init__(self, size: int, scale: tuple[float, float], rotation: float) -> None:
        self.size, self.scale, self.rotation = size, scale, rotation

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the cut-out; words that it cuts are don't-care."""
        height, width = sample.image.shape[:2]
        scale = max(float(np.exp(rng.uniform(*np.log(self.scale)))), min(1, self.size / max(height, width)))
        if scale < 1:
            rows, columns = scaled_size(height, width, scale)
            words = sample.instances.scaled(columns / width, rows / height)
            sample, scale = Sample(resize(sample.image, rows, columns), words, sample.name), 1.0
        return RandomTextCrop(self.size, (scale, scale), self.rotation)(sample, rng)


class Example(NamedTuple):
    """Pixels ``(S, S, 3)`` uint8 RGB and the maps of :class:`~dld_spotter.core.batches.DetectionTargets` ``(S/s, S/s)``."""

    image: np.ndarray
    text: np.ndarray
    care: np.ndarray
    border: np.ndarray
    border_care: np.ndarray


@dataclass(frozen=True)
class Recipe:
    """How crops are drawn.

    Args:
        size: side of a crop, pixels.
        scale: smallest and largest factor of a photo's size, which is about 1280 pixels.
        mosaic_below: photos at a smaller scale fill a quarter of a crop each.
        rotation: largest angle in degrees.
        min_height: lower words are don't-care, pixels of the crop.
        between: what a cell near two words counts, see :func:`dld_spotter.data.targets.detection_targets`.
        stride: pixels of the crop per cell of the maps.
        shrink: ratio by which targets shrink words.
        weights: how often a crop comes from each source.
    """

    size: int = 512
    scale: tuple[float, float] = (0.3, 1.6)
    mosaic_below: float = 0.6
    rotation: float = 12.0
    min_height: float = 4.0
    between: float = 3.0
    stride: int = 1
    shrink: float = SHRINK_RATIO
    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)


class Crops(Dataset[Example]):
    """An endless run of crops.

    Args:
        data: folder that holds ``icdar2015``, and the other sources under their names.
        length: number of crops.
        seed: of everything drawn, together with the index.
        recipe: how crops are drawn.
        labelled: folder that holds further sources, and those of ``data`` that are to be taken from there.
    """

    def __init__(
        self, data: Path, length: int, seed: int = 0, recipe: Recipe | None = None, labelled: Path | None = None
    ) -> None:
        self.recipe = recipe or Recipe()
        photos = {name: _photos(name, data, labelled) for name in self.recipe.weights if name != "rendered"}
        self.partly = [name for name in PARTLY_LABELLED if labelled is None or not (labelled / name).exists()]
        self.sources = {name: (part, _chances(part)) for name, part in photos.items()}
        self.renderer = SceneRenderer(
            seed=seed + 31,
            layout=SceneLayout(height=self.recipe.size, width=self.recipe.size),
            degradation=Degradation(defocus_probability=0.15, low_light_probability=0.08),
            occlusion=Occlusion(probability=0.2),
            spacing=SPACING,
        )
        self.length, self.seed = length, seed
        small, large = self.recipe.scale
        self.mosaic_share = np.log(self.recipe.mosaic_below / small) / np.log(large / small)
        self.whole = self._transforms(self.recipe.size, (self.recipe.mosaic_below, large))
        self.quarter = self._transforms(self.recipe.size // 2, (small, self.recipe.mosaic_below))

    def _transforms(self, size: int, scale: tuple[float, float]) -> TextTransforms:
        return TextTransforms(camera(), crop=ScaledCrop(size, scale, self.recipe.rotation))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Example:
        rng = np.random.default_rng([self.seed, index])
        if rng.random() >= self.mosaic_share:
            return self._draw(self.whole, index, rng)
        first, second, third, fourth = (self._draw(self.quarter, 4 * index + part, rng) for part in range(4))
        rows = (zip(first, second, strict=True), zip(third, fourth, strict=True))
        upper, lower = ([np.concatenate(pair, axis=1) for pair in row] for row in rows)
        return Example(*map(np.concatenate, zip(upper, lower, strict=True)))

    def _draw(self, transforms: TextTransforms, index: int, rng: np.random.Generator) -> Example:
        weights = self.recipe.weights
        source = str(rng.choice(list(weights), p=list(weights.values())))
        if source == "rendered":
            sample = self.renderer.render(index)
        else:
            photos, chances = self.sources[source]
            sample = photos[int(rng.choice(len(photos), p=chances))]
        return targets(transforms(sample, rng), source in self.partly, self.recipe)


def camera() -> list[A.BasicTransform]:
    """Colour, blur and compression."""
    return [
        A.ColorJitter(brightness=(0.75, 1.25), contrast=(0.6, 1.4), saturation=(0.5, 1.5), hue=(-0.05, 0.05), p=0.6),
        A.GaussianBlur(sigma_limit=(0.3, 1.2), p=0.12),
        A.ImageCompression(quality_range=(40, 95), p=0.15),
    ]


def training_photos(root: Path) -> torch.utils.data.Subset:
    """The photos of ICDAR2015's training set that are not listed in ``validation.txt``."""
    photos = ICDAR2015(root)
    held_out = validation_names(root)
    return torch.utils.data.Subset(photos, [i for i, path in enumerate(photos.images) if path.name not in held_out])


def validation_photos(root: Path) -> torch.utils.data.Subset:
    """The photos that are listed."""
    photos = ICDAR2015(root)
    held_out = validation_names(root)
    return torch.utils.data.Subset(photos, [i for i, path in enumerate(photos.images) if path.name in held_out])


def _photos(name: str, data: Path, labelled: Path | None) -> torch.utils.data.Subset:
    """The photos of a source that may be trained on."""
    if name == "icdar2015":
        return training_photos(data / name / "train")
    if name == "sroie":
        return _all(SROIE(data / name / "train"))
    taken = labelled is not None and (labelled / name).exists()
    return _all(ICDAR2015((labelled if taken else data) / name))


def _all(photos: PairedDataset) -> torch.utils.data.Subset:
    return torch.utils.data.Subset(photos, range(len(photos)))


def _chances(photos: torch.utils.data.Subset) -> np.ndarray:
    """How likely each photo is drawn: the more legible words the likelier, up to eight times as likely as one without."""
    truths = [photos.dataset.truth(i) for i in photos.indices]
    words = [int((~truth.ignore).sum()) for truth in truths]
    weights = np.clip(np.array(words) + 1.0, None, 8)
    return weights / weights.sum()


def validation_names(root: Path) -> set[str]:
    """File names in ``validation.txt``."""
    return set((root / "validation.txt").read_text().split())


def targets(sample: Sample, partly_labelled: bool, recipe: Recipe) -> Example:
    """Draw what a crop should show."""
    regions = TextRegions.of(sample.instances, recipe.shrink)
    view = make_view([sample.image], 1.0, stride=recipe.stride)
    drawn = detection_targets(view, [regions], recipe.min_height, recipe.between, recipe.stride)
    text, care, border, border_care = (maps[0].numpy() for maps in (drawn.text, drawn.care, drawn.border, drawn.border_care))
    if partly_labelled:
        care = care * _surroundings(regions, care.shape, recipe.stride)
    return Example(sample.image, text, care, border, border_care)


def _surroundings(regions: TextRegions, shape: tuple[int, ...], stride: int) -> np.ndarray:
    """1 in labelled words and as far around them as they are shrunk, else 0."""
    near = np.zeros(shape, np.uint8)
    for _, ring in regions.dilated.drawable(np.ones(2) / stride):
        cv2.fillPoly(near, [ring], 1, shift=4)
    return near


def joined(examples: Sequence[Example]) -> tuple[Tensor, DetectionTargets]:
    """Put examples into one batch: images ``(B, 3, S, S)`` uint8 in channels-last order, and their maps."""
    images, *maps = (torch.from_numpy(np.stack(parts)) for parts in zip(*examples, strict=True))
    return images.permute(0, 3, 1, 2), DetectionTargets(*maps)
