"""Prediction archives in the form of the official scripts, and words as these scripts see them."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from dld_spotter.core.words import Word
from dld_spotter.data.dataset import TextDataset, has_curved_words
from dld_spotter.metrics.formats import unquoted
from dld_spotter.metrics.protocols import TotalTextProtocol
from dld_spotter.metrics.rules import Rules


@dataclass(frozen=True)
class PredictionForm:
    """How words are written, a text file per image; ``score`` reads both forms.

    What is scored is what is written: a figure of :mod:`dld_spotter.evaluation` is that of the official script on the archive.

    Args:
        polygons: the form for curved words, ``NAME.txt`` with ``x1,y1,...,xn,yn,####text`` lines in hundredths of a pixel; else
            that of ICDAR, ``res_NAME.txt`` with ``x1,y1,...,x4,y4,text`` lines, polygons being reduced to their corners in
            whole pixels.
    """

    polygons: bool = False

    @classmethod
    def of(cls, rules: Rules, dataset: TextDataset) -> Self:
        """The form of a protocol and a data set."""
        return cls(rules.protocol == TotalTextProtocol.name or has_curved_words(dataset))

    def points(self, polygon: np.ndarray) -> np.ndarray:
        """The points of a polygon ``(P, 2)`` that are written, as they are read again, float32."""
        if self.polygons:
            return np.array([f"{value:.2f}" for value in polygon.ravel().tolist()], np.float32).reshape(-1, 2)
        return corners(polygon).astype(np.float32)

    def line(self, word: Word) -> str:
        """One word."""
        if self.polygons:
            return ",".join(f"{value:.2f}" for value in word.polygon.ravel().tolist()) + f",####{word.text}"
        return ",".join(map(str, corners(word.polygon).ravel().tolist())) + f",{word.text}"

    def as_read(self, words: Sequence[Word]) -> list[Word]:
        """The words as they are read from the archive; their scores, which are not written, stay."""
        return [
            Word(self.points(word.polygon), unquoted(word.text.strip() if self.polygons else word.text), word.score)
            for word in words
        ]

    def write(self, path: Path, words: Mapping[str, Sequence[Word]]) -> None:
        """Write an archive.

        Args:
            path: the archive.
            words: image -> its words, in pixels of the original image.
        """
        member = "{}.txt" if self.polygons else "res_{}.txt"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, found in words.items():
                archive.writestr(member.format(name), "\n".join(map(self.line, found)))


def corners(polygon: np.ndarray) -> np.ndarray:
    """Ends of the upper and of the lower boundary of a polygon ``(P, 2)``, as whole pixels ``(4, 2)``."""
    half = len(polygon) // 2
    return np.rint(polygon[[0, half - 1, half, -1]]).astype(int)
