"""Data sets of image files with one ground-truth text file each."""

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from dld_spotter.data.dataset import FileDataset, existing_folder, read_image
from dld_spotter.errors import ConfigError, DataError
from dld_spotter.structures import Sample, TextInstances

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"}


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


class PairedDataset(FileDataset):
    """Images in one folder, one text file for each of them in another (or the same) one.

    The text file is called as the image, where need be behind one of ``prefixes``.

    Args:
        root: folder of the data set.
        folders: pairs (images, ground truth) of folder names to look for in ``root``, the first that exists is taken.
        strict: raise at the first damaged entry instead of skipping it.
    """

    prefixes: ClassVar = ("gt_", "")

    def __init__(self, root: str | Path | None, folders: Iterable[tuple[str, str]], strict: bool = False) -> None:
        root, folders = existing_folder(root), list(folders)
        pair = next((pair for pair in folders if all((root / name).is_dir() for name in pair)), None)
        if pair is None:
            wanted = " or ".join(f"{images}/ + {truths}/" for images, truths in folders)
            raise DataError(f"data.root={root} holds none of the folders {wanted}; point data.root to the folder that does")
        self.images_folder, self.truth_folder = root / pair[0], root / pair[1]
        self.images = sorted(p for p in self.images_folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        self.images.sort(key=lambda path: (len(path.stem), path.stem))  # img_2 before img_10
        if not self.images:
            raise DataError(f"{self.images_folder} holds no image; point data.root to the folder of the data set")
        super().__init__(len(self.images), strict)

    @property
    def names(self) -> list[str]:
        """Name of every image, as its sample carries it."""
        return [path.stem for path in self.images]

    def load(self, index: int) -> Sample:
        """Read an image and its words."""
        path = self.images[index]
        instances = self.parse(self._truth_file(path))
        return Sample(read_image(path), instances, path.stem)

    @abstractmethod
    def parse(self, path: Path) -> TextInstances:
        """Read a ground-truth file."""

    def _truth_file(self, image: Path) -> Path:
        names = [prefix + image.stem + ".txt" for prefix in self.prefixes]
        for name in names:
            if (self.truth_folder / name).is_file():
                return self.truth_folder / name
        raise DataError(f"{image} has no ground truth {' or '.join(names)} in {self.truth_folder}; add it or remove the image")


def read_quads(path: Path) -> tuple[np.ndarray, list[str]]:
    """Read lines ``x1,y1,x2,y2,x3,y3,x4,y4,text`` (UTF-8, with or without BOM; the text may hold commas).

    Returns:
        quads ``(N, 4, 2)`` float32 and their texts.

    Raises:
        DataError: a line is malformed; the message names file and line.
    """
    quads, texts = [], []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        *coordinates, text = line.split(",", 8)
        try:
            quad = [float(value) for value in coordinates]
        except ValueError:
            quad = []
        if len(quad) != 8 or not all(map(math.isfinite, quad)):
            raise DataError(
                f"{path}, line {number}: expected x1,y1,x2,y2,x3,y3,x4,y4,text, found {line!r}; correct or remove the line"
            )
        quads.append(quad)
        texts.append(text.strip())
    return np.array(quads, np.float32).reshape(-1, 4, 2), texts


def read_lines(path: Path) -> Sequence[str]:
    """Read a UTF-8 text file, with or without BOM, as lines; raises :class:`~dld_spotter.errors.DataError`."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); restore it") from error
    try:
        return [line.rstrip("\r") for line in raw.decode("utf-8-sig").split("\n")]
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: expected UTF-8, found byte {raw[error.start]:#x}; save the file as UTF-8"
        ) from error
