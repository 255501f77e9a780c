"""Parts of one data set that share no image, decided by the images' names."""

import zlib
from collections.abc import Mapping, Sequence
from itertools import combinations, repeat
from pathlib import Path

from torch.utils.data import Dataset

from dld_spotter.core.batches import Sample
from dld_spotter.core.errors import ConfigError
from dld_spotter.data.dataset import FileDataset, TextDataset
from dld_spotter.data.readers.indexed import ImagePaths

STEPS = 10_000


class NamedPart(Dataset[Sample]):
    """The images whose name falls into one part; adding or removing images moves no other image.

    Where the data set says itself which part an image belongs to (``parts``, one name or None for each image), that holds;
    parts that it calls ``complete`` take no further images, whose shares the others grow by.

    Args:
        dataset: a data set of files, with ``names``.
        shares: part -> fraction of the images, in a fixed order, summing to at most 1.
        part: the part to serve.
    """

    def __init__(self, dataset: FileDataset, shares: Mapping[str, float], part: str) -> None:
        if part not in shares or sum(shares.values()) > 1 + 1e-9 or min(shares.values()) < 0:
            raise ConfigError(
                f"data part {part} must be one of the shares {dict(shares)}, which sum to at most 1; mend the shares"
            )
        low, high = _interval(shares, part, getattr(dataset, "complete", ()))
        self.dataset = dataset
        given = getattr(dataset, "parts", None) or repeat(None)
        self.indices = [
            i
            for i, (name, own) in enumerate(zip(dataset.names, given, strict=False))  # repeat never ends
            if (own == part if own else low <= zlib.crc32(name.encode("utf-8", "surrogateescape")) % STEPS < high)
        ]
        if not self.indices:
            raise ConfigError(
                f"data part {part} of {len(dataset)} images is empty; add images, raise its share in "
                f"data.train.dataset.shares, or name another data set as data.{part}"
            )

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.dataset[self.indices[index]]

    def damage_report(self, examples: int = 3) -> str:
        """Report what was damaged, see :meth:`dld_spotter.data.dataset.FileDataset.damage_report`."""
        return self.dataset.damage_report(examples)

    @property
    def images(self) -> Sequence[Path]:
        """The image files of the part."""
        images = self.dataset.images
        return images.part(self.indices) if isinstance(images, ImagePaths) else [images[i] for i in self.indices]


def _interval(shares: Mapping[str, float], part: str, complete: Sequence[str]) -> tuple[int, int]:
    """Hashes of the names that belong to a part, from the first to before the second; none where it is complete."""
    given = {name: 0.0 if name in complete else share for name, share in shares.items()}
    grow = sum(shares.values()) / (sum(given.values()) or 1.0)
    names = list(given)
    before = grow * sum(given[name] for name in names[: names.index(part)])
    return round(before * STEPS), round((before + grow * given[part]) * STEPS)


def refuse_overlap(**datasets: TextDataset | None) -> None:
    """Raise ConfigError if two data sets of files, given by the names of their roles, share an image file."""
    files = {role: _texts(getattr(dataset, "images", ())) for role, dataset in datasets.items()}
    for one, other in combinations(files, 2):
        if shared := files[one] & files[other]:
            raise ConfigError(
                f"data.{one} and data.{other} share {len(shared)} images, such as {min(shared)}; "
                "point data.root to a folder with train/ and test/, or use data=folder, which divides one folder"
            )


def _texts(images: Sequence[Path]) -> set[str]:
    return set(images.texts() if isinstance(images, ImagePaths) else map(str, images))
