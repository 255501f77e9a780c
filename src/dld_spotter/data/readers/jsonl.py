"""Our own form: one JSON object a line for each image, as ``check_data export=FILE`` writes and ``docs/data.md`` describes."""

import json
import re
from array import array
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dld_spotter.core.batches import Sample, TextInstances
from dld_spotter.core.errors import DataError, shown
from dld_spotter.core.files import parse_json
from dld_spotter.data.dataset import FileDataset
from dld_spotter.data.readers.fields import IGNORED, to_polygons
from dld_spotter.data.readers.indexed import PROBED, ImagePaths, Strings, common_folder, image_name, read_named_image

SPLITS = ("train", "validation", "test")
LONGEST_LINE = 2**24
"""Bytes; a line has some 100 for each word."""
_EXPECTED = '{"image": PATH, "words": [{"polygon": [[x, y], ...], "text": TEXT}, ...]}'
_STRING = rb'"((?:[^"\\]|\\.)*)"'
_HALF = re.compile("[\ud800-\udfff]")
"""Half a character: JSON can hold it, UTF-8 cannot."""
_HEAD = re.compile(rb'\s*\{"image": ' + _STRING + rb', "split": (?:"(\w+)"|null), ')


class JsonLines(FileDataset):
    """Images and their words, ``{"image": PATH, "split": ..., "words": [{"polygon", "text", "ignore"}]}`` a line.

    The places of the lines are all that is kept in memory, beside the paths of the images; a line is parsed when its image is
    asked for. What ``predict`` writes can be read too, as labels to correct.

    Args:
        root: the file, or a folder that holds one such file; paths of images start at the file's folder, or
            where none of them is there, at the current one, as those that ``predict`` writes.
        strict: raise at the first damaged entry instead of skipping it.
    """

    curved: ClassVar = True

    def __init__(self, root: str | Path | None, strict: bool = False) -> None:
        self.file = find_file(root)
        status = self.file.stat()
        self._index = _index(self.file, status.st_mtime_ns, status.st_size)
        if not len(self._index.places):
            raise DataError(f"{self.file} holds no line; expected one such as {_EXPECTED} for each image")
        super().__init__(len(self._index.places), strict)
        self.images = self._located()
        self._prefix = common_folder(list(filter(None, self._index.images)))

    @property
    def names(self) -> list[str]:
        """Name of every image, as its sample carries it; a damaged line is called by its number."""
        return [self._name(index) for index in range(len(self))]

    @property
    def parts(self) -> list[str | None]:
        """The part that each line says it belongs to; None where it says nothing."""
        return [(*SPLITS, None)[code] for code in self._index.splits]

    def load(self, index: int) -> Sample:
        """Read an image and its words."""
        where = f"{self.file}, line {self._index.numbers[index]}"
        with self.file.open("rb") as file:
            file.seek(self._index.places[index])
            entry = _parse(file.readline(), where)
        words = _words(entry["words"], where)
        return Sample(read_named_image(self.images[index], where), words, self._name(index))

    def _located(self) -> ImagePaths:
        """Where the images lie: below the folder of the file, or as ``predict`` named them, below that of the command."""
        beside, here = (ImagePaths(folder, self._index.images) for folder in (self.file.parent, Path()))
        probes = [index for index, image in enumerate(self._index.images) if image][:PROBED]
        return here if not any(map(beside.exists, probes)) and any(map(here.exists, probes)) else beside

    def _name(self, index: int) -> str:
        return image_name(self._index.images[index], self._prefix) or f"line_{self._index.numbers[index]}"


class _Index:
    """Where the lines of a file start, their numbers, and the images and splits that they name."""

    def __init__(self) -> None:
        self.places, self.numbers = array("q"), array("l")
        self.images, self.splits = Strings(), bytearray()


@lru_cache(maxsize=8)
def _index(path: Path, mtime: int, size: int) -> _Index:
    """Index a file; the parts of one data set share the index for as long as the file stays the same."""
    index, place = _Index(), 0
    with path.open("rb") as file:
        for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE + 1), b""), start=1):
            if len(line) > LONGEST_LINE:
                raise DataError(f"{path}, line {number} has more than {LONGEST_LINE >> 20} MiB; give one line for each image")
            if line.strip(b"\xef\xbb\xbf \t\r\n"):
                image, split = _head(line)
                index.places.append(place)
                index.numbers.append(number)
                index.images.extend([image])
                index.splits.append(SPLITS.index(split) if split in SPLITS else len(SPLITS))
            place += len(line)
    return index


def _head(line: bytes) -> tuple[str, str | None]:
    """Image and split of a line, without parsing its words where it was written by :func:`to_line`; "" if it is damaged."""
    found = _HEAD.match(line)
    if found and b"\\" not in found[1]:
        return found[1].decode("utf-8", "replace"), found[2] and found[2].decode()
    try:
        entry = _parse(line, "")
    except DataError:
        return "", None
    return entry["image"], entry.get("split")


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        entry = parse_json(line.decode("utf-8-sig"))
        if not _is_text(entry["image"]) or not entry["image"] or not isinstance(entry["words"], list):
            raise TypeError("image must be a path and words a list")
        if entry.get("split") not in (None, *SPLITS):
            raise ValueError(f"split {entry['split']} is none of {', '.join(SPLITS)}")
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{where}: expected {_EXPECTED}, found a fault ({type(error).__name__}: {error}); mend it") from error
    return entry


def _words(items: list[Any], where: str) -> TextInstances:
    corners, texts, ignore = [], [], []
    for number, item in enumerate(items, start=1):
        if not _is_word(item):
            expected = '{"polygon": [[x, y], ...], "text": TEXT, "ignore": true or false}'
            raise DataError(f"{where}, word {number}: expected {expected}, found {shown(item)}; mend it")
        points = item.get("polygon")
        corners.append([value for point in points for value in point] if _is_points(points) else points)
        text = item.get("text") or ""
        ignore.append(bool(item.get("ignore")) or text == IGNORED)
        texts.append("" if text == IGNORED else text)
    return TextInstances.of(to_polygons(corners, where), texts, ignore)


def _is_word(item: Any) -> bool:
    if not isinstance(item, dict) or item.get("ignore") not in (None, False, True):
        return False
    return item.get("text") is None or _is_text(item["text"])


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not _HALF.search(value)


def _is_points(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(point, list) and len(point) == 2 for point in value)


def find_file(root: str | Path | None) -> Path:
    """Find the JSON lines file that ``root`` is or holds.

    Raises:
        DataError: there is none, or several.
    """
    path = Path(root) if root is not None else Path()
    if root is not None and path.is_file():
        return path
    found = sorted(path.glob("*.jsonl")) if root is not None and path.is_dir() else []
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise DataError(f"data.root={root} must be a .jsonl file or a folder with one, found {names}; name the file itself")
    return found[0]


def to_line(image: str, width: int, height: int, words: TextInstances, split: str | None = None) -> str:
    """Write an image and its words as one line, without its end; coordinates to a thousandth of a pixel."""
    entry = {
        "image": image,
        "split": split,
        "width": width,
        "height": height,
        "words": [_to_item(*word) for word in zip(words.polygons, words.transcriptions, words.ignore, strict=True)],
    }
    return json.dumps(entry, ensure_ascii=False)


def _to_item(polygon: np.ndarray, text: str, ignore: bool) -> dict[str, Any]:
    points = [[_short(value) for value in point] for point in polygon.tolist()]
    return {"polygon": points, "text": text or IGNORED, "ignore": True} if ignore else {"polygon": points, "text": text}


def _short(value: float) -> int | float:
    return int(value) if value.is_integer() else round(value, 3)
