"""Zip archives that a stranger may have made, ``.npz`` among them: bounded, whatever they say of themselves."""

import struct
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as npy

UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ValueError,
    TypeError,
    LookupError,
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    MemoryError,
    SyntaxError,
    tokenize.TokenError,
)
"""What reading a damaged archive raises."""
DIRECTORY = 2**24
"""Bytes of the list of members."""
_END, _END64, _LOCATOR = b"PK\5\6", b"PK\6\6", b"PK\6\7"


@dataclass(frozen=True)
class Bounds:
    """What an archive may have.

    Args:
        members: most files in it.
        member: most bytes of one, unpacked.
        archive: most bytes of all that are wanted, unpacked.
        ratio: unpacked bytes for each that the file has; up to ``member`` bytes are let through in any case.
    """

    members: int
    member: int
    archive: int
    ratio: int = 100


@contextmanager
def open_archive(path: Path, bounds: Bounds, wanted: Callable[[str], bool] = lambda _: True) -> Iterator["Archive"]:
    """Open a zip archive whose wanted members are within bounds.

    Raises:
        ValueError: they are not; or what else ``UNREADABLE`` lists.
    """
    if not path.is_file():
        raise FileNotFoundError(2, "No such file", str(path))
    if _directory_size(path) > DIRECTORY:
        raise ValueError(f"its list of files has more than {DIRECTORY >> 20} MiB")
    with ZipFile(path) as content:
        infos = [info for info in content.infolist() if not info.is_dir()]
        _refuse_bomb([info for info in infos if wanted(info.filename)], len(infos), path.stat().st_size, bounds)
        yield Archive(content, infos)


class Archive:
    """Members of an archive that is within bounds."""

    def __init__(self, content: ZipFile, infos: Sequence[ZipInfo]) -> None:
        self._content, self.infos = content, infos

    def refuse_packed(self, size: int) -> None:
        """Raise ValueError unless all members lie in the file as they are, one beside the other, ``size`` bytes in all."""
        if any(info.compress_type != ZIP_STORED for info in self.infos) or sum(info.file_size for info in self.infos) > size:
            raise ValueError("its files are packed, or lie upon each other")

    def read(self, info: ZipInfo) -> bytes:
        """Content of a member; raises ValueError where it has more than it says."""
        if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise ValueError(f"{info.filename!a} is packed in an unusual way")
        with self._content.open(info) as member:
            parts, left = [], info.file_size
            while left > 0 and (part := member.read(min(left, 2**20))):  # at once, it would unpack whatever there is
                parts.append(part)
                left -= len(part)
        if left:
            raise ValueError(f"{info.filename!a} ends too early")
        content = b"".join(parts)
        if zlib.crc32(content) != info.CRC:  # which zipfile compares at the end alone, and a lie about sizes ends it before
            raise ValueError(f"{info.filename!a} is damaged, or larger than it says")
        return content


def read_arrays(path: Path, names: Sequence[str], bounds: Bounds) -> dict[str, np.ndarray]:
    """Read arrays of numbers and texts from an ``.npz``; nothing in it is unpickled.

    Raises:
        ValueError: one is missing, or not as large as it claims; or what else ``UNREADABLE`` lists.
    """
    files = {f"{name}.npy": name for name in names}
    with open_archive(path, bounds, files.__contains__) as archive:
        infos = {info.filename: info for info in archive.infos}
        if missing := sorted(files.keys() - infos.keys()):
            raise ValueError(f"it holds no {missing[0]}")
        return {name: _array(archive.read(infos[file]), file) for file, name in files.items()}


def _array(content: bytes, name: str) -> np.ndarray:
    """The array of an ``.npy``, which is as large as what it claims."""
    stream = BytesIO(content)
    reader = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(npy.read_magic(stream))
    if reader is None:
        raise ValueError(f"{name} is of another version of numpy's format")
    shape, columns_first, kind = reader(stream)
    if kind.kind not in "biufSU" or not kind.itemsize:
        raise ValueError(f"{name} holds no numbers or texts")
    if min(shape, default=0) < 0 or prod(shape) * kind.itemsize != len(content) - stream.tell():
        raise ValueError(f"{name} claims the shape {shape[:8]}, which it has not")
    values = np.frombuffer(content, kind, offset=stream.tell())
    if kind.kind == "U" and values.view(np.dtype(np.uint32).newbyteorder(kind.byteorder)).max(initial=0) > sys.maxunicode:
        raise ValueError(f"{name} holds characters that there are not")
    return values.reshape(shape, order="F" if columns_first else "C").copy()


def _refuse_bomb(wanted: Sequence[ZipInfo], members: int, size: int, bounds: Bounds) -> None:
    if members > bounds.members:
        raise ValueError(f"it holds {members:,} files, more than {bounds.members:,}")
    if not wanted:
        return
    total, largest = sum(info.file_size for info in wanted), max(wanted, key=lambda info: info.file_size)
    allowed = min(bounds.archive, max(bounds.member, bounds.ratio * size))
    if total > allowed or largest.file_size > bounds.member:
        raise ValueError(
            f"it would unpack to {total / 2**20:,.0f} MiB, {largest.file_size / 2**20:,.0f} MiB of it in {largest.filename!a}"
        )


def _directory_size(path: Path) -> int:
    """Bytes of the list of members, as the end of an archive states them; 0 where there is no such end."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 2**16 - 22 - 20))
        tail = file.read()
        place = tail.rfind(_END)
        if place < 0 or place + 22 > len(tail):
            return 0
        (listed,) = struct.unpack_from("<I", tail, place + 12)
        if place >= 20 and tail[place - 20 : place - 16] == _LOCATOR:
            file.seek(min(struct.unpack_from("<Q", tail, place - 12)[0], size))
            record = file.read(56)
            if len(record) == 56 and record.startswith(_END64):
                listed = max(listed, struct.unpack_from("<Q", record, 40)[0])
        return int(listed)
