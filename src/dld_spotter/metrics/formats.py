"""Reads ground truth and predictions in the forms of the official scripts: zip archives, folders, or JSON lines.

A line of a text file is one of

- ``x1,y1,...,x4,y4[,confidence],text``: quadrilaterals, with or without a column of confidences throughout; for
  detection the text may be absent;
- ``x1,y1,...,xn,yn,####text``: polygons of any length;
- ``x1,y1,...,xn,yn,text`` (``protocol=davar``): polygons of any length, the text holds no comma.

``###`` as the text of a true word makes it a don't-care region. As in the scripts a byte-order mark and carriage returns
are dropped, a text in double quotes is unquoted, and predictions with confidences compete in order of confidence.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dld_spotter.core.archives import UNREADABLE, Bounds, open_archive
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.core.files import parse_json, read_bounded
from dld_spotter.core.instances import TextInstances
from dld_spotter.core.words import Word
from dld_spotter.metrics.lexicons import image_key

IGNORED = "###"
CONFIDENCES = ("auto", "yes", "no")
BOUNDS = Bounds(members=200_000, member=2**23, archive=2**26)
"""Of archives and folders of text; the largest data sets have a few MB, which take some fifty times as much once read."""
MOST_LINES = 1_000_000
"""Words of all images."""
LARGEST_LINES, LONGEST_LINE = 2**28, 2**24
"""Bytes of a file of JSON lines, and of one of these."""
_NUMBER = r"\s*[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?\s*"
_POLYGON = re.compile(rf"({_NUMBER}(?:,{_NUMBER}){{5,}}),####(.*)")
_QUADRILATERAL = re.compile(rf"({_NUMBER}(?:,{_NUMBER}){{7}})(?:,(.*))?")
_ANY_LENGTH = re.compile(rf"({_NUMBER}(?:,{_NUMBER}){{5,}}),([^,]*)")
CONFIDENCE = re.compile(r"\s*([01](?:\.\d*)?|\.\d+|\d(?:\.\d*)?[eE]-\d+)\s*(?:,(.*))?")
_PERCENTAGE = re.compile(r"\s*(\d{1,3}(?:\.\d*)?)\s*,")
_QUOTED = re.compile(r'\s*"(.*)"\s*')


@dataclass(frozen=True)
class Annotations:
    """The words of many images, by image key.

    Args:
        images: image key -> its words, in the order in which they compete.
        ignored_files: names of files that are no annotation, such as pictures.
        undecodable_files: names of files with bytes that are no UTF-8; as in the scripts each reads as U+FFFD.
        confidences: whether a column of confidences was found.
    """

    images: dict[str, list[Word]]
    ignored_files: tuple[str, ...] = ()
    undecodable_files: tuple[str, ...] = ()
    confidences: bool = False

    def truth(self, image: str) -> TextInstances:
        """The words of an image as ground truth: the text ``###`` marks don't-care regions."""
        words = self.images[image]
        texts = [word.text for word in words]
        return TextInstances.of([word.polygon for word in words], texts, [text == IGNORED for text in texts])


@dataclass(frozen=True)
class _Line:
    """One line of text and where it stands, for messages."""

    text: str
    source: str
    number: int

    def error(self, expected: str) -> DataError:
        shown = printable(self.text if len(self.text) <= 60 else self.text[:57] + "...")
        return DataError(f'{self.source}, line {self.number}: expected {expected}, found "{shown}"')


@dataclass
class _Reader:
    """Parses the lines of one archive, which must all have one form."""

    task: str
    protocol: str
    confidences: str
    files: dict[str, list[_Line]] = field(default_factory=dict)
    confident: bool = False

    def parse(self) -> dict[str, list[Word]]:
        lines = [line for lines in self.files.values() for line in lines]
        if _polygon_form(lines):
            return {key: [_polygon(line) for line in lines] for key, lines in self.files.items()}
        if self.protocol == "davar":
            return {key: [_any_length(line) for line in lines] for key, lines in self.files.items()}
        parts = {key: [self._quadrilateral(line) for line in lines] for key, lines in self.files.items()}
        texts = [text for words in parts.values() for _, text in words]
        self.confident = self._find_confidences(lines, texts)
        return {key: _finish(words, self.confident) for key, words in parts.items()}

    def _find_confidences(self, lines: list[_Line], texts: list[str]) -> bool:
        """Whether a confidence stands before every text or, in detection, in its place."""
        if self.confidences == "no" or not texts:
            return False
        found = [_is_confidence(text, self.task == "detection") for text in texts]
        if self.confidences == "yes" and not all(found):
            raise lines[found.index(False)].error("a confidence from 0 to 1 after 8 coordinates, as confidences=yes says")
        return all(found)

    def _quadrilateral(self, line: _Line) -> tuple[np.ndarray, str]:
        found = _QUADRILATERAL.fullmatch(line.text)
        if not found or (found[2] is None and self.task != "detection"):
            raise line.error("8 coordinates and a text, separated by commas")
        return _points(found[1], line), found[2] or ""


def _polygon_form(lines: list[_Line]) -> bool:
    """Whether the lines are ``x1,y1,...,xn,yn,####text``; raises where only some are."""
    found = [",####" in line.text and _POLYGON.fullmatch(line.text) for line in lines]
    if not any(match and match[2].strip() for match in found) and not all(found):
        return False  # a quadrilateral may have the text ####
    if not all(found):
        other = next(line for line, match in zip(lines, found, strict=True) if not match)
        raise other.error("x1,y1,...,xn,yn,####text as on other lines of the same archive")
    return bool(lines)


def read_annotations(
    path: str | Path, task: str = "end_to_end", protocol: str = "rrc", truth: bool = False, confidences: str = "auto"
) -> Annotations:
    """Read a zip archive, a folder or a JSON lines file.

    Args:
        path: archive, folder, or ``.jsonl`` in the form that ``predict`` writes.
        task: in ``detection`` texts may be absent.
        protocol: ``davar`` reads polygons of any length without ``####``.
        truth: ground truth has no confidences.
        confidences: whether predictions have a column of them: ``yes``, ``no``, or ``auto``: where each line has one.

    Raises:
        ConfigError: ``confidences`` has another value.
        DataError: names archive, member, line, what was expected and what was found.
    """
    if confidences not in CONFIDENCES:
        raise ConfigError(f"confidences={confidences} is unknown; choose one of {', '.join(CONFIDENCES)}")
    path = Path(path)
    if path.suffix in {".jsonl", ".json"}:
        return Annotations(_read_json_lines(path))
    reader = _Reader(task, protocol, "no" if truth else confidences)
    ignored, undecodable, found = [], [], 0
    for name, content in _members(path):
        if content is None:
            ignored.append(printable(name))
            continue
        key, source = image_key(_posix(name).stem), f"{path}, {printable(name)}"
        if key in reader.files:
            raise DataError(f"{source}: image {key} has two files; keep one")
        text, whole = _decode(content, source)
        if not whole:
            undecodable.append(printable(name))
        lines = text.replace("\r", "").split("\n")
        reader.files[key] = [_Line(line, source, i) for i, line in enumerate(lines, 1) if line.strip()]
        found += len(reader.files[key])
        if found > MOST_LINES:
            raise DataError(f"{path} holds more than {MOST_LINES:,} lines; no annotations are that many, so make it anew")
    if not reader.files:
        raise DataError(f"{path} holds no .txt file; expected one per image such as gt_img_1.txt or res_img_1.txt")
    return Annotations(reader.parse(), tuple(ignored), tuple(undecodable), reader.confident)


def printable(text: str) -> str:
    """Replace control characters, which would break a message or a terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _decode(content: bytes, source: str) -> tuple[str, bool]:
    """Text of a file without its byte-order mark, and whether all of it is UTF-8."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{source} is UTF-16; save it as UTF-8")
    text = content.decode("utf-8-sig", "replace")
    return text, "\ufffd" not in text or "\ufffd".encode() in content


def _posix(name: str) -> PurePosixPath:
    return PurePosixPath(name.replace("\\", "/"))  # some archives are packed by Windows


def _is_annotation(name: str) -> bool:
    member = _posix(name)
    return member.suffix.lower() == ".txt" and not member.name.startswith(".")  # macOS adds ._gt_img_1.txt


def _members(path: Path) -> Iterator[tuple[str, bytes | None]]:
    """Name of every file in an archive or, without its subfolders, in a folder, and the content of each annotation.

    Nothing is ever unpacked to disk, so a name such as ``../gt_img_1.txt`` is a name like any other.
    """
    try:
        if path.is_dir():
            for file in sorted(path.iterdir()):
                wanted = file.is_file() and _is_annotation(file.name)
                yield file.name, read_bounded(file, BOUNDS.member) if wanted else None
            return
        with open_archive(path, BOUNDS, _is_annotation) as archive:
            for info in archive.infos:
                yield info.filename, archive.read(info) if _is_annotation(info.filename) else None
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; give a zip archive, a folder or a .jsonl file") from error
    except UNREADABLE as error:
        kind = "folder" if path.is_dir() else "zip archive"
        raise DataError(f"{path} cannot be read as a {kind} ({error}); give one, a folder or a .jsonl file") from error


def _points(numbers: str, line: _Line) -> np.ndarray:
    try:
        points = np.array(numbers.split(","), np.float32).reshape(-1, 2)
    except ValueError:  # digits that Python knows and numpy does not
        raise line.error("coordinates that a pixel can have") from None
    if not np.isfinite(points).all():
        raise line.error("coordinates that a pixel can have")
    return points


def _polygon(line: _Line) -> Word:
    found = _POLYGON.fullmatch(line.text)
    if not found or found[1].count(",") % 2 == 0:
        raise line.error("an even number of coordinates before ,####")
    return Word(_points(found[1], line), unquoted(found[2].partition(",####")[0].strip()), 1.0)


def _any_length(line: _Line) -> Word:
    found = _ANY_LENGTH.fullmatch(line.text)
    if not found or found[1].count(",") % 2 == 0:
        raise line.error("an even number of coordinates, at least 6, and a text without commas")
    return Word(_points(found[1], line), found[2], 1.0)


def _is_confidence(text: str, alone: bool) -> bool:
    """Whether a confidence stands before a text or, where ``alone`` is allowed, without one."""
    found = CONFIDENCE.fullmatch(text)
    return found is not None and float(found[1]) <= 1 and (alone or found[2] is not None)


def begins_with_percentages(texts: Iterable[str]) -> bool:
    """Whether all texts look as if a confidence beyond 1 stood before them.

    >>> begins_with_percentages(["97.5,cat", "8,dog"]), begins_with_percentages(["97.5,cat", "dog"])
    (True, False)
    """
    found = [_PERCENTAGE.match(text) for text in texts]
    return bool(found) and all(match is not None and float(match[1]) <= 100 for match in found)


def _finish(words: list[tuple[np.ndarray, str]], confident: bool) -> list[Word]:
    """Split confidences from texts where there are any, the most confident first."""
    if not confident:
        return [Word(polygon, unquoted(text), 1.0) for polygon, text in words]
    columns = [(polygon, CONFIDENCE.fullmatch(text)) for polygon, text in words]
    scored = [Word(polygon, unquoted(found[2] or ""), float(found[1])) for polygon, found in columns if found]  # all are
    return sorted(scored, key=lambda word: -word.score)


def unquoted(text: str) -> str:
    """A text without the quotes around it, as the official scripts read it."""
    found = _QUOTED.fullmatch(text)
    return found[1].replace("\\\\", "\\").replace('\\"', '"') if found else text


def _read_json_lines(path: Path) -> dict[str, list[Word]]:
    """Read the form that ``predict`` writes; ``"ignore": true`` makes a don't-care region."""
    images: dict[str, list[Word]] = {}
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            entry = parse_json(line)
            key = image_key(Path(entry["image"]).stem)
            words = [_word(item) for item in entry["words"]]
        except (ValueError, KeyError, TypeError, ArithmeticError, AttributeError) as error:
            raise DataError(
                f'{path}, line {number}: expected {{"image": NAME, "words": [{{"polygon": [[x, y], ...], "text": TEXT}}]}}, '
                f"found a fault ({type(error).__name__}: {error})"
            ) from error
        if key in images:
            raise DataError(f"{path}, line {number}: image {key} stands there twice; keep one")
        images[key] = words
    return images


def _lines(path: Path) -> list[str]:
    """Lines of a file, which ends at no other sign: ``splitlines`` would also break a text at U+2028."""
    try:
        content = read_bounded(path, LARGEST_LINES)
        if (longest := max(map(len, content.split(b"\n")))) > LONGEST_LINE:
            raise ValueError(f"a line has {longest:,} bytes")
        return content.decode("utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); give a UTF-8 file with one JSON object a line") from error


def _word(item: dict[str, Any]) -> Word:
    polygon, text = np.asarray(item["polygon"], np.float32).reshape(-1, 2), item.get("text")
    if not np.isfinite(polygon).all() or not isinstance(text, str | None):
        raise ValueError("coordinates must be finite and texts strings")
    return Word(polygon, IGNORED if item.get("ignore") else text or "", float(item.get("score", 1.0)))
