"""Files of photos in, lines of JSON out: where photos are found, how they are read in turn, and what is there already."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from glob import glob
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from dld_spotter.budget.requests import Request
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.core.extras import required
from dld_spotter.data.dataset import read_image
from dld_spotter.data.readers.paired import IMAGE_SUFFIXES, read_lines
from dld_spotter.inference.drawing import draw_reading
from dld_spotter.inference.output import to_json
from dld_spotter.inference.predictor import Predictor

if TYPE_CHECKING:
    from rich.console import Console

STDIN = STDOUT = "-"
COLUMNS = ("path", "image")
"""Columns of a Parquet file that hold paths; the first that is there counts."""
Photo = Path | str
"""Where a photo lies: a path, or an address such as ``s3://BUCKET/photo.jpg``."""


def is_address(source: Photo) -> bool:
    """Whether a photo, or a folder of them, lies in an object store."""
    return isinstance(source, str) and "://" in source


def read_photo(source: Photo) -> np.ndarray:
    """Read a photo as ``(H, W, 3)`` uint8 RGB; raises :class:`DataError` as :func:`read_image` does."""
    if not is_address(source):
        return read_image(source)
    files, path = file_system(str(source))
    try:
        with files.open_input_stream(path) as stream:
            content = stream.read()
    except OSError as error:
        raise DataError(f"{source} cannot be read ({error}); correct the address or the credentials") from error
    return read_image(BytesIO(content), name=source)


def file_system(address: str) -> tuple[Any, str]:
    """The store of an address, and the path in it.

    Raises:
        ConfigError: the extra is missing.
        DataError: there is no such kind of store.
    """
    fs = required("pyarrow.fs", "scale", f"input={address}")
    try:
        found: tuple[Any, str] = fs.FileSystem.from_uri(address)
    except (OSError, ValueError) as error:
        raise DataError(f"{address} is no address that can be opened ({error}); give such as s3://BUCKET/FOLDER") from error
    return found


def picture_paths(images: Sequence[Photo], folder: Path) -> dict[Photo, Path]:
    """Where the drawn picture of each image goes: in ``folder`` as the images lie below the folder that holds them all.

    Raises:
        ConfigError: an image lies in an object store.
    """
    if address := next(filter(is_address, images), None):
        raise ConfigError(f"{address} has no folder that its picture could be named after; give draw=false")
    places = {image: Path(image).absolute() for image in images}
    root = os.path.commonpath([place.parent for place in places.values()])
    paths = {image: folder / place.relative_to(root) for image, place in places.items()}
    return {image: to if to.suffix.lower() in IMAGE_SUFFIXES else to.with_name(to.name + ".png") for image, to in paths.items()}


def read_all(
    predictor: Predictor,
    request: Request,
    images: Sequence[Photo],
    out: TextIO,
    pictures: Mapping[Photo, Path],
    console: "Console",
    batch: int,
    alone: bool,
) -> int:
    """Read images, ``batch`` of them at a time, write a line for each, and draw those that ``pictures`` has a place for.

    Args:
        predictor: reads.
        request: how.
        images: which.
        out: gets the lines.
        pictures: image -> where its picture goes.
        console: gets what is wrong.
        batch: photos at a time.
        alone: whether the one image is all there is to do; without it there is a progress bar.

    Returns:
        how many were damaged.

    Raises:
        DataError: the only one is.
    """
    from rich.progress import track  # an exported spotter reads without rich

    damaged = 0
    chunks = [images[start : start + batch] for start in range(0, len(images), batch)]
    for chunk in track(chunks, "reading", console=console, transient=True, disable=alone):
        photos = {}
        for path in chunk:
            try:
                photo = read_photo(path)
                predictor.check_cap(photo, request)
                photos[path] = photo
            except (DataError, ConfigError) as error:
                if alone:
                    raise
                what = f"{path}: {error}" if isinstance(error, ConfigError) else error
                console.print(f"error: {what}", style="red", soft_wrap=True, highlight=False, markup=False)
                damaged += 1
        readings = predictor.read_request(list(photos.values()), request)
        for (path, pixels), reading in zip(photos.items(), readings, strict=True):
            if path in pictures:
                pictures[path].parent.mkdir(parents=True, exist_ok=True)
                draw_reading(pixels, reading).save(pictures[path], quality=92)
            if reading.dropped:
                note = (
                    f"note: {path}: {reading.dropped} more regions than postprocess.max_words of the checkpoint were not read"
                )
                console.print(note, soft_wrap=True, highlight=False, markup=False)
            out.write(json.dumps(to_json(path, reading), ensure_ascii=False) + "\n")
            out.flush()
    return damaged


def find_images(source: str | Sequence[str]) -> list[Photo]:
    """Find images by path, folder, glob, list, or a file with one of these a line: text (``-``: standard input) or Parquet.

    Each is found once. Addresses such as ``s3://BUCKET/FOLDER`` are taken too.

    Raises:
        DataError: a source leads to no image.
    """
    sources = [source] if isinstance(source, str) else list(source)
    entries = [entry for source in sources for entry in _entries(str(source))]
    found = list(dict.fromkeys(path for entry in entries for path in _expand(entry)))
    if not found:
        raise DataError("input is an empty list; give at least one photo")
    return found


def _entries(source: str) -> list[str]:
    """The lines of a text file or of standard input, else the source itself."""
    if source == STDIN:
        return _names_from_stdin()
    path = Path(source).expanduser()
    if path.suffix == ".parquet" and not is_address(source):
        return _names_from_parquet(path)
    return [line.strip() for line in read_lines(path) if line.strip()] if path.suffix == ".txt" else [source]


def _names_from_stdin() -> list[str]:
    try:
        names = [line.strip() for line in sys.stdin.buffer.read().decode("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(
            "input=- takes the names of photos, one a line, and standard input is no text; give input=PHOTO"
        ) from error
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
    except OSError as error:
        raise DataError(f"input={path} cannot be read as Parquet ({error}); give another file") from error


def _expand_address(address: str) -> list[Photo]:
    """The photos below an address, or the one that it names; options after ``?``, such as a region, go with each."""
    plain, mark, options = address.partition("?")
    if Path(plain).suffix.lower() in IMAGE_SUFFIXES:
        return [address]
    fs = required("pyarrow.fs", "scale", f"input={address}")
    files, path = file_system(address)
    try:
        found = files.get_file_info(fs.FileSelector(path, recursive=True))
    except OSError as error:
        raise DataError(f"input={address} cannot be listed ({error}); correct the address or the credentials") from error
    images = sorted(info.path for info in found if info.is_file and Path(info.path).suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise DataError(f"input={address} holds no image; give a folder of photos")
    store = plain.partition("://")[0]  # such as s3
    return [f"{store}://{image}{mark}{options}" for image in images]


def _expand(source: str) -> list[Photo]:
    if is_address(source):
        return _expand_address(source)
    path = Path(source).expanduser()
    if path.is_file():
        return [path]
    # Path.glob takes no absolute pattern
    names = path.iterdir() if path.is_dir() else map(Path, glob(str(path), recursive=True))  # noqa: PTH207
    images: list[Photo] = sorted(name for name in names if name.suffix.lower() in IMAGE_SUFFIXES and name.is_file())
    if not images:
        problem = "holds no image" if path.is_dir() else "matches no file" if set("*?[") & set(source) else "does not exist"
        raise DataError(f"input={source} {problem}; give a photo, a folder, a glob such as 'photos/*.jpg', or a list.txt")
    return images


@contextmanager
def open_output(out: str) -> Iterator[tuple[TextIO, set[str]]]:
    """Open a file of JSON lines to go on with, or stdout for ``-``; also gives the images that are in it.

    A last line that was cut off while it was written is dropped.

    Raises:
        DataError: the file holds something else.
    """
    if out == STDOUT:
        yield sys.stdout, set()
        return
    path = Path(out)
    if path.exists() and not path.is_file():
        raise DataError(f"out={path} is no file that could be gone on with; name a file, or out=- for standard output")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8", newline="\n") as file:
        file.seek(0)
        *lines, rest = file.read().split("\n")
        done = {_image_of(path, number, line) for number, line in enumerate(lines, start=1)}
        if rest:
            file.truncate(sum(len(line.encode()) + 1 for line in lines))
        yield file, done


def _image_of(path: Path, number: int, line: str) -> str:
    try:
        return json.loads(line)["image"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"out={path}, line {number} is none that predict writes ({line[:40]!r}); name another file") from error
