"""Disks that are full and paths that cannot be used, told in a sentence."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from dld_spotter.core.errors import StorageError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
BARRED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT, errno.EISDIR, errno.ENAMETOOLONG}
"""Numbers of the system's errors about disks that are full, and about paths that cannot be used."""


@contextmanager
def storage_errors() -> Iterator[None]:
    """Tell what a user can mend about files and disks in a sentence; other errors of the system are left as they are.

    Raises:
        StorageError: a file cannot be written or read for want of space or permission, or its folder is none.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            remedy = "free some space, or give paths.output_dir=FOLDER on another disk"
        elif error.errno in BARRED:
            remedy = "mend the path or its permissions; paths.output_dir=FOLDER names the folder that is written to"
        else:
            raise
        place = f"{error.filename}: " if error.filename else ""
        raise StorageError(f"{place}{error.strerror}; {remedy}") from error
