"""MATLAB files of version 5 to 7.2, in which data sets come as cells of texts and numbers.

Read here and not by scipy, whose reader follows lengths and types as a file states them: damaged files end the process.
Every length is compared with the bytes that are there before anything of it is used.
The form: "MAT-File Format", The MathWorks, 2017.
"""

import struct
import zlib
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dld_spotter.core.errors import DataError

HEADER = 128
"""Bytes before the first variable."""
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Type of an element -> that of its numbers."""
MATRIX, COMPRESSED, UTF8, UTF16, UTF32 = 14, 15, 16, 17, 18
CELL, CHAR, NUMERIC = 1, 4, range(6, 16)
"""Classes of variables that are read; structures, objects and sparse matrices are not."""
DEEPEST = 8
"""Most levels of cells within each other."""
RATIO, LEAST = 100, 2**24
"""A variable unpacks to at most so many bytes for each of its own, and may to ``LEAST`` in any case."""
LARGEST = 2**31
"""Bytes of an unpacked variable; those of SynthText's words have half a gigabyte."""
EMPTY = np.zeros((0, 0))


def read_mat(path: Path, *names: str) -> np.ndarray:
    """Read the first of some variables that a MATLAB file holds, and none of the others.

    Returns:
        numbers as they are stored; texts as an array of rows; cells as an object array of these.

    Raises:
        DataError: the file is missing or damaged, or holds none of them.
    """
    try:
        if not path.is_file():
            raise FileNotFoundError(2, "No such file")
        found = _variables(memoryview(np.memmap(path, np.uint8, "r")), names)
    except OSError as error:
        raise DataError(f"{path} cannot be read as a MATLAB file ({error.strerror}); restore it") from error
    except (ValueError, struct.error, zlib.error, OverflowError, MemoryError) as error:
        fault = str(error) or type(error).__name__
        raise DataError(f"{path} cannot be read as a MATLAB file ({fault}); restore it") from error
    for name in names:
        if name in found:
            return found[name]
    raise DataError(f"{path} holds no {' or '.join(names)}; restore the published file")


def text_of(cell: Any) -> str:
    """Text of a cell; empty where it is empty. A number is written as one would: 2013, not 2013.0."""
    values = np.ravel(cell)
    if not values.size:
        return ""
    value = values[0]
    if isinstance(value, np.ndarray):  # a cell in a cell
        return text_of(value)
    return str(int(value)) if isinstance(value, np.floating) and value.is_integer() else str(value)


class _Element(NamedTuple):
    """Type of an element, where its content starts and stops, and where the next one starts."""

    kind: int
    start: int
    stop: int
    following: int


class _Outline(NamedTuple):
    """What stands before the values of a variable, and where these start."""

    kind: int
    shape: tuple[int, ...]
    name: str
    place: int


def _variables(content: memoryview, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The variables of those names, as far as they are there."""
    try:
        order = {b"IM": "<", b"MI": ">"}[bytes(content[126:HEADER])]
    except KeyError:
        raise ValueError("it does not begin as version 5 to 7.2 does") from None
    found: dict[str, np.ndarray] = {}
    place = HEADER
    while place < len(content) and not (names and names[0] in found):
        kind, start, stop, following = _Walk(content, order).element(place, len(content))
        if kind == COMPRESSED:
            _unpacked(content[start:stop], order, names, found)
            following = stop  # which is not rounded up to 8 bytes
        elif kind == MATRIX:
            _take(_Walk(content, order), _Element(kind, start, stop, following), names, found)
        place = following
    return found


def _unpacked(packed: memoryview, order: str, names: tuple[str, ...], found: dict[str, np.ndarray]) -> None:
    """Unpack a variable, all of it only where it is one of ``names`` and of a sane size."""
    stream = zlib.decompressobj()
    head = stream.decompress(packed, 4096)
    walk = _Walk(memoryview(head), order)
    kind, size = struct.unpack_from(f"{order}II", head)
    if kind != MATRIX or size == 0:
        return
    if walk.outline(8, len(head)).name not in names:
        return
    if size > min(LARGEST, max(LEAST, RATIO * len(packed))):
        raise ValueError(f"{len(packed)} bytes would unpack to {size}")
    rest = stream.decompress(stream.unconsumed_tail, size + 8 - len(head)) if size + 8 > len(head) else b""
    whole = memoryview(head + rest)
    _take(_Walk(whole, order), _Walk(whole, order).element(0, len(whole)), names, found)


def _take(walk: "_Walk", element: _Element, names: tuple[str, ...], found: dict[str, np.ndarray]) -> None:
    if element.stop > element.start and (name := walk.outline(element.start, element.stop).name) in names:
        found[name] = walk.array(element, 0)


class _Walk:
    """Steps through the elements of a file.

    Args:
        content: of the file, or of an unpacked variable.
        order: of bytes, ``<`` or ``>``.
    """

    def __init__(self, content: memoryview, order: str) -> None:
        self.content, self.order = content, order
        self._tag: Callable[..., tuple[Any, ...]] = struct.Struct(f"{order}II").unpack_from

    def element(self, place: int, end: int) -> _Element:
        """The element that starts at ``place``; raises ValueError where it does not end before ``end``."""
        if place + 8 > end:
            raise ValueError("it ends too early")
        kind, size = self._tag(self.content, place)
        if kind >> 16:  # up to 4 bytes, in the tag itself
            kind, size, start, following = kind & 0xFFFF, kind >> 16, place + 4, place + 8
            if size > 4:
                raise ValueError(f"an element of {size} bytes cannot stand in its tag")
            return _Element(kind, start, start + size, following)
        start, stop = place + 8, place + 8 + size
        if stop > end:
            raise ValueError(f"an element of {size} bytes goes beyond its end")
        return _Element(kind, start, stop, min(stop + -size % 8, end))

    def outline(self, place: int, end: int) -> _Outline:
        """Flags, shape and name of a variable whose content starts at ``place``."""
        flags = self.element(place, end)
        shape = self.element(flags.following, end)
        name = self.element(shape.following, end)
        if flags.stop - flags.start < 4 or shape.kind not in (5, 6) or (shape.stop - shape.start) % 4:
            raise ValueError("a variable has no class or no shape")
        (kind,) = struct.unpack_from(f"{self.order}I", self.content, flags.start)
        sizes = struct.unpack_from(f"{self.order}{(shape.stop - shape.start) // 4}i", self.content, shape.start)
        if not 1 <= len(sizes) <= 32 or min(sizes) < 0:
            raise ValueError(f"a variable has the shape {sizes[:8]}")
        return _Outline(kind & 0xFF, sizes, bytes(self.content[name.start : name.stop]).decode("latin-1"), name.following)

    def array(self, element: _Element, depth: int) -> np.ndarray:
        """The values of a variable, columns first as MATLAB has them."""
        if element.stop == element.start:
            return EMPTY
        kind, shape, _, place = self.outline(element.start, element.stop)
        if kind == CELL:
            return self._cells(shape, place, element.stop, depth)
        if kind == CHAR:
            return self._texts(shape, place, element.stop)
        if kind in NUMERIC:
            values = self._numbers(self.element(place, element.stop))
            if prod(shape) > len(values):
                raise ValueError(f"{len(values)} numbers cannot have the shape {shape[:8]}")
            return values[: prod(shape)].reshape(shape, order="F")
        raise ValueError(f"a variable is of class {kind}, expected cells, texts or numbers")

    def _cells(self, shape: tuple[int, ...], place: int, end: int, depth: int) -> np.ndarray:
        count = prod(shape)
        if count > (end - place) // 8 or depth >= DEEPEST:
            raise ValueError(f"{end - place} bytes cannot hold cells of the shape {shape[:8]}, {depth} levels deep")
        cells = np.empty(count, object)
        for number in range(count):
            element = self.element(place, end)
            if element.kind != MATRIX:
                raise ValueError(f"a cell holds an element of type {element.kind}")
            cells[number] = self.array(element, depth + 1)
            place = element.following
        return cells.reshape(shape, order="F")

    def _texts(self, shape: tuple[int, ...], place: int, end: int) -> np.ndarray:
        """Rows of characters as an array of texts."""
        if not prod(shape):
            return np.array([], "U1")
        kind, start, stop, _ = element = self.element(place, end)
        rows = shape[0]
        if kind in (UTF8, UTF16, UTF32):
            name = {UTF8: "utf-8", UTF16: "utf-16", UTF32: "utf-32"}[kind]
            ending = "" if kind == UTF8 else {"<": "-le", ">": "-be"}[self.order]
            text = bytes(self.content[start:stop]).decode(name + ending, "replace")
            if rows == 1:
                return np.array([text])
            units = np.array(list(text), "U1").view(np.uint32) if text else np.zeros(0, np.uint32)
        else:
            units = self._numbers(element)
        if prod(shape) > len(units) or units.dtype.kind not in "iu":
            raise ValueError(f"{len(units)} characters cannot have the shape {shape[:8]}")
        table = units[: prod(shape)].reshape(rows, -1, order="F")
        wide = "utf-32-le" if units.dtype.itemsize > 2 else "utf-16-le"
        lines = np.ascontiguousarray(table).astype("<u4" if wide == "utf-32-le" else "<u2")
        return np.array([line.tobytes().decode(wide, "replace") for line in lines])

    def _numbers(self, element: _Element) -> np.ndarray:
        if element.kind not in NUMBERS:
            raise ValueError(f"numbers are stored as an element of type {element.kind}")
        kind = np.dtype(NUMBERS[element.kind]).newbyteorder(self.order)
        size = (element.stop - element.start) // kind.itemsize * kind.itemsize
        return np.frombuffer(self.content[element.start : element.start + size], kind).astype(kind.newbyteorder("="))
