"""Total-Text: curved words as polygons."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from dld_spotter.core.batches import TextInstances
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.core.files import read_lines
from dld_spotter.data.readers.fields import with_even_sides, within_reach
from dld_spotter.data.readers.mat import read_mat, text_of
from dld_spotter.data.readers.paired import PairedDataset, split_folders

SPLITS = ("Train", "Test")
TRUTHS = ("txt_format", "groundtruth_text/Polygon", "Groundtruth/Polygon", "gts")
PLAIN = ("images", "gts")
IGNORED = {"#", "###"}
LONGEST = 10_000
"""Characters of a list of transcriptions; what is longer is cut, and so no list."""
_WORD = re.compile(  # lines are wrapped where the arrays are long
    r"x:\s*\[\[(?P<x>[^\]]*)\]\],\s*y:\s*\[\[(?P<y>[^\]]*)\]\],\s*"
    r"ornt:\s*(?P<ornt>\[[^\]]*\]),\s*transcriptions:\s*(?P<text>\[[^\n]*\])"
)
Record = tuple[np.ndarray, str, bool]


class TotalText(PairedDataset):
    """Words as polygons of any number of points, in any form that is in use (https://github.com/cs-chan/Total-Text-Dataset).

    The authors' ``x: [[...]], y: [[...]], ornt: [u'c'], transcriptions: [u'WORD']``, clockwise from the top left, with
    ``#`` for don't-care words; their MATLAB files (``polygt``) with the same; or ``x1,y1,x2,y2,...,####WORD``, the other way
    round, with ``####``+``###`` for don't-care words.

    Args:
        root: holds ``Images/Train`` and ``txt_format/Train`` (or ``Groundtruth/Polygon/Train``), or ``images/`` and ``gts/``,
            or ``train/`` and ``test/`` folders of these.
        split: ``Train`` or ``Test``; None where ``root`` holds one split only.
        strict: raise at the first damaged entry instead of skipping it.
    """

    curved: ClassVar = True
    prefixes: ClassVar = ("poly_gt_", "gt_", "")
    suffixes: ClassVar = (".txt", ".mat")

    def __init__(self, root: str | Path | None, split: str | None = None, strict: bool = False) -> None:
        if split is not None and split not in SPLITS:
            raise ConfigError(f"data.split={split} is unknown; use {', '.join(SPLITS)} or null")
        official = [(f"Images/{split}", f"{truths}/{split}") for truths in TRUTHS] if split else []
        named = split_folders(split.lower() if split else None, [PLAIN])
        super().__init__(root, [*official, *named, PLAIN], strict)

    def parse(self, path: Path) -> TextInstances:
        """Read a ground-truth file."""
        records = list(_mat_records(path) if path.suffix.lower() == ".mat" else _text_records(path))
        texts = ["" if ignore else text for _, text, ignore in records]
        return TextInstances.of([polygon for polygon, _, _ in records], texts, [ignore for _, _, ignore in records])


def _mat_records(path: Path) -> Iterator[Record]:
    """Rows ``'x:', x, 'y:', y, text, orientation``."""
    for number, row in enumerate(np.atleast_2d(read_mat(path, "polygt", "gt")), start=1):
        if len(row) < 5:
            raise DataError(f"{path}, word {number}: expected a row of 6 cells, found {len(row)}; restore the published file")
        x, y = ([str(value) for value in np.ravel(row[column])] for column in (1, 3))
        word, orientation = text_of(row[4]), text_of(row[5]) if len(row) > 5 else ""
        yield _polygon(f"{path}, word {number}", x, y), word, word in IGNORED or "#" in orientation


def _text_records(path: Path) -> Iterator[Record]:
    lines = read_lines(path)
    plain = any(",####" in line for line in lines)
    return _plain_records(path, lines) if plain else _official_records(path, "\n".join(lines))


def _plain_records(path: Path, lines: list[str]) -> Iterator[Record]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            coordinates, _, text = line.partition(",####")
            values = coordinates.split(",")
            yield _polygon(f"{path}, line {number}", values[::2], values[1::2])[::-1], text, text in IGNORED


def _official_records(path: Path, text: str) -> Iterator[Record]:
    end = 0
    for match in _WORD.finditer(text):
        number = text.count("\n", 0, match.start()) + 1
        if text[end : match.start()].strip():
            break
        end = match.end()
        polygon = _polygon(f"{path}, line {number}", match["x"].split(), match["y"].split())
        try:
            word = next(iter(ast.literal_eval(match["text"][:LONGEST])), "")
            if not isinstance(word, str):
                raise TypeError(f"{word!r} is no text")
        except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:  # as it is nested too deeply
            raise DataError(
                f"{path}, line {number}: cannot read transcriptions: {match['text']}; correct the quotes"
            ) from error
        yield polygon, word, word in IGNORED or "#" in match["ornt"]
    if text[end:].strip():
        rest = text[end:].lstrip()
        number = text.count("\n", 0, len(text) - len(rest)) + 1
        raise DataError(
            f"{path}, line {number}: expected x: [[...]], y: [[...]], ornt: [...], transcriptions: [...] or "
            f"x1,y1,...,####text, found {rest.splitlines()[0]!r}; correct or remove the line"
        )


def _polygon(where: str, x: list[str], y: list[str]) -> np.ndarray:
    try:
        polygon = np.stack([np.array(x, np.float32), np.array(y, np.float32)], axis=1)
    except ValueError:
        polygon = np.zeros((0, 2))
    if len(polygon) < 3 or not within_reach(polygon):
        raise DataError(
            f"{where}: expected the corners of a polygon, found {len(x)} x values ({', '.join(x)}) and "
            f"{len(y)} y values ({', '.join(y)}); correct or remove the word"
        )
    return with_even_sides(polygon)
