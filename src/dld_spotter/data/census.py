"""The findings of a data set, counted."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from dld_spotter.charset import Charset
from dld_spotter.data.inspection import PROBLEMS, Finding, Problem, duplicates, heights

HEIGHT_EDGES = (0, 5, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Lower ends of the bins of word heights, pixels; the last bin is open."""
SIDE_EDGES = (0, 160, 320, 640, 960, 1280, 1920, 2560, 3840)
"""The same for the long side of images."""
PERCENTILES = (5, 50, 95)


def take_census(
    findings: Sequence[Finding], problems: Sequence[Problem], charset: Charset, max_length: int, examples: int | None = None
) -> dict[str, Any]:
    """Count images, words, characters and problems.

    Args:
        findings: of every image.
        problems: all of them, see :func:`all_problems`.
        charset: the characters that a spotter can write.
        max_length: the characters of the longest word that is read in training.
        examples: at most so many messages for each kind of problem; None for all.

    Returns:
        plain values, ready for JSON: ``parts`` (train, validation, test and all -> counts), ``unknown_characters`` (character
        outside the charset -> how often it stands in words that count), ``word_heights`` and ``image_long_sides`` (pixels:
        edges, counts, percentiles), ``problems`` (kind -> count and examples).
    """
    unknown: Counter[str] = Counter()
    for finding in findings:
        for text in _texts(finding):
            unknown.update(charset.unknown(text))
    sides = np.array([max(finding.size) for finding in findings if finding.size], float)
    parts = list(dict.fromkeys(finding.part for finding in findings))
    by_part = {part: [finding for finding in findings if finding.part == part] for part in parts} | {"all": list(findings)}
    return {
        "parts": {part: _counts(members, charset, max_length) for part, members in by_part.items()},
        "unknown_characters": dict(unknown.most_common()),
        "word_heights": _histogram(heights(findings), HEIGHT_EDGES),
        "image_long_sides": _histogram(sides, SIDE_EDGES),
        "problems": _by_kind(problems, examples),
    }


def all_problems(findings: Sequence[Finding]) -> list[Problem]:
    """Problems of single images and those between images."""
    return [problem for finding in findings for problem in finding.problems] + duplicates(findings)


def _counts(findings: Sequence[Finding], charset: Charset, max_length: int) -> dict[str, int]:
    read = [finding for finding in findings if finding.words is not None]
    texts = [text for finding in read for text in _texts(finding)]
    words = sum(len(finding.words) for finding in read)
    ignored = sum(int(finding.words.ignore.sum()) for finding in read)
    foreign = [bool(charset.unknown(text)) for text in texts]
    long = [len(charset.normalize(text)) > max_length for text in texts]
    return {
        "images": len(findings),
        "damaged": len(findings) - len(read),
        "without_words": sum(not len(finding.words) for finding in read),
        "words": words,
        "ignored": ignored,
        "without_text": words - ignored - len(texts),
        "outside_charset": sum(foreign),
        "too_long": sum(long),
        "readable": sum(not (a or b) for a, b in zip(foreign, long, strict=True)),
    }


def _texts(finding: Finding) -> list[str]:
    """Texts of the words that count and have one."""
    if finding.words is None:
        return []
    words = zip(finding.words.transcriptions, finding.words.ignore, strict=True)
    return [text for text, ignore in words if text and not ignore]


def _histogram(values: np.ndarray, edges: Sequence[int]) -> dict[str, Any]:
    counts, _ = np.histogram(values, [*edges, np.inf])
    percentiles = np.percentile(values, PERCENTILES).round(1).tolist() if len(values) else [None] * len(PERCENTILES)
    return {
        "edges": list(edges),
        "counts": counts.tolist(),
        "percentiles": dict(zip(map(str, PERCENTILES), percentiles, strict=True)),
    }


def _by_kind(problems: Sequence[Problem], examples: int | None) -> dict[str, Any]:
    kinds = {kind: [problem.message for problem in problems if problem.kind == kind] for kind in PROBLEMS}
    return {kind: {"count": len(found), "examples": found[:examples]} for kind, found in kinds.items() if found}
