"""SROIE: scanned receipts with text lines."""

import re
from pathlib import Path

import numpy as np

from dld_spotter.data.readers.paired import PairedDataset, candidate_folders, read_quads
from dld_spotter.structures import TextInstances

FOLDERS = [("images", "gts"), ("img", "box"), (".", ".")]


class SROIE(PairedDataset):
    """Text lines as quadrilaterals, one ``x1,y1,x2,y2,x3,y3,x4,y4,text with spaces`` a line.

    Args:
        root: holds ``images/`` and ``gts/``, or ``img/`` and ``box/``, or images and texts side by side.
        split: ``train`` or ``test``; None where ``root`` holds one split only.
        split_words: cut every line into words, see :func:`split_line`.
        strict: raise at the first damaged entry instead of skipping it.
    """

    def __init__(
        self, root: str | Path | None, split: str | None = None, split_words: bool = True, strict: bool = False
    ) -> None:
        self.split_words = split_words
        super().__init__(root, candidate_folders(split, FOLDERS, {}), strict)

    def parse(self, path: Path) -> TextInstances:
        """Read a ground-truth file."""
        quads, texts = read_quads(path)
        if not self.split_words:
            return TextInstances.of(quads, texts)
        words = [word for quad, text in zip(quads, texts, strict=True) for word in split_line(quad, text)]
        return TextInstances.of([quad for quad, _ in words], [text for _, text in words])


def split_line(quad: np.ndarray, text: str) -> list[tuple[np.ndarray, str]]:
    """Cut a line ``(4, 2)`` into its words, as if every character, spaces included, were equally wide.

    A line without text stays one word without text.

    >>> [(quad[:2, 0].tolist(), word) for quad, word in split_line(np.array([[0, 0], [50, 0], [50, 9], [0, 9]]), "AB CD")]
    [([0.0, 20.0], 'AB'), ([30.0, 50.0], 'CD')]
    """
    top_left, top_right, bottom_right, bottom_left = quad
    words = []
    for match in re.finditer(r"\S+", text):
        start, end = match.start() / len(text), match.end() / len(text)
        upper = [top_left + share * (top_right - top_left) for share in (start, end)]
        lower = [bottom_left + share * (bottom_right - bottom_left) for share in (end, start)]
        words.append((np.stack([*upper, *lower]), match.group()))
    return words or [(quad, "")]
