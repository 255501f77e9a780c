"""Reads ground truth and predictions in the forms of the official scripts: zip archives, folders, or JSON lines.

A line of a text file is one of

- ``x1,y1,...,x4,y4[,confidence],text``: quadrilaterals, with or without a column of confidences throughout;
- ``x1,y1,...,xn,yn,####text``: polygons of any length;
- ``x1,y1,...,xn,yn,text`` (``protocol=davar``): polygons of any length, the text holds no comma.

``###`` as the text of a true word makes it a don't-care region. As in the scripts a byte-order mark and carriage returns
are dropped, a text in double quotes is unquoted, and predictions with confidences compete in order of confidence.
"""

import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from dld_spotter.errors import DataError
from dld_spotter.metrics.lexicons import image_key
from dld_spotter.structures import TextInstances, Word

IGNORED = "###"
_NUMBER = r"\s*[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?\s*"
_POLYGON = re.compile(rf"({_NUMBER}(?:,{_NUMBER}){{5,}}),####(.*)")
_QUADRILATERAL = re.compile(rf"({_NUMBER}(?:,{_NUMBER}){{7}})(?:,(.*))?")
_ANY_LENGTH = re.compile(rf"({_NUMBER}(?:,{_NUMBER}){{5,}}),([^,]*)")
_CONFIDENCE = re.compile(r"\s*([01](?:\.\d*)?|\.\d+|\d(?:\.\d*)?[eE]-\d+)\s*,(.*)")
_QUOTED = re.compile(r'\s*"(.*)"\s*')


@dataclass(frozen=True)
class Annotations:
    """The words of many images, by image key.

    Args:
        images: image key -> its words, in the order in which they compete.
        ignored_files: names of files that are no annotation, such as pictures.
    """

    images: dict[str, list[Word]]
    ignored_files: tuple[str, ...] = ()

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
        shown = self.text if len(self.text) <= 60 else self.text[:57] + "..."
        return DataError(f'{self.source}, line {self.number}: expected {expected}, found "{shown}"')


@dataclass
class _Reader:
    """Parses the lines of one archive, which must all have one form."""

    task: str
    protocol: str
    truth: bool
    files: dict[str, list[_Line]] = field(default_factory=dict)

    def parse(self) -> dict[str, list[Word]]:
        lines = [line for lines in self.files.values() for line in lines]
        polygon_form = [bool(_POLYGON.fullmatch(line.text)) for line in lines]
        if any(polygon_form):
            self._refuse_mixture(lines, polygon_form)
            return {key: [_polygon(line) for line in lines] for key, lines in self.files.items()}
        if self.protocol == "davar":
            return {key: [_any_length(line) for line in lines] for key, lines in self.files.items()}
        parts = {key: [self._quadrilateral(line) for line in lines] for key, lines in self.files.items()}
        texts = [text for words in parts.values() for _, text in words]
        confident = not self.truth and bool(texts) and all(_is_confidence(text) for text in texts)
        return {key: _finish(words, confident) for key, words in parts.items()}

    def _refuse_mixture(self, lines: list[_Line], polygon_form: list[bool]) -> None:
        if not all(polygon_form):
            raise lines[polygon_form.index(False)].error("x1,y1,...,xn,yn,####text as on other lines of the same archive")

    def _quadrilateral(self, line: _Line) -> tuple[np.ndarray, str]:
        found = _QUADRILATERAL.fullmatch(line.text)
        if not found or (found[2] is None and self.task != "detection"):
            raise line.error("8 coordinates and a text, separated by commas")
        return _points(found[1]), found[2] or ""


def read_annotations(path: str | Path, task: str = "end_to_end", protocol: str = "rrc", truth: bool = False) -> Annotations:
    """Read a zip archive, a folder or a JSON lines file.

    Args:
        path: archive, folder, or ``.jsonl`` in the form that ``predict`` writes.
        task: in ``detection`` texts may be absent.
        protocol: ``davar`` reads polygons of any length without ``####``.
        truth: ground truth has no confidences.

    Raises:
        DataError: names archive, member, line, what was expected and what was found.
    """
    path = Path(path)
    if path.suffix in {".jsonl", ".json"}:
        return Annotations(_read_json_lines(path))
    reader = _Reader(task, protocol, truth)
    ignored = []
    for name, content in _members(path):
        member = PurePosixPath(name)
        if member.suffix != ".txt":
            ignored.append(name)
            continue
        key = image_key(member.stem)
        if key in reader.files:
            raise DataError(f"{path}, {name}: image {key} has two files; keep one")
        lines = content.decode("utf-8-sig", "replace").replace("\r", "").split("\n")
        reader.files[key] = [_Line(line, f"{path}, {name}", i) for i, line in enumerate(lines, 1) if line.strip()]
    if not reader.files:
        raise DataError(f"{path} holds no .txt file; expected one per image such as gt_img_1.txt or res_img_1.txt")
    return Annotations(reader.parse(), tuple(ignored))


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file in an archive or, without its subfolders, in a folder."""
    if path.is_dir():
        for file in sorted(path.iterdir()):
            if file.is_file():
                yield file.name, file.read_bytes()
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if not info.is_dir() and not info.filename.startswith("__MACOSX/"):
                    yield info.filename, archive.read(info)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; give a zip archive, a folder or a .jsonl file") from error
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read as a zip archive ({error}); give one, a folder or a .jsonl file") from error


def _points(numbers: str) -> np.ndarray:
    return np.array(numbers.split(","), np.float32).reshape(-1, 2)


def _polygon(line: _Line) -> Word:
    numbers, text = _POLYGON.fullmatch(line.text).groups()
    if numbers.count(",") % 2 == 0:
        raise line.error("an even number of coordinates before ,####")
    return Word(_points(numbers), _unquoted(text.strip()), 1.0)


def _any_length(line: _Line) -> Word:
    found = _ANY_LENGTH.fullmatch(line.text)
    if not found or found[1].count(",") % 2 == 0:
        raise line.error("an even number of coordinates, at least 6, and a text without commas")
    return Word(_points(found[1]), found[2], 1.0)


def _is_confidence(text: str) -> bool:
    found = _CONFIDENCE.fullmatch(text)
    return bool(found) and float(found[1]) <= 1


def _finish(words: list[tuple[np.ndarray, str]], confident: bool) -> list[Word]:
    """Split confidences from texts where there are any, the most confident first."""
    if not confident:
        return [Word(polygon, _unquoted(text), 1.0) for polygon, text in words]
    columns = [(polygon, *_CONFIDENCE.fullmatch(text).groups()) for polygon, text in words]
    scored = [Word(polygon, _unquoted(text), float(confidence)) for polygon, confidence, text in columns]
    return sorted(scored, key=lambda word: -word.score)


def _unquoted(text: str) -> str:
    found = _QUOTED.fullmatch(text)
    return found[1].replace("\\\\", "\\").replace('\\"', '"') if found else text


def _read_json_lines(path: Path) -> dict[str, list[Word]]:
    """Read the form that ``predict`` writes; ``"ignore": true`` makes a don't-care region."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); give a UTF-8 file with one JSON object a line") from error
    images: dict[str, list[Word]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            key = image_key(Path(entry["image"]).stem)
            words = [_word(item) for item in entry["words"]]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f'{path}, line {number}: expected {{"image": NAME, "words": [{{"polygon": [[x, y], ...], "text": TEXT}}]}}, '
                f"found a fault ({type(error).__name__}: {error})"
            ) from error
        if key in images:
            raise DataError(f"{path}, line {number}: image {key} stands there twice; keep one")
        images[key] = words
    return images


def _word(item: dict) -> Word:
    polygon = np.asarray(item["polygon"], np.float32).reshape(-1, 2)
    return Word(polygon, IGNORED if item.get("ignore") else str(item.get("text", "")), float(item.get("score", 1.0)))
