"""Memory that the C library keeps although nothing is in it. Needs no torch."""

import ctypes
import os
import sys
from functools import cache

PIXELS, PIXELS_OF_ONE_SIZE = 1_000_000, 20_000_000
"""Read before free pages are given back; what comes next has to wait for fresh ones.

The first is of photos that differ in size from the one before, each of which leaves holes of its own size in the heap.
"""
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Parameters of ``mallopt`` in the GNU C library."""
LARGEST = (2**30, 2**25)
"""Bytes of a block that may lie on the heap, which is reused; a larger one is mapped on its own, of fresh pages every time.

Versions of the library before 2.35 take the second at most.
"""
CHOSEN_BY_USER = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
"""Variables of the environment that say how memory is kept; where one is set, nothing is changed."""


@cache
def _library() -> ctypes.CDLL | None:
    """The GNU C library, which alone has these functions; None elsewhere."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None


def keep_pages() -> None:
    """Let the process reuse the pages of large blocks that it frees, until :func:`give_back`.

    By default every map of some megabytes is made of fresh pages, which the system fills with zeros first. This holds for the
    whole process; a user who sets one of :data:`CHOSEN_BY_USER` decides otherwise.
    """
    library = _library()
    if library and not any(name in os.environ for name in CHOSEN_BY_USER):
        any(library.mallopt(MMAP_THRESHOLD, largest) for largest in LARGEST)
        library.mallopt(TRIM_THRESHOLD, 2**31 - 1)


def give_back() -> None:
    """Return free pages of the heap to the system.

    Each size of photo leaves holes of its own size in the heap, and few of them fit the next photo: a process that reads photos
    of many sizes would hold ever more, three times its need after some hundreds.
    """
    if library := _library():
        library.malloc_trim(0)
