"""How well two readings of the same photos agree."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dld_spotter.core.words import Word
from dld_spotter.inference.predictor import Reading

POLYGON_TOLERANCE = 0.5
"""Pixels of the photo by which a corner may differ."""
SCORE_TOLERANCE = 1e-3
LEAST = {"polygons": 0.99, "texts": 0.995, "scores": 0.99}
"""Share of the words that has to agree."""


@dataclass(frozen=True)
class Agreement:
    """Counts over the words of photos; one that only one side found agrees in nothing.

    Args:
        words: words that either side found.
        polygons: of these, words all of whose corners agree.
        texts: words with the same text.
        scores: words whose scores agree.
    """

    words: int = 0
    polygons: int = 0
    texts: int = 0
    scores: int = 0

    @classmethod
    def of(cls, pairs: Iterable[tuple[Reading, Reading]]) -> "Agreement":
        """Compare readings pair by pair."""
        counts = [compare_words(first.words, second.words) for first, second in pairs]
        return cls(*(sum(column) for column in zip(*counts, strict=True)))

    def shares(self) -> dict[str, float]:
        """Share of the words that agrees, 1.0 where there are none."""
        return {name: getattr(self, name) / self.words if self.words else 1.0 for name in ("polygons", "texts", "scores")}


def compare_words(first: Sequence[Word], second: Sequence[Word]) -> tuple[int, int, int, int]:
    """Pair words by their polygons; returns how many there are, and how many agree in polygon, text and score.

    >>> word = Word(np.zeros((4, 2), np.float32), "cat", 0.9)
    >>> compare_words([word, word], [Word(word.polygon + 0.4, "cat", 0.8)])
    (2, 1, 1, 0)
    """
    pairs = _pair(first, second)
    polygons = sum(_distance(a, b) <= POLYGON_TOLERANCE for a, b in pairs)
    texts = sum(a.text == b.text for a, b in pairs)
    scores = sum(abs(a.score - b.score) <= SCORE_TOLERANCE for a, b in pairs)
    return len(first) + len(second) - len(pairs), polygons, texts, scores


def _pair(first: Sequence[Word], second: Sequence[Word]) -> list[tuple[Word, Word]]:
    """Pair each word with the nearest that is left, nearest pairs first; words whose outlines differ in length never pair."""
    candidates = [(_distance(a, b), i, j) for i, a in enumerate(first) for j, b in enumerate(second)]
    pairs, left, right = [], set(range(len(first))), set(range(len(second)))
    for distance, i, j in sorted(candidates):
        if np.isfinite(distance) and i in left and j in right:
            left.remove(i)
            right.remove(j)
            pairs.append((first[i], second[j]))
    return pairs


def _distance(first: Word, second: Word) -> float:
    """Greatest difference of a coordinate, pixels."""
    if first.polygon.shape != second.polygon.shape:
        return float("inf")
    return float(np.abs(first.polygon - second.polygon).max())
