"""Memory that the C library keeps although nothing is in it. Needs no torch."""

import ctypes
import sys
from functools import cache

PIXELS = 1_000_000
"""Read before it is given back: after each large photo, or some small ones. The next photo has to wait for fresh pages."""


@cache
def _trim() -> "ctypes._NamedFuncPointer | None":
    """``malloc_trim`` of the GNU C library, which alone has it; None elsewhere."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def give_back() -> None:
    """Return free pages of the heap to the system.

    Each size of photo leaves holes of its own size in the heap, and few of them fit the next photo: a process that reads photos
    of many sizes would hold ever more, three times its need after some hundreds.
    """
    if trim := _trim():
        trim(0)
