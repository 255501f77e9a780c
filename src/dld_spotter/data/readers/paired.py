"""Data sets of image files with one ground-truth text file each."""

import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from dld_spotter.core.batches import Sample, TextInstances
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.core.files import read_lines
from dld_spotter.data.dataset import FileDataset, existing_folder, read_image
from dld_spotter.data.photos import is_photo
from dld_spotter.data.readers.fields import clean, unquoted, within_reach

SPLIT_FOLDERS = {"train": ("train", "training"), "test": ("test", "testing", "val", "validation")}
"""Where the two splits of a data set usually lie; a set without a test folder is tested on its validation folder."""


def split_folders(split: str | None, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Put the folders of a split before each pair of folder names.

    Raises:
        ConfigError: the split is unknown.
    """
    if split is None:
        return []
    if split not in SPLIT_FOLDERS:
        raise ConfigError(f"data split {split} is unknown; use {' or '.join(SPLIT_FOLDERS)}, or null for a folder of one split")
    return [(f"{folder}/{a}", f"{folder}/{b}") for folder in SPLIT_FOLDERS[split] for a, b in pairs]


def candidate_folders(
    split: str | None, plain: Iterable[tuple[str, str]], official: Mapping[str, Iterable[tuple[str, str]]]
) -> list[tuple[str, str]]:
    """Where a data set may lie: in folders named by the split, in the official ones of the split, or plainly.

    Args:
        split: ``train``, ``test``, or None for a folder of one split, which takes the official folders of both.
        plain: pairs of folder names that say nothing of a split.
        official: split -> pairs as the publisher's archives unpack.

    Raises:
        ConfigError: the split is unknown.
    """
    plain = list(plain)
    named = [pair for name, pairs in official.items() if split in (None, name) for pair in pairs]
    return [*split_folders(split, [*plain, *named]), *named, *plain]


class PairedDataset(FileDataset):
    """Images in one folder, one text file for each of them in another (or the same) one.

    The text file is called as the image, where need be behind one of ``prefixes``.

    Args:
        root: folder of the data set.
        folders: pairs (images, ground truth) of folder names to look for in ``root``, the first that exists is taken; a ``*``
            in the first name stands for every folder that fits, since some sets come in several archives.
        strict: raise at the first damaged entry instead of skipping it.
    """

    prefixes: ClassVar = ("gt_", "")
    suffixes: ClassVar = (".txt",)

    def __init__(self, root: str | Path | None, folders: Iterable[tuple[str, str]], strict: bool = False) -> None:
        root, folders = existing_folder(root), list(folders)
        found = ((_matching(root, images), root / truths) for images, truths in folders)
        pair = next(((images, truths) for images, truths in found if images and truths.is_dir()), None)
        if pair is None:
            wanted = " or ".join(f"{images}/ + {truths}/" for images, truths in folders)
            raise DataError(f"data.root={root} holds none of the folders {wanted}; point data.root to the folder that does")
        images_folders, self.truth_folder = pair
        self.images = [path for folder in images_folders for path in folder.iterdir() if is_photo(path)]
        self.images.sort(key=lambda path: (len(path.stem), path.stem, path))  # img_2 before img_10
        if not self.images:
            raise DataError(f"{images_folders[0]} holds no image; point data.root to the folder of the data set")
        super().__init__(len(self.images), strict, self._orphans())

    @property
    def names(self) -> list[str]:
        """Name of every image, as its sample carries it."""
        return [path.stem for path in self.images]

    def load(self, index: int) -> Sample:
        """Read an image and its words."""
        path = self.images[index]
        if printable(path) != str(path):  # could neither be reported, exported nor logged
            raise DataError(f"{printable(path)} has a name that is not UTF-8; rename it, and its ground truth")
        instances = self.truth(index)
        return Sample(read_image(path), instances, path.stem)

    def truth(self, index: int) -> TextInstances:
        """Words of an image, without its pixels."""
        return self.parse(self._truth_file(self.images[index]))

    @abstractmethod
    def parse(self, path: Path) -> TextInstances:
        """Read a ground-truth file."""

    def _truth_names(self, stem: str) -> list[str]:
        suffixes = (*self.suffixes, *map(str.upper, self.suffixes))
        return [prefix + stem + suffix for suffix in suffixes for prefix in self.prefixes]

    def _orphans(self) -> list[str]:
        """Tell of each ground-truth file that no image is called as."""
        known = {name for image in self.images for name in self._truth_names(image.stem)}
        others = [p for p in self.truth_folder.iterdir() if p.suffix.lower() in self.suffixes and p.name not in known]
        folders = " or ".join(sorted({str(image.parent) for image in self.images}))
        return [
            f"{printable(path)} has no image of its name in {folders}; add it or remove the file" for path in sorted(others)
        ]

    def _truth_file(self, image: Path) -> Path:
        names = self._truth_names(image.stem)
        for name in names:
            if (self.truth_folder / name).is_file():
                return self.truth_folder / name
        usual = " or ".join(name for name in names if not name.endswith(tuple(map(str.upper, self.suffixes))))
        raise DataError(f"{image} has no ground truth {usual} in {self.truth_folder}; add it or remove the image")


def printable(path: Path) -> str:
    r"""Give a path as text that UTF-8 can hold; bytes of its name that are no UTF-8 are shown as ``\xe9``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _matching(root: Path, name: str) -> list[Path]:
    """Folders that a name, with or without ``*``, stands for."""
    return [path for path in (sorted(root.glob(name)) if "*" in name else [root / name]) if path.is_dir()]


def read_quads(path: Path) -> tuple[np.ndarray, list[str]]:
    """Read lines ``x1,y1,x2,y2,x3,y3,x4,y4,text``, see :func:`read_fields`.

    Returns:
        quads ``(N, 4, 2)`` float32 and their texts.
    """
    words = list(read_fields(path, 8, "x1,y1,x2,y2,x3,y3,x4,y4,text"))
    return np.array([numbers for _, numbers, _ in words], np.float32).reshape(-1, 4, 2), [text for _, _, text in words]


def read_fields(path: Path, count: int, expected: str) -> Iterator[tuple[int, list[float], str]]:
    """Read lines of ``count`` numbers and a text, separated by commas, or all of them by semicolons.

    White space, byte-order marks and other invisible characters around a field do not matter, nor does a line without anything.
    The text may hold further commas, and stand in double quotes, which are taken away.

    Args:
        path: UTF-8 with or without BOM, or UTF-16.
        count: of numbers before the text.
        expected: the form of a line, for the message.

    Yields:
        number of the line, its numbers, its text.

    Raises:
        DataError: a line is malformed; the message names file and line.
    """
    for number, line in enumerate(read_lines(path), start=1):
        if not clean(line):
            continue
        separator = ";" if line.count(";") >= count > line.count(",") else ","
        *fields, text = clean(line).split(separator, count)
        try:
            numbers = [float(clean(field)) for field in fields]
        except ValueError:
            numbers = []
        if len(numbers) != count or not within_reach(np.array(numbers)):
            raise DataError(f"{path}, line {number}: expected {expected}, found {line!r}; correct or remove the line")
        yield number, numbers, unquoted(clean(text))
