"""Files that a stranger may have made: read up to a size, and only where they are files."""

import json
import os
from pathlib import Path
from stat import S_ISREG
from typing import Any

LARGEST_TEXT = 2**26
"""Bytes of a text file; those of the largest data sets have a few MB."""


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
