"""Words that a language has: what a text most likely says where its letters leave it open. Needs no torch."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.resources import files
from math import log
from pathlib import Path
from stat import S_ISREG
from typing import Self

import numpy as np

from dld_spotter.core.charset import Charset
from dld_spotter.core.errors import ConfigError

ENGLISH, NONE = "english", "none"
LARGEST = 64 * 2**20
"""Bytes of a file of words."""
WEIGHT = 0.4
"""Of the prior beside the image."""
UNKNOWN = 0.3
"""Share of texts that are no word of a vocabulary."""
CHARACTERS = 50.0
"""Characters that may stand at each place of such a text."""
MOST = 6.0
"""Nats that the prior speaks for a word at most: what the image is surer of stays, however long it is."""
SHORTEST = 3
"""Shorter texts are left as they were read: almost any letters are a word of two."""
TWO_FROM = 5
"""Letters from which on a word may differ in two places."""
EDIT = 6.0
"""What an edit takes from a word when the likeliest of many are picked, in nats."""
SPELLINGS = 4
"""Most words that are tried in place of a text that is none."""
KNOWN_WORD_POWER = 0.75
"""Power to which the score of a word is raised: of texts that are read as surely, words are right far more often than what is
none (experiments/20_language_prior)."""

_WRITTEN = re.compile(r"(?P<before>[\W_]*)(?P<core>.*?)(?P<after>(?:['\u2019][sS])?[\W_]*)", re.DOTALL)

Weigh = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""``(words (M,), labels (M, L)) -> (M,)``: log-probability of M texts, each tried on one of N words of an image."""


@dataclass(frozen=True)
class Vocabulary:
    """Words and how often they are met.

    A prior of texts: a known word is as probable as it is frequent, any other text the less so the longer it is. A reader
    that is given it weighs each text that is no word against the words that are nearest to it, by ``log p(text | image) +
    weight * log p(text)``, which recognisers of speech call shallow fusion (arXiv 1503.03535). It is no lexicon: what the
    image is sure of stays, word or not.

    Args:
        source: ``english``, or a file with one word a line, each alone or, behind a tab, with how often it is met. What is
            met 0 times is known, but never proposed.

    Raises:
        ConfigError: the file is missing, not UTF-8, or a line is something else.
    """

    source: str = ENGLISH
    words: "Words" = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", read_words(self.source))

    @classmethod
    def of(cls, source: str | Path | None) -> Self | None:
        """A vocabulary by name or file, which is remembered by its full path; None for ``none``."""
        if source is None or str(source) == NONE:
            return None
        return cls(ENGLISH if str(source) == ENGLISH else str(Path(source).absolute()))

    @property
    def name(self) -> str:
        """What reports call it."""
        return Path(self.source).name

    def knows(self, text: str) -> bool:
        """Whether a text is a word, without regard to case, to punctuation around it and to a possessive s."""
        return _key(text) in self.words.share or _key(_WRITTEN.fullmatch(text)["core"]) in self.words.share

    def spellings(self, text: str) -> dict[str, float]:
        """Words that a text may stand for, written as it is, and what speaks for them before anything is looked at, in nats.

        None where the text is a word, or too short.
        """
        before, core, after = _WRITTEN.fullmatch(text).group("before", "core", "after")
        if len(core) < SHORTEST or self.knows(text):
            return {}
        strange = log(UNKNOWN) - len(core) * log(CHARACTERS)
        return {
            before + _written_like(core, word) + after: min(WEIGHT * (self.prior(word) - strange), MOST)
            for word in self.words.near(_key(core), SPELLINGS)
        }

    def prior(self, word: str) -> float:
        """Logarithm of how probable a listed word is."""
        return log((1 - UNKNOWN) * self.words.share[word])


@dataclass(frozen=True)
class Words:
    """Distinct words in lower case, and their shares of a text that holds no others."""

    share: Mapping[str, float]

    def __deepcopy__(self, memo: dict) -> Self:
        """Copies of a spotter share them."""
        return self

    @cached_property
    def _by_length(self) -> dict[int, tuple[list[str], np.ndarray, np.ndarray]]:
        """Length -> words that may be proposed, characters ``(length, N)`` and log-shares ``(N,)``."""
        groups: dict[int, list[str]] = {}
        for word, share in self.share.items():
            if share > 0:
                groups.setdefault(len(word), []).append(word)
        return {
            length: (words, _characters(words), np.log([self.share[word] for word in words]))
            for length, words in groups.items()
        }

    def near(self, text: str, most: int) -> list[str]:
        """Words that differ in one place, longer ones in two letters; frequent and near ones first, then as they are listed."""
        query, found = _characters([text]), []
        for length in (len(text), len(text) - 1, len(text) + 1):
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
            found += [(EDIT * edits[k] - shares[k], words[k]) for k in near]
        return [word for _, word in sorted(found, key=lambda offer: offer[0])[:most]]


def rescore(texts: Sequence[str], vocabulary: Vocabulary, charset: Charset, length: int, weigh: Weigh) -> list[str]:
    """Replace texts by words that are likelier, given what they look like.

    Args:
        texts: what was read in N words of an image.
        vocabulary: the prior.
        charset: what the reader writes.
        length: most characters that it writes, END included; what never ended is left as it is.
        weigh: asks the reader how well texts fit to what it saw.
    """
    options: dict[int, dict[str, float]] = {}
    for row, text in enumerate(texts):
        spellings = vocabulary.spellings(text) if len(text) < length else {}
        writable = {word: pull for word, pull in spellings.items() if len(word) < length and not charset.unknown(word)}
        if writable:
            options[row] = {text: 0.0} | writable
    if not options:
        return list(texts)
    rows = np.repeat(list(options), [len(words) for words in options.values()])
    seen = weigh(rows, charset.indices([text for words in options.values() for text in words], length))
    chosen = list(texts)
    for row, words in options.items():
        chosen[row] = list(words)[int(np.argmax(seen[rows == row] + list(words.values())))]
    return chosen


def boost_known_words(scores: np.ndarray, texts: Sequence[str], vocabulary: Vocabulary | None) -> np.ndarray:
    """Scores ``(N,)`` of texts: a word of the vocabulary is rated higher than what is none."""
    if vocabulary is None:
        return scores
    return np.where([vocabulary.knows(text) for text in texts], scores**KNOWN_WORD_POWER, scores)


def least_score(score: float, vocabulary: Vocabulary | None) -> float:
    """The score from which on the vocabulary may lift a text to ``score``."""
    return score if vocabulary is None else score ** (1 / KNOWN_WORD_POWER)


def _key(text: str) -> str:
    """The form in which words are compared."""
    return unicodedata.normalize("NFC", text).lower()


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
    """How many of ``(length, N)`` are true in each column; small integers add up faster than large ones."""
    return where.view(np.uint8).sum(0, dtype=np.uint16)


def word_file(source: str) -> Path:
    """Where the words of a vocabulary are."""
    return Path(str(files("dld_spotter") / "assets" / "vocabularies" / f"{source}.txt")) if source == ENGLISH else Path(source)


def read_words(source: str) -> Words:
    """Read the words of a file, or those that come with the package; raises ConfigError."""
    path = word_file(source)
    try:
        facts = path.stat()
        if not S_ISREG(facts.st_mode) or facts.st_size > LARGEST:  # a device or a pipe might never end
            raise ConfigError(
                f"vocabulary={source} is no file of at most {LARGEST // 2**20} MiB; give english, none, or such a file with "
                "one word a line"
            )
        return _parse(path.resolve(), source, facts.st_mtime_ns, facts.st_size)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"vocabulary={source} cannot be read ({error}); give english, none, or a UTF-8 file with one word a line"
        ) from error


@lru_cache(maxsize=4)
def _parse(path: Path, source: str, _changed: int, _size: int) -> Words:
    """The words of a file as it was at a time."""
    counts: dict[str, float] = {}
    for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        word, *count = line.strip().split("\t")
        try:
            often = float(count[0]) if count else 1.0
        except ValueError:
            often = -1.0
        if len(word.split()) != 1 or len(count) > 1 or not 0 <= often < 1e15:
            raise ConfigError(
                f"vocabulary={source}, line {number}: {line!r} is not a word, alone or with how often it is met behind a tab"
            )
        counts[_key(word.strip())] = counts.get(_key(word.strip()), 0.0) + often
    total = sum(counts.values())
    if not total:
        raise ConfigError(f"vocabulary={source} holds no word that may be proposed; expected one a line")
    return Words({word: often / total for word, often in counts.items()})
