"""Several data sets in one, each by its weight."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from dld_spotter.core.batches import Sample
from dld_spotter.core.errors import ConfigError
from dld_spotter.data.dataset import TextDataset, existing_folder
from dld_spotter.data.transforms import TextTransforms, TransformedDataset


class WeightedMixture(Dataset[Sample]):
    """Draws every sample from one of several data sets, by their weights.

    The same seed and index give the same sample. Data sets that are endless give something new at every index; the others
    are gone through again and again.

    Args:
        datasets: name -> data set; one that is None is left out, and the others keep their weights relative to each other.
        weights: name -> relative frequency, above 0 for at least one data set that is there.
        length: samples of a pass.
        seed: of the draws.
    """

    endless = True

    def __init__(
        self, datasets: Mapping[str, TextDataset | None], weights: Mapping[str, float], length: int, seed: int = 0
    ) -> None:
        if set(datasets) != set(weights) or not all(_is_frequency(weight) for weight in weights.values()):
            raise ConfigError(
                f"a mixture's weights must give each of {sorted(datasets)} a frequency of at least 0, found {dict(weights)}"
            )
        if length < 1:
            raise ConfigError(f"a mixture's length must be at least 1, found {length}; give the samples of a pass")
        self.datasets = {
            name: dataset for name, dataset in datasets.items() if dataset is not None and weights[name] > 0 and len(dataset)
        }
        if not self.datasets:
            raise ConfigError(f"of a mixture of {sorted(datasets)} no data set with a weight is there; name the folder of one")
        chances = np.array([weights[name] for name in self.datasets])
        self._thresholds = np.cumsum(chances)[:-1] / chances.sum()
        self.length, self.seed = length, seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        if index < 0:
            raise IndexError(f"index {index} of a mixture; it begins at 0")
        dataset = self.datasets[self.source(index)]
        return dataset[index if getattr(dataset, "endless", False) else index % len(dataset)]

    def source(self, index: int) -> str:
        """Name the data set that a sample comes from."""
        draw = np.random.default_rng([self.seed, index]).random()
        return list(self.datasets)[int(np.searchsorted(self._thresholds, draw, side="right"))]

    def damage_report(self, examples: int = 3) -> str:
        """Report what was damaged in any of them, see :meth:`dld_spotter.data.dataset.FileDataset.damage_report`."""
        reports = {name: getattr(dataset, "damage_report", lambda _: "")(examples) for name, dataset in self.datasets.items()}
        return "; ".join(f"{name}: {report}" for name, report in reports.items() if report)

    @property
    def images(self) -> list[Path]:
        """The image files behind them."""
        return [path for dataset in self.datasets.values() for path in getattr(dataset, "images", [])]


def _is_frequency(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value < math.inf  # never true of NaN


def optional_photos(
    root: str | Path | None,
    reader: Callable[..., TextDataset],
    transforms: TextTransforms | None = None,
    seed: int = 0,
    key: str = "data.root",
) -> TextDataset | None:
    """Read photos for training; None where no folder is named.

    Args:
        root: folder of the data set.
        reader: takes ``root`` and gives the data set.
        transforms: how the photos are changed at random; None leaves them as they are.
        seed: of the transforms.
        key: the setting that names the folder, for the message if it is none.
    """
    if root is None:
        return None
    photos = reader(root=existing_folder(root, key))
    return photos if transforms is None else TransformedDataset(photos, transforms, seed)
