"""The findings of a data set, counted one after the other, so that a large set fits into memory."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dld_spotter.core.batches import TextInstances
from dld_spotter.core.charset import Charset
from dld_spotter.core.geometry import polygons_to_boundaries, word_heights
from dld_spotter.data.inspection import PROBLEMS, Finding, Problem

HEIGHT_EDGES = (0, 5, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Lower ends of the bins of word heights, pixels; the last bin is open."""
SIDE_EDGES = (0, 160, 320, 640, 960, 1280, 1920, 2560, 3840)
"""The same for the long side of images."""
PERCENTILES = (5, 50, 95)
COUNTS = (
    "images",
    "damaged",
    "without_words",
    "words",
    "ignored",
    "without_text",
    "outside_charset",
    "too_long",
    "readable",
)
"""What is counted in each part: images, those that are damaged or without words; words, those that are ignored, have no text,
hold a character outside the charset, or are too long, and those that are left for training to read."""


class Census:
    """Counts what is in a data set and what is wrong with it.

    Args:
        charset: the characters that a spotter can write.
        max_length: the characters of the longest word that is read in training.
        problems: what is wrong with the set beside its images.
    """

    def __init__(self, charset: Charset, max_length: int, problems: Iterable[Problem] = ()) -> None:
        self.charset, self.max_length = charset, max_length
        self.problems = list(problems)
        self.readable, self.with_words = array("q"), array("q")  # numbers of images
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._unknown: Counter[str] = Counter()
        self._heights, self._sides, self._seen = array("f"), array("l"), 0
        self._first: dict[tuple[str, Any], tuple[str, str]] = {}

    def add(self, finding: Finding) -> None:
        """Count an image."""
        number, self._seen = self._seen, self._seen + 1
        counts = self._counts[finding.part]
        self.problems += finding.problems
        counts["images"] += 1
        if finding.words is None or finding.size is None:
            counts["damaged"] += 1
            return
        self.readable.append(number)
        if not finding.words.ignore.all():
            self.with_words.append(number)
        self._sides.append(max(finding.size))
        self._add_words(finding.words, counts)
        self._compare(finding)

    def report(self, examples: int | None = None) -> dict[str, Any]:
        """Return what was counted.

        Args:
            examples: at most so many messages for each kind of problem; None for all.

        Returns:
            plain values, ready for JSON: ``parts`` (train, validation, test and all -> ``COUNTS``), ``unknown_characters``
            (character outside the charset -> how often it stands in words that count), ``word_heights`` and
            ``image_long_sides`` (pixels: edges, counts, percentiles), ``problems`` (kind -> count and examples).
        """
        whole = sum(self._counts.values(), Counter())
        parts = {**self._counts, "all": whole}
        return {
            "parts": {part: {name: counts[name] for name in COUNTS} for part, counts in parts.items()},
            "unknown_characters": dict(self._unknown.most_common()),
            "word_heights": _histogram(self._heights, HEIGHT_EDGES),
            "image_long_sides": _histogram(self._sides, SIDE_EDGES),
            "problems": self._by_kind(examples),
        }

    def _add_words(self, words: TextInstances, counts: Counter[str]) -> None:
        counts["without_words"] += not len(words)
        counts["words"] += len(words)
        counts["ignored"] += int(words.ignore.sum())
        counting = np.flatnonzero(~words.ignore)
        self._heights.extend(word_heights(polygons_to_boundaries([words.polygons[word] for word in counting])).tolist())
        for text in (words.transcriptions[word] for word in counting):
            unknown = self.charset.unknown(text)
            long = len(self.charset.normalize(text)) > self.max_length
            self._unknown.update(unknown)
            counts["without_text"] += not text
            counts["outside_charset"] += bool(unknown)
            counts["too_long"] += long
            counts["readable"] += bool(text) and not unknown and not long

    def _compare(self, finding: Finding) -> None:
        """Note an image that has the pixels of an earlier one, or its name in the same part."""
        keys = (("duplicate image", finding.digest), ("duplicate name", (finding.part, finding.name)))
        place = finding.image or finding.name
        for kind, key in keys:
            if (kind, key) not in self._first:
                self._first[kind, key] = finding.part, place
                continue
            part, other = self._first[kind, key]
            leak = f", which belongs to {part}" if part != finding.part else ""
            twice = f"belongs to {part} too" if leak else "is listed twice"
            self.problems.append(Problem(kind, f"{finding.part} {place}: {twice if place == other else f'as {other}{leak}'}"))

    def _by_kind(self, examples: int | None) -> dict[str, Any]:
        found = {kind: [problem.message for problem in self.problems if problem.kind == kind] for kind in PROBLEMS}
        return {kind: {"count": len(all_), "examples": all_[:examples]} for kind, all_ in found.items() if all_}


def _histogram(values: Sequence[float], edges: Sequence[int]) -> dict[str, Any]:
    numbers = np.asarray(values, float)
    counts, _ = np.histogram(numbers, [*edges, np.inf])
    percentiles = np.percentile(numbers, PERCENTILES).round(1).tolist() if len(numbers) else [None] * len(PERCENTILES)
    return {
        "edges": list(edges),
        "counts": counts.tolist(),
        "percentiles": dict(zip(map(str, PERCENTILES), percentiles, strict=True)),
    }
