"""Prediction archives in the form of the official scripts, and words as these scripts see them."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from dld_spotter.core.files import whole
from dld_spotter.core.words import Word
from dld_spotter.data.dataset import TextDataset, has_curved_words
from dld_spotter.metrics.formats import CONFIDENCE, unquoted
from dld_spotter.metrics.protocols import DavarProtocol, TotalTextProtocol
from dld_spotter.metrics.rules import Rules

MARK = "####"
"""What stands before the texts of polygons."""


@dataclass(frozen=True)
class PredictionForm:
    """How words are written, a text file per image; ``score`` reads all of these forms.

    What is scored is what is written: a figure of :mod:`dld_spotter.evaluation` is that of the official script on the archive.

    Args:
        polygons: the form for curved words, ``NAME.txt`` with ``x1,y1,...,xn,yn,####text`` lines in hundredths of a pixel;
            else that of ICDAR, ``res_NAME.txt`` with ``x1,y1,...,x4,y4,text`` lines, polygons being reduced to their corners in
            whole pixels.
        confidences: write the score of each word before its text, where a lexicon's policy asks for it; never with polygons.
        commas: whether texts may hold commas; the script of the DLD authors takes what stands behind the last one, and takes
            quotes as they are.
    """

    polygons: bool = False
    confidences: bool = False
    commas: bool = True

    @classmethod
    def of(cls, rules: Rules, dataset: TextDataset) -> Self:
        """The form of a protocol and a data set."""
        if rules.protocol == TotalTextProtocol.name or has_curved_words(dataset):
            return cls(polygons=True)
        if rules.protocol == DavarProtocol.name:
            return cls(commas=False)
        return cls(confidences=rules.lexicon is not None and rules.lexicon.policy == "score_weighted")

    def points(self, polygon: np.ndarray) -> np.ndarray:
        """The points of a polygon ``(P, 2)`` that are written, as they are read again, float32."""
        if self.polygons:
            return np.array([f"{value:.2f}" for value in polygon.ravel().tolist()], np.float32).reshape(-1, 2)
        return corners(polygon).astype(np.float32)

    def line(self, word: Word) -> str:
        """One word."""
        if self.polygons:
            return ",".join(f"{value:.2f}" for value in word.polygon.ravel().tolist()) + f",{MARK}{word.text}"
        numbers = [*map(str, corners(word.polygon).ravel().tolist()), *([_confidence(word)] if self.confidences else [])]
        return ",".join([*numbers, self._protected(word.text)])

    def as_read(self, words: Sequence[Word], keep_scores: bool = False) -> list[Word]:
        """The words as they are read from the archive, in the order in which they compete.

        Args:
            words: what was predicted.
            keep_scores: whether scores that are not written stay; else these are 1.
        """
        read = [Word(self.points(word.polygon), self._text(word.text), self._score(word, keep_scores)) for word in words]
        return sorted(read, key=lambda word: -word.score) if self.confidences else read

    def _score(self, word: Word, keep: bool) -> float:
        """The score of a word as it is read."""
        if self.confidences:
            return float(_confidence(word))
        return word.score if keep else 1.0

    def _text(self, text: str) -> str:
        """A text as it is read."""
        if self.polygons:
            return unquoted(text.partition(f",{MARK}")[0].strip())
        return unquoted(self._protected(text)) if self.commas else self._protected(text)

    def _protected(self, text: str) -> str:
        """A text that cannot be taken for a mark of polygons or for a confidence: in quotes, or behind a space."""
        marked = text.startswith(MARK)
        if not self.commas:
            return " " * marked + text.replace(",", "")
        if not (marked or CONFIDENCE.fullmatch(text)):
            return text
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'

    def write(self, path: Path, words: Mapping[str, Sequence[Word]]) -> None:
        """Write an archive.

        Args:
            path: the archive.
            words: image -> its words, in pixels of the original image.
        """
        member = "{}.txt" if self.polygons else "res_{}.txt"
        with whole(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, found in words.items():
                archive.writestr(member.format(name), "\n".join(map(self.line, found)))


def corners(polygon: np.ndarray) -> np.ndarray:
    """Ends of the upper and of the lower boundary of a polygon ``(P, 2)``, as whole pixels ``(4, 2)``."""
    half = len(polygon) // 2
    return np.rint(polygon[[0, half - 1, half, -1]]).astype(int)


def _confidence(word: Word) -> str:
    return f"{word.score:.4f}"
