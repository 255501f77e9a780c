"""Data sets whose words all stand in one large file.

The file is read once and kept as a few flat arrays. Processes that are forked share them, since looking a word up changes
nothing; as Python objects the words of a large set would take ten times the memory, in every loader process again.
"""

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path, PurePosixPath

import numpy as np

from dld_spotter.core.batches import Sample, TextInstances
from dld_spotter.core.errors import DataError
from dld_spotter.data.dataset import FileDataset, read_image

PROBED = 50
"""So many images of a set are looked for to find out in which folder they lie."""


class Strings(Sequence[str]):
    """Texts in one buffer."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._bytes, self._ends = bytearray(), array("q", [0])
        self.extend(texts)

    def extend(self, texts: Iterable[str]) -> None:
        """Append texts; halves of surrogate pairs, which JSON can hold and UTF-8 cannot, become question marks."""
        for encoded in [text.encode("utf-8", "replace") for text in texts]:
            self._bytes += encoded
            self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._bytes[self._ends[index] : self._ends[index + 1]].decode()

    def between(self, start: int, stop: int) -> list[str]:
        """Texts ``start`` to ``stop``, the last one left out."""
        ends = self._ends[start : stop + 1]
        return [self._bytes[low:high].decode() for low, high in pairwise(ends)]


class WordTable:
    """The words of many images, see the module's docstring."""

    def __init__(self) -> None:
        self.images = Strings()
        self.texts = Strings()
        self._words, self._points = array("q", [0]), array("q", [0])
        self._coordinates, self._ignore = array("f"), bytearray()
        self._faults: dict[int, str] = {}
        self.orphans: Sequence[str] = ()  # as in FileDataset

    def __len__(self) -> int:
        return len(self.images)

    def add(self, image: str, polygons: Sequence[np.ndarray], texts: Sequence[str], ignore: Sequence[bool]) -> None:
        """Append an image, given by its path, and its words, as in :class:`~dld_spotter.core.batches.TextInstances`."""
        self.images.extend([image])
        if len(polygons):
            self._coordinates.frombytes(np.concatenate(polygons).astype(np.float32).tobytes())
            self._points.extend(accumulate(map(len, polygons[1:]), initial=self._points[-1] + len(polygons[0])))
        self.texts.extend(texts)
        self._ignore += bytes(ignore)
        self._words.append(len(self._ignore))

    def add_damaged(self, image: str, error: DataError) -> None:
        """Append an image whose words cannot be read; asking for them raises ``error``."""
        self._faults[len(self.images)] = str(error)
        self.add(image, [], [], [])

    def words(self, index: int) -> TextInstances:
        """Return the words of an image; raises :class:`~dld_spotter.core.errors.DataError` where they are damaged."""
        if index in self._faults:
            raise DataError(self._faults[index])
        start, stop = self._words[index], self._words[index + 1]
        coordinates = np.frombuffer(self._coordinates, np.float32).reshape(-1, 2)
        polygons = [coordinates[low:high].copy() for low, high in pairwise(self._points[start : stop + 1])]
        return TextInstances.of(polygons, self.texts.between(start, stop), list(map(bool, self._ignore[start:stop])))


class ImagePaths(Sequence[Path]):
    """Paths that are put together when they are asked for.

    Args:
        folder: that the names refer to.
        names: paths below it, or absolute ones.
        flat: only the last part of each name counts.
        indices: of the names that are meant; None for all.
    """

    def __init__(self, folder: Path, names: Sequence[str], flat: bool = False, indices: Sequence[int] | None = None) -> None:
        self.folder, self.names, self.flat = folder, names, flat
        self.indices = range(len(names)) if indices is None else indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Path:
        name = self.names[self.indices[index]]
        return self.folder / (PurePosixPath(name).name if self.flat else name)

    def exists(self, index: int) -> bool:
        """Whether there is such a file; also False where its name cannot be one of a file."""
        return os.path.isfile(self[index])  # noqa: PTH113 - Path.is_file raises where a name is too long

    def part(self, indices: Sequence[int]) -> "ImagePaths":
        """Return the paths at ``indices`` alone."""
        return ImagePaths(self.folder, self.names, self.flat, [self.indices[index] for index in indices])

    def texts(self) -> Iterator[str]:
        """Each path as text, in a tenth of the time that it takes to build them all."""
        for index in self.indices:
            name = self.names[index]
            text = os.path.join(self.folder, name.rpartition("/")[2] if self.flat else name)  # noqa: PTH118 - for its speed
            yield str(Path(text)) if "//" in text or "/./" in text else text

    @classmethod
    def locate(cls, names: Sequence[str], folders: Iterable[Path], source: Path) -> "ImagePaths":
        """Find the folder that the names of an annotation file refer to, with or without the folders in the names.

        Raises:
            DataError: none of the images that were looked for is there.
        """
        folders = list(folders)
        candidates = [cls(folder, names, flat) for folder in folders for flat in (False, True)]
        probes = sorted({round(i) for i in np.linspace(0, len(names) - 1, PROBED)}) if names else []
        best = max(candidates, key=lambda paths: sum(map(paths.exists, probes)))
        if not any(map(best.exists, probes)):
            named = f"such as {names[0][:200]}, is" if names else "(it names none) is"
            raise DataError(
                f"none of the images that {source} names, {named} in {' or '.join(map(str, folders))}; "
                "point data.root to the folder that holds both"
            )
        return best


class IndexedDataset(FileDataset):
    """Images whose words come from a table.

    Args:
        table: the words.
        images: the image files, in the same order.
        source: the file that the words come from.
        strict: raise at the first damaged entry instead of skipping it.
    """

    def __init__(self, table: WordTable, images: ImagePaths, source: Path, strict: bool = False) -> None:
        super().__init__(len(table), strict, table.orphans)
        self.table, self.images, self.source = table, images, source
        self._prefix = common_folder(table.images)

    @property
    def names(self) -> list[str]:
        """Name of every image, as its sample carries it: its path below the folder of all, without suffix."""
        return [image_name(image, self._prefix) for image in self.table.images]

    def load(self, index: int) -> Sample:
        """Read an image and its words."""
        words, image = self.table.words(index), self.table.images[index]
        return Sample(read_named_image(self.images[index], str(self.source)), words, image_name(image, self._prefix))


def read_named_image(path: Path, where: str) -> np.ndarray:
    """Read an image ``(H, W, 3)`` uint8 RGB; raises DataError, which also tells ``where`` the image is named."""
    try:
        return read_image(path)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def common_folder(paths: Sequence[str]) -> str:
    """The folders that all paths start with, the last ``/`` included.

    >>> common_folder(["a/b/1.jpg", "a/b/2.jpg"]), common_folder(["a/x/1.jpg", "a/y/1.jpg"]), common_folder(["1.jpg"])
    ('a/b/', 'a/', '')
    """
    prefix = os.path.commonprefix([min(paths), max(paths)]) if len(paths) else ""  # noqa: RUF071 - is cut below
    return prefix[: prefix.rfind("/") + 1]


def image_name(path: str, prefix: str = "") -> str:
    """The name of an image: its path behind ``prefix``, without suffix.

    >>> image_name("a/b/img.v2.jpg", "a/"), image_name("noext")
    ('b/img.v2', 'noext')
    """
    folder, slash, file = path.removeprefix(prefix).rpartition("/")
    return folder + slash + (file.rpartition(".")[0] or file)
