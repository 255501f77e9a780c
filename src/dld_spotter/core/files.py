"""Files that are written whole or not at all, and files of strangers, which are read up to a size."""

import json
import os
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from typing import Any

from PIL import Image

from dld_spotter.core.errors import DataError

PARTIAL = ".partial"
"""What the name of a file ends in while it is written."""
LARGEST_TEXT = 2**26
"""Bytes of a text file; those of the largest data sets have a few MB."""
_LINE_END = r"\r*\n|\r"
"""That of Unix, of Windows, also where it was converted twice, and of old Macs."""


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Give a place beside ``path`` to write to, which takes the place of ``path`` at the end; nothing is left of a failure.

    It lies in the same folder, since only within one file system a file can be replaced at once.
    """
    path = Path(path)
    partial = path.with_name(path.name + PARTIAL)
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())  # or a power cut leaves the new name with nothing in it
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with whole(path) as partial:
        partial.write_text(text, "utf-8")


@contextmanager
def locked(descriptor: int) -> Iterator[bool]:
    """Lock an open file or folder against others that open it; gives False where it is locked by one of them.

    It gives True where there are no such locks: on Windows, and on some file systems.
    """
    try:
        import fcntl
    except ImportError:
        yield True
        return
    mine = True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        mine = False
    except OSError:
        pass
    try:
        yield mine
    finally:
        if mine:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing is not enough: forked processes have it open as well


def save_picture(picture: Image.Image, path: Path, **options: Any) -> None:
    """Write a picture, whole or not at all; its suffix says in which format, ``options`` are those of the format.

    Raises:
        ValueError: no format has this suffix.
    """
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"{path} has the suffix of no picture")
    with whole(path) as partial:
        picture.save(partial, kind, **options)


def read_bounded(path: Path, most: int = LARGEST_TEXT) -> bytes:
    """Content of a file.

    Raises:
        OSError: it is missing, has more than ``most`` bytes, or is a folder, a device or a pipe, which might never end;
            ``strerror`` says which.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        facts = os.fstat(file.fileno())
        if not S_ISREG(facts.st_mode):
            raise OSError(0, "it is a device or a pipe", str(path))
        if facts.st_size > most:
            raise OSError(0, f"it has more than {most / 2**20:g} MiB", str(path))
        return file.read(most)


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; raises ValueError, whatever is wrong with it: also where it is nested too deeply or needs too much memory."""
    try:
        return json.loads(text)
    except (RecursionError, MemoryError) as error:
        raise ValueError(f"values within values too often or too many ({type(error).__name__})") from error


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes to would be waited for."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_lines(path: Path) -> Sequence[str]:
    """Read a text file as lines: UTF-8, with or without BOM, or UTF-16 with BOM.

    Raises:
        DataError: it cannot be read, or has another encoding.
    """
    try:
        raw = read_bounded(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); restore it") from error
    encoding = "utf-16" if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return re.split(_LINE_END, raw.decode(encoding))
    except UnicodeDecodeError as error:
        place = error.start + (len(BOM_UTF8) if raw.startswith(BOM_UTF8) else 0)  # Python counts from behind the mark
        line = len(re.findall(_LINE_END.encode(), raw[:place])) + 1
        found = f"byte {raw[place]:#x}" if place < len(raw) else "half a character"
        raise DataError(f"{path}, line {line}: expected UTF-8, found {found}; save the file as UTF-8") from error
