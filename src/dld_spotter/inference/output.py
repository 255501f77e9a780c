"""A reading as plain values: the lines that ``predict`` writes and the demo shows. Needs no torch."""

import json
from collections.abc import Mapping
from typing import Any

from dld_spotter.budget.requests import DIGITS
from dld_spotter.core.words import Word
from dld_spotter.data.stores import Place
from dld_spotter.inference.layout import TextLine
from dld_spotter.inference.reading import Reading


def to_json(path: Place, reading: Reading, lines: bool = False, page: int | None = None) -> dict[str, Any]:
    """One line of the output: pixels of the original image, GFLOP, seconds; what was read again as a share of the reference.

    ``dropped`` regions were too many to be read.

    Args:
        path: of the image.
        reading: of it.
        lines: whether lines of words are listed, each with the number of its block, in place of words.
        page: number of the page, from 1 on, of a file that may have several.
    """
    blocks = reading.blocks if lines else ()
    found = [_line(line, number) for number, block in enumerate(blocks) for line in block.lines]
    return {
        "image": str(path),
        **({} if page is None else {"page": page}),
        "width": reading.width,
        "height": reading.height,
        "scale": reading.scale,
        "second_pass": round(reading.second_pass_share, 5),
        "relative_cost": round(reading.relative_cost, DIGITS),
        "gflops": round(reading.gflops, DIGITS),
        "seconds": round(reading.seconds, DIGITS),
        "dropped": reading.dropped,
        "pieces": reading.pieces,
        "turned": reading.turned,
        **({"lines": found} if lines else {"words": [_piece(word) for word in reading.words]}),
    }


def _line(line: TextLine, block: int) -> dict[str, Any]:
    return _piece(line) | {"block": block, "words": [_piece(word) for word in line.words]}


def _piece(piece: Word | TextLine) -> dict[str, Any]:
    return {
        "polygon": [[round(x, 1), round(y, 1)] for x, y in piece.polygon.tolist()],
        "text": piece.text,
        "score": round(piece.score, 4),
    }


def as_line(entry: Mapping[str, Any]) -> str:
    """A line of JSON; names that are not UTF-8 are escaped in it, as surrogates, and so lead back to their files."""
    line = json.dumps(entry, ensure_ascii=False)
    return (line if line.isprintable() or _is_utf8(line) else json.dumps(entry)) + "\n"


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
