"""Files that are whole or not there, whenever a process dies or a disk is full."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = ".partial"
"""What the name of a file ends in while it is written."""


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
