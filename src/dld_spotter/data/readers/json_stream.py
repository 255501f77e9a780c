"""Large JSON files, one member at a time: a file of a gigabyte would take ten as Python objects."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self, TextIO

from dld_spotter.core.errors import DataError

CHUNK = 1 << 20
"""Characters that are read at a time."""
LONGEST_TAIL = 32
"""A number may go on behind the end of the buffer: one that ends nearer than this to it is parsed again with more."""
_SPACE = re.compile(r"\s*")
_DECODER = json.JSONDecoder()


class JsonCursor:
    """Walks through a JSON file.

    Args:
        path: of the file, UTF-8 with or without BOM.

    Raises:
        DataError: from any method: the file is missing or no JSON of the shape that is asked for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._buffer, self._place, self._before, self._ended = "", 0, 0, False

    def __enter__(self) -> Self:
        try:
            self._file: TextIO = self.path.open(encoding="utf-8-sig")
        except OSError as error:
            raise DataError(f"{self.path} cannot be read ({error.strerror}); restore it") from error
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def members(self) -> Iterator[str]:
        """Give the keys of the object that starts here; at each the caller takes ``value()`` or walks its ``members()``."""
        self._take("{")
        if self._peek() == "}":
            self._take("}")
            return
        while True:
            key = self.value()
            if not isinstance(key, str):
                raise self._error("a key in quotes")
            self._take(":")
            yield key
            if self._peek() == "}":
                self._take("}")
                return
            self._take(",")

    def value(self) -> Any:
        """Parse the value that starts here."""
        self._peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._place)
            except (ValueError, RecursionError) as error:
                if self._ended:
                    raise self._error("a JSON value") from error
            else:
                if end + LONGEST_TAIL < len(self._buffer) or self._ended:
                    self._place = end
                    return value
            self._fill()

    def _peek(self) -> str:
        while True:
            self._place = _SPACE.match(self._buffer, self._place).end()
            if self._place < len(self._buffer):
                return self._buffer[self._place]
            if self._ended:
                raise self._error("more")
            self._fill()

    def _take(self, wanted: str) -> None:
        if self._peek() != wanted:
            raise self._error(f'"{wanted}"')
        self._place += 1

    def _fill(self) -> None:
        """Read on, at least as much as there is, so that a long value is not parsed too often."""
        rest = self._buffer[self._place :]
        try:
            more = self._file.read(max(CHUNK, len(rest)))
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self.path}: expected UTF-8, found byte {error.object[error.start]:#x}; save it as UTF-8"
            ) from error
        self._before += self._place
        self._buffer, self._place, self._ended = rest + more, 0, not more

    def _error(self, expected: str) -> DataError:
        found = repr(self._buffer[self._place : self._place + 30]) if self._place < len(self._buffer) else "the end of the file"
        return DataError(
            f"{self.path}, character {self._before + self._place}: expected {expected}, found {found}; mend the JSON"
        )
