"""Total-Text: curved words as polygons."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from dld_spotter.data.readers.paired import PairedDataset, read_lines
from dld_spotter.errors import ConfigError, DataError
from dld_spotter.structures import TextInstances

SPLITS = ("Train", "Test")
TRUTHS = ("txt_format", "groundtruth_text/Polygon", "Groundtruth/Polygon", "gts")
PLAIN = ("images", "gts")
IGNORED = {"#", "###"}
_WORD = re.compile(  # lines are wrapped where the arrays are long
    r"x:\s*\[\[(?P<x>[^\]]*)\]\],\s*y:\s*\[\[(?P<y>[^\]]*)\]\],\s*"
    r"ornt:\s*(?P<ornt>\[[^\]]*\]),\s*transcriptions:\s*(?P<text>\[[^\n]*\])"
)
Record = tuple[np.ndarray, str, bool]


class TotalText(PairedDataset):
    """Words as polygons of any number of points, in either text form that is in use.

    The authors' ``x: [[...]], y: [[...]], ornt: [u'c'], transcriptions: [u'WORD']``, clockwise from the top left, with
    ``#`` for don't-care words; or ``x1,y1,x2,y2,...,####WORD``, the other way round, with ``####``+``###`` for these.

    Args:
        root: holds ``Images/Train`` and ``txt_format/Train`` (or ``Groundtruth/Polygon/Train``), or ``images/`` and ``gts/``.
        split: ``Train`` or ``Test``; None where ``root`` holds one split only.
        strict: raise at the first damaged entry instead of skipping it.
    """

    prefixes: ClassVar = ("poly_gt_", "gt_", "")

    def __init__(self, root: str | Path | None, split: str | None = None, strict: bool = False) -> None:
        if split is not None and split not in SPLITS:
            raise ConfigError(f"data.split={split} is unknown; use {', '.join(SPLITS)} or null")
        official = [(f"Images/{split}", f"{truths}/{split}") for truths in TRUTHS] if split else []
        super().__init__(root, [*official, PLAIN], strict)

    def parse(self, path: Path) -> TextInstances:
        """Read a ground-truth file."""
        lines = read_lines(path)
        plain = any(",####" in line for line in lines)
        records = list(_plain_records(path, lines) if plain else _official_records(path, "\n".join(lines)))
        texts = ["" if ignore else text for _, text, ignore in records]
        return TextInstances.of([polygon for polygon, _, _ in records], texts, [ignore for _, _, ignore in records])


def _plain_records(path: Path, lines: list[str]) -> Iterator[Record]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            coordinates, _, text = line.partition(",####")
            values = coordinates.split(",")
            yield _polygon(path, number, values[::2], values[1::2])[::-1], text, text in IGNORED


def _official_records(path: Path, text: str) -> Iterator[Record]:
    end = 0
    for match in _WORD.finditer(text):
        number = text.count("\n", 0, match.start()) + 1
        if text[end : match.start()].strip():
            break
        end = match.end()
        polygon = _polygon(path, number, match["x"].split(), match["y"].split())
        try:
            word = next(iter(ast.literal_eval(match["text"])), "")
        except (SyntaxError, ValueError) as error:
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


def _polygon(path: Path, number: int, x: list[str], y: list[str]) -> np.ndarray:
    """Build a polygon with equally many points on both sides; where their number is odd, the sides share the middle one."""
    try:
        polygon = np.stack([np.array(x, np.float32), np.array(y, np.float32)], axis=1)
    except ValueError:
        polygon = np.zeros((0, 2))
    if len(polygon) < 3 or not np.isfinite(polygon).all():
        raise DataError(
            f"{path}, line {number}: expected the corners of a polygon, found {len(x)} x values ({', '.join(x)}) and "
            f"{len(y)} y values ({', '.join(y)}); correct or remove the word"
        )
    middle = len(polygon) // 2
    return np.insert(polygon, middle, polygon[middle], axis=0) if len(polygon) % 2 else polygon
