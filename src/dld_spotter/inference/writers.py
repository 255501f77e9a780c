"""Where readings go: one file of JSON lines, or a document for each image; what is there already is gone on with."""

import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.core.files import locked, whole
from dld_spotter.data.pages import Page
from dld_spotter.data.stores import Place, is_address, place_of
from dld_spotter.inference.documents import DOCUMENTS
from dld_spotter.inference.output import as_line, to_json
from dld_spotter.inference.reading import Reading

STDOUT = "-"
PREDICTIONS = "predictions.jsonl"
"""Where readings go in the folder of a run."""
LISTS = ("words", "lines")
"""Keys of what was read in an image."""
PAGE_END = "\f"
"""What stands between the texts of several images on standard output, as engines have it."""


class Writer(ABC):
    """Takes readings, one after the other; as a text it is where they go."""

    @abstractmethod
    def has(self, page: Page) -> bool:
        """Whether an image was written before."""

    @abstractmethod
    def write(self, page: Page, reading: Reading) -> None:
        """Write what was read in an image."""

    def earlier(self, pages: Sequence[Page]) -> list[Mapping[str, Any]]:
        """What is known of those of these images that were written before, in the order of reading, without what was read."""
        return []


class JsonWriter(Writer):
    """Writes a line of JSON for each image.

    Args:
        file: to write to.
        lines: whether lines of words are written, rather than words.
        done: images that are in it, see :func:`open_output`.
        name: of the file.
    """

    def __init__(self, file: TextIO, lines: bool, done: Mapping[str, Mapping[str, Any]], name: str) -> None:
        self.file, self.lines, self.done, self.name = file, lines, done, name

    def __str__(self) -> str:
        return self.name

    def has(self, page: Page) -> bool:
        """See :meth:`Writer.has`."""
        return page.key in self.done

    def write(self, page: Page, reading: Reading) -> None:
        """See :meth:`Writer.write`."""
        self.file.write(as_line(to_json(page.path, reading, self.lines, page.number)))
        self.file.flush()

    def earlier(self, pages: Sequence[Page]) -> list[Mapping[str, Any]]:
        """See :meth:`Writer.earlier`."""
        asked = {page.key for page in pages}
        return [entry for key, entry in self.done.items() if key in asked]


class DocumentWriter(Writer):
    """Writes a document for each image.

    Args:
        form: of ``DOCUMENTS``.
        folder: where to; None for standard output.
        pages: all images, which lie in the folder as they lie below the folder that holds them all.
    """

    def __init__(self, form: str, folder: Path | None, pages: Sequence[Page]) -> None:
        self.make, suffix = DOCUMENTS[form]
        self.folder, self.begun = folder, False
        places = {} if folder is None else folder_layout([page.place for page in pages], folder)
        self.files = {path: to.with_name(to.name + suffix) for path, to in places.items()}

    def __str__(self) -> str:
        return "stdout" if self.folder is None else str(self.folder)

    def has(self, page: Page) -> bool:
        """See :meth:`Writer.has`."""
        return self.folder is not None and self.files[page.place].is_file()

    def write(self, page: Page, reading: Reading) -> None:
        """See :meth:`Writer.write`; a file is there whole or not at all."""
        document = self.make(Path(page.path), reading)
        if self.folder is None:
            sys.stdout.write(PAGE_END * self.begun + document)
            sys.stdout.flush()
            self.begun = True
            return
        file = self.files[page.place]
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole(file) as partial:
            partial.write_text(document, "utf-8", "surrogateescape", "\n")


@contextmanager
def find_writer(output: str, out: str | None, folder: Path, pages: Sequence[Page]) -> Iterator[Writer]:
    """Open what readings are written to.

    Args:
        output: ``words``, ``lines``, or one of ``DOCUMENTS``.
        out: file of JSON lines or folder of documents, ``-`` for standard output, None for one in ``folder``.
        folder: of the run.
        pages: what will be read.

    Raises:
        ConfigError: there is no such output, or several documents would end up in one.
        DataError: the file holds something else, or where it should be is none.
    """
    if output in LISTS:
        with open_output(str(folder / PREDICTIONS) if out is None else out) as (file, done):
            yield JsonWriter(file, output == "lines", done, "stdout" if out == STDOUT else file.name)
        return
    if output not in DOCUMENTS:
        raise ConfigError(f"output={output} is unknown; give one of {', '.join((*LISTS, *DOCUMENTS))}")
    if out == STDOUT:
        if output != "text" and len(pages) > 1:
            raise ConfigError(f"output={output} is one document for each of {len(pages)} images; name a folder as out=")
        yield DocumentWriter(output, None, pages)
        return
    to = folder / output if out is None else Path(out)
    if to.exists() and not to.is_dir():
        raise DataError(f"out={to} is a file, and output={output} is a file for each image; name a folder, or out=-")
    yield DocumentWriter(output, to, pages)


@contextmanager
def open_output(out: str) -> Iterator[tuple[TextIO, dict[str, dict[str, Any]]]]:
    """Open a file of JSON lines to go on with, or stdout for ``-``.

    Also gives the images that are in it: :attr:`Page.key` -> its line without what was read. A last line that was cut off
    while it was written is dropped.

    Raises:
        DataError: the file holds something else, or another run writes to it.
    """
    if out == STDOUT:
        yield sys.stdout, {}
        return
    path = Path(out)
    if path.exists() and not path.is_file():
        raise DataError(f"out={path} is no file that could be gone on with; name a file, or out=- for standard output")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8", newline="\n") as file, locked(file.fileno()) as free:
        if not free:
            raise DataError(f"out={path} is being written by another run; wait for it, or name another file")
        file.seek(0)
        *lines, rest = file.read().split("\n")
        done = dict(_entry_of(path, number, line) for number, line in enumerate(lines, start=1))
        if rest:
            file.truncate(sum(len(line.encode()) + 1 for line in lines))
        yield file, done


def folder_layout(images: Sequence[Place], folder: Path) -> dict[Place, Path]:
    """A place in ``folder`` for each image, as the images lie below the folder that holds them all.

    Raises:
        ConfigError: an image lies in an object store.
    """
    if address := next(filter(is_address, images), None):
        raise ConfigError(
            f"{address} lies in no folder that another file could be named after; give draw=false, and output=words or lines"
        )
    paths = {place: Path(place).absolute() for place in images}
    root = os.path.commonpath([path.parent for path in paths.values()])
    return {place: folder / path.relative_to(root) for place, path in paths.items()}


def key_of(entry: Mapping[str, Any]) -> str:
    """Which image a line is of, see :attr:`Page.key`."""
    return Page(place_of(entry["image"]), entry.get("page")).key


def _entry_of(path: Path, number: int, line: str) -> tuple[str, dict[str, Any]]:
    try:
        entry = json.loads(line)
        return key_of(entry), {key: value for key, value in entry.items() if key not in LISTS}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"out={path}, line {number} is none that predict writes ({line[:40]!r}); name another file") from error
