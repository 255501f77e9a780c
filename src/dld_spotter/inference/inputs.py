"""Where photos are found: paths, folders, globs, and lists of them. Needs no torch."""

import os
import sys
from collections import Counter
from collections.abc import Sequence
from glob import glob
from pathlib import Path

from dld_spotter.core.errors import DataError
from dld_spotter.core.extras import required
from dld_spotter.core.files import read_lines
from dld_spotter.data.photos import IMAGE_SUFFIXES, is_photo
from dld_spotter.data.stores import Place, is_address, list_address, suffix_of

STDIN = "-"
PHOTO_SUFFIXES = IMAGE_SUFFIXES | {".pdf"}
"""What files of a folder must end in to be read."""
COLUMNS = ("path", "image")
"""Columns of a Parquet file that hold paths; the first that is there counts."""


def find_images(source: str | Sequence[str], others: Counter[str] | None = None) -> list[Place]:
    """Find images by path, folder, glob, list, or a file with one of these a line: text (``-``: standard input) or Parquet.

    Each is found once. Addresses such as ``s3://BUCKET/FOLDER`` are taken, too.

    One of several photos that is missing is told when it is its turn, so that the others are read.

    Args:
        source: where to look.
        others: counts, by suffix, files of folders that are none of ``PHOTO_SUFFIXES``, hidden ones aside.

    Raises:
        DataError: a source leads to no image.
    """
    others = Counter() if others is None else others
    sources = [source] if isinstance(source, str) else list(source)
    entries = [entry for source in sources for entry in _entries(str(source))]
    paths = [path for entry in entries for path in _expand(entry, others, alone=len(entries) == 1)]
    found: dict[str, Place] = {}
    for path in paths:
        found.setdefault(str(path) if is_address(path) else os.path.realpath(path), path)  # however they are written
    if not found:
        raise DataError("input is an empty list; give at least one photo")
    return list(found.values())


def _entries(source: str) -> list[str]:
    """The lines of a text file or of standard input, else the source itself."""
    if source == STDIN:
        return _names_from_stdin()
    if is_address(source):
        return [source]
    path = _expanded(source)
    if path.suffix == ".parquet":
        return _names_from_parquet(path)
    return [line.strip() for line in read_lines(path) if line.strip()] if path.suffix == ".txt" else [source]


def _names_from_stdin() -> list[str]:
    content = sys.stdin.buffer.read()
    if b"\0" in content:
        raise DataError("input=- takes the names of photos, one a line, and standard input is no text; give input=PHOTO")
    names = [os.fsdecode(line.strip()) for line in content.split(b"\n") if line.strip()]  # a name may hold U+2028
    if not names:
        raise DataError("input=- takes names of photos, one a line, but standard input is empty; give input=PHOTO")
    return names


def _names_from_parquet(path: Path) -> list[str]:
    pq = required("pyarrow.parquet", "scale", f"input={path}")
    try:
        names = pq.read_schema(path).names
        column = next((name for name in COLUMNS if name in names), None)
        if column is None:
            raise DataError(f"input={path} has the columns {', '.join(names)}; name the one with the photos {COLUMNS[0]}")
        return [str(value) for value in pq.read_table(path, columns=[column])[column].to_pylist() if value]
    except (OSError, ValueError) as error:  # pyarrow's own errors are such
        raise DataError(f"input={path} cannot be read as Parquet ({error}); give another file") from error


def _expanded(source: str) -> Path:
    """A path as it stands, or with ``~`` for a home."""
    path = Path(source)
    try:
        return path if os.path.lexists(path) else path.expanduser()
    except (RuntimeError, ValueError):  # nobody's home; a NUL, which no name has
        return path


def _expand(source: str, others: Counter[str], alone: bool) -> list[Place]:
    if is_address(source):
        return _expand_address(source, others)
    path = _expanded(source)
    if path.is_file():
        return [path]
    # Path.glob takes no absolute pattern
    names = path.iterdir() if path.is_dir() else map(Path, glob(str(path), recursive=True))  # noqa: PTH207
    files = [name for name in names if name.is_file()]
    images: list[Place] = sorted(name for name in files if is_photo(name, PHOTO_SUFFIXES))
    if not images and not (alone or path.is_dir() or set("*?[") & set(source)):
        return [path]
    foreign = (name for name in files if name.suffix.lower() not in PHOTO_SUFFIXES and not name.name.startswith("."))
    others.update(name.suffix.lower() for name in foreign)
    if not images:
        problem = "holds no image" if path.is_dir() else "matches no file" if set("*?[") & set(source) else "does not exist"
        raise DataError(f"input={source} {problem}; give a photo, a folder, a glob such as 'photos/*.jpg', or a list.txt")
    return images


def _expand_address(address: str, others: Counter[str]) -> list[Place]:
    """The photos below an address, or the one that it names."""
    if suffix_of(address) in IMAGE_SUFFIXES:
        return [address]
    found = list_address(address)
    images: list[Place] = sorted(name for name in found if suffix_of(name) in IMAGE_SUFFIXES)
    others.update(suffix_of(name) for name in found if suffix_of(name) not in IMAGE_SUFFIXES)
    if not images:
        raise DataError(f"input={address} holds no image; give a folder of photos")
    return images
