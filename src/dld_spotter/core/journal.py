"""What a long reading has given so far, a line an image, so that one that was stopped goes on."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dld_spotter.core.errors import ConfigError
from dld_spotter.core.files import write_text

SUFFIX = ".journal"


class Journal:
    """A file of lines, each written at once; a last line that was cut off is dropped.

    Args:
        path: of the file; its name ends in ``SUFFIX``.
        facts: plain values on which the rows depend; those of another reading are not gone on with.
        resume: go on with what is there, rather than begin anew.

    Raises:
        ConfigError: what is there was read with other settings.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any], resume: bool) -> None:
        self.path = path
        self.rows: dict[str, Any] = {}
        mark = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
        lines = list(_lines(path)) if resume and path.is_file() else []
        if lines and lines[0] != {"settings": mark}:
            raise ConfigError(f"resume=true: {path} was read with other settings; give the same, or resume=false to begin anew")
        self.rows = {line["name"]: line["row"] for line in lines[1:]}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, "".join(map(_line, [{"settings": mark}, *(_entry(*row) for row in self.rows.items())])))
        self._file = path.open("a", encoding="utf-8", newline="\n")

    def add(self, name: str, row: Any) -> None:
        """Keep the row of an image, plain values."""
        self.rows[name] = row
        self._file.write(_line(_entry(name, row)))
        self._file.flush()

    def close(self) -> None:
        """Leave the file as it is."""
        self._file.close()

    def remove(self) -> None:
        """Remove it: what it was for is done."""
        self.close()
        self.path.unlink(missing_ok=True)


def _entry(name: str, row: Any) -> dict[str, Any]:
    return {"name": name, "row": row}


def _line(content: Any) -> str:
    return json.dumps(content) + "\n"


def _lines(path: Path) -> Iterator[Any]:
    """The whole lines of a file, up to the first that is none of a journal's."""
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            return
        try:
            yield json.loads(line)
        except ValueError:
            return
