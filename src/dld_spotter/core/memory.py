"""Memory that the C library keeps although nothing is in it. Needs no torch."""

import ctypes
import sys
from functools import cache

PIXELS = 5_000_000
"""Read before free pages are given back, five photos of 1280 x 720: what comes next has to wait for fresh ones."""
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Parameters of ``mallopt`` in the GNU C library."""
LARGEST = 2**30
"""Bytes of a block that may lie on the heap, which is reused; a larger one is mapped on its own, of fresh pages every time."""


@cache
def _library() -> ctypes.CDLL | None:
    """The GNU C library, which alone has these functions; None elsewhere."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None


def keep_pages() -> None:
    """Let the process reuse the pages of large blocks that it frees, until :func:`give_back`.

    By default every map of some megabytes is made of fresh pages, which the system fills with zeros first.
    """
    if library := _library():
        library.mallopt(MMAP_THRESHOLD, LARGEST)
        library.mallopt(TRIM_THRESHOLD, 2**31 - 1)


def give_back() -> None:
    """Return free pages of the heap to the system.

    Each size of photo leaves holes of its own size in the heap, and few of them fit the next photo: a process that reads photos
    of many sizes would hold ever more, three times its need after some hundreds.
    """
    if library := _library():
        library.malloc_trim(0)
