"""Words that a language has: what a text most likely says where its letters leave it open. Needs no torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.resources import files
from math import log
from pathlib import Path
from string import punctuation
from typing import Self

import numpy as np

from dld_spotter.charset import Charset
from dld_spotter.errors import ConfigError

ENGLISH, NONE = "english", "none"
SHORTEST = 3
"""Shorter texts are left as they were read: almost any letters are a word of two."""
TWO_FROM = 5
"""Letters from which on a word may differ in two places."""
EDIT = 6.0
"""What an edit takes from a word when the likeliest of many are picked, in nats."""
SPELLINGS = 4
"""Most words that are tried in place of a text that is none."""

Weigh = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""``(words (M,), labels (M, L)) -> (M,)``: log-probability of M texts, each tried on one of N words."""


@dataclass(frozen=True)
class Vocabulary:
    """Words and how often they are met.

    A prior of texts: a known word is as probable as it is frequent, any other text the less so the longer it is. A reader
    that is given it weighs each text that is no word against the words that are nearest to it, by ``log p(text | image) +
    weight * log p(text)``, which recognisers of speech call shallow fusion (arXiv 1503.03535). It is no lexicon: whatever is
    read surely stays, word or not.

    Args:
        source: ``english``, or a file with one word a line, each alone or with how often it is met: ``the 23135851162``.
        weight: of the prior beside the image.
        unknown: share of the texts that are no word of the vocabulary.
        letters: characters that may stand at each place of such a text.

    Raises:
        ConfigError: the file is missing, not UTF-8, or a line is not a word with a number; or a number is out of range.
    """

    source: str = ENGLISH
    weight: float = 0.4
    unknown: float = 0.3
    letters: float = 50.0
    words: "Words" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not (self.weight >= 0 and 0 < self.unknown < 1 and self.letters > 1):
            raise ConfigError(f"a vocabulary needs a weight of at least 0, 0 < unknown < 1 and letters above 1, found {self}")
        object.__setattr__(self, "words", read_words(self.source))

    @classmethod
    def of(cls, source: str | Path | None) -> Self | None:
        """A vocabulary by name or file; None for ``none``."""
        return None if source is None or str(source) == NONE else cls(str(source))

    def knows(self, text: str) -> bool:
        """Whether a text is a word, without regard to case and to punctuation around it."""
        return _core(text).lower() in self.words.share

    def prior(self, text: str) -> float:
        """Logarithm of how probable a text is before it was looked at."""
        share = self.words.share.get(_core(text).lower())
        if share is None:
            return log(self.unknown) - len(text) * log(self.letters)
        return log((1 - self.unknown) * share)

    def spellings(self, text: str) -> list[str]:
        """Words that a text may stand for, written as it is; none where it is a word, or too short."""
        core = _core(text)
        if len(core) < SHORTEST or self.knows(text):
            return []
        before, _, after = text.partition(core)
        return [before + _written_like(core, word) + after for word in self.words.near(core.lower(), SPELLINGS)]


@dataclass(frozen=True)
class Words:
    """Distinct words in lower case, and their shares of a text that holds no others."""

    share: Mapping[str, float]

    def __deepcopy__(self, memo: dict) -> Self:
        """Copies of a spotter share them."""
        return self

    @cached_property
    def _by_length(self) -> dict[int, tuple[list[str], np.ndarray, np.ndarray]]:
        """Length -> words, characters ``(length, N)`` and log-shares ``(N,)``."""
        groups: dict[int, list[str]] = {}
        for word in self.share:
            groups.setdefault(len(word), []).append(word)
        return {
            length: (words, _characters(words), np.log([self.share[word] for word in words]))
            for length, words in groups.items()
        }

    def near(self, text: str, most: int) -> list[str]:
        """Words that differ in one place, longer ones in two letters; those that are frequent and near first."""
        query, found = _characters([text]), []
        for length in (len(text) - 1, len(text), len(text) + 1):
            if length not in self._by_length:
                continue
            words, characters, shares = self._by_length[length]
            if length == len(text):
                edits = _count(characters != query)
                near = np.flatnonzero(edits <= (2 if len(text) >= TWO_FROM else 1))
            else:  # a letter more or less: what is before it agrees, and what is behind it
                shorter = min(length, len(text))
                begin = _count(np.logical_and.accumulate(characters[:shorter] == query[:shorter]))
                end = _count(np.logical_and.accumulate(characters[::-1][:shorter] == query[::-1][:shorter]))
                edits = np.ones_like(begin)
                near = np.flatnonzero(begin + end >= shorter)
            found += [(shares[k] - EDIT * edits[k], words[k]) for k in near]
        return [word for _, word in sorted(found, reverse=True)[:most]]


def proofread(texts: Sequence[str], vocabulary: Vocabulary, charset: Charset, length: int, weigh: Weigh) -> list[str]:
    """Replace texts by words that are likelier, given what they look like.

    Args:
        texts: what was read in N words of an image.
        vocabulary: the prior.
        charset: what the reader writes.
        length: most characters that it writes, END included.
        weigh: asks the reader how well texts fit to what it saw.
    """
    trials = [(row, text) for row, text in enumerate(texts) for text in (text, *_writable(vocabulary, text, charset, length))]
    rows = np.array([row for row, _ in trials], np.int64)
    open_rows = np.flatnonzero(np.bincount(rows, minlength=len(texts)) > 1)
    asked = np.flatnonzero(np.isin(rows, open_rows))
    if not len(asked):
        return list(texts)
    tried = [trials[k][1] for k in asked]
    found = weigh(rows[asked], charset.indices(tried, length)) + vocabulary.weight * np.array(
        [vocabulary.prior(text) for text in tried]
    )
    chosen = list(texts)
    for row in open_rows.tolist():
        own = np.flatnonzero(rows[asked] == row)
        chosen[row] = tried[own[found[own].argmax()]]
    return chosen


def _writable(vocabulary: Vocabulary, text: str, charset: Charset, length: int) -> list[str]:
    return [word for word in vocabulary.spellings(text) if len(word) < length and not charset.unknown(word)]


def _core(text: str) -> str:
    return text.strip(punctuation)


def _written_like(text: str, word: str) -> str:
    """Write a word in the case of a text, of which single letters may be wrong."""
    upper, lower = sum(map(str.isupper, text)), sum(map(str.islower, text))
    if upper > max(lower, 1):
        return word.upper()
    return word[:1].upper() + word[1:] if text[:1].isupper() else word


def _characters(words: Sequence[str]) -> np.ndarray:
    """Code points ``(length, N)`` of words of one length."""
    points = np.frombuffer("".join(words).encode("utf-32-le"), np.uint32).reshape(len(words), -1)
    return np.ascontiguousarray(points.T)


def _count(where: np.ndarray) -> np.ndarray:
    """How many of ``(length, N)`` are true in each column; bytes add up faster than 64-bit integers."""
    return where.view(np.uint8).sum(0, dtype=np.uint8)


def word_file(source: str) -> Path:
    """Where the words of a vocabulary are."""
    return Path(str(files("dld_spotter") / "vocabularies" / f"{source}.txt")) if source == ENGLISH else Path(source)


def read_words(source: str) -> Words:
    """Read the words of a file, or those that come with the package; raises ConfigError."""
    path = word_file(source)
    try:
        return _parse(source, path.stat().st_mtime_ns)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"vocabulary={source} cannot be read ({error}); give english, none, or a UTF-8 file with one word a line"
        ) from error


@lru_cache(maxsize=4)
def _parse(source: str, _changed: int) -> Words:
    """The words of a file that was changed last at a time."""
    counts: dict[str, float] = {}
    lines = word_file(source).read_text("utf-8-sig").splitlines()
    for number, line in enumerate(lines, 1):
        word, *count = line.split()[:2] or [""]
        if not word or word.startswith("#"):
            continue
        try:
            often = float(count[0]) if count else 1.0
        except ValueError:
            often = 0.0
        if not often > 0:
            raise ConfigError(f"vocabulary={source}, line {number}: {line!r} is not a word, or a word and how often it is met")
        counts[word.lower()] = counts.get(word.lower(), 0.0) + often
    if not counts:
        raise ConfigError(f"vocabulary={source} holds no word; expected one a line")
    total = sum(counts.values())
    return Words({word: often / total for word, often in counts.items()})
