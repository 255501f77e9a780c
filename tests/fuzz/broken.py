"""Readers that do what none may do: what the campaign is tested with."""

import os
from pathlib import Path


def fail(_: Path) -> None:
    """Raise what is no error of ours."""
    raise ZeroDivisionError


def leave(_: Path) -> None:
    """End the process."""
    os._exit(3)


def loop(_: Path) -> None:
    """Never end."""
    while True:
        pass


def fill(_: Path) -> None:
    """Take more memory than there may be."""
    bytearray(3 * 2**30)
