"""Lexicons: lists of words to which readings are corrected before they are compared with the truth."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import dropwhile
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.core.files import read_bounded
from dld_spotter.core.words import Word

Policy = Literal["davar", "adelaidet", "score_weighted"]
POLICIES: tuple[str, ...] = get_args(Policy)
FARTHEST = 1.5
CHUNK = 128
LARGEST = 2**24
"""Bytes of a list; the generic one of ICDAR2015, 90,000 words, has less than one million."""


@dataclass(frozen=True)
class WordList:
    """Words and the policy by which readings are replaced by the nearest of them, case folded.

    ``davar``: always the nearest, however far. ``adelaidet``: a reading farther than 1.5 edits from every word is
    dropped. ``score_weighted``: likewise, with the distance multiplied by the reading's score, so that a doubtful
    reading may be corrected farther than a sure one. Of equally near words the first one in the list is taken.
    """

    words: tuple[str, ...]
    policy: Policy = "adelaidet"
    _cache: dict[str, tuple[str, int]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ConfigError(f"policy={self.policy} is unknown; choose one of {', '.join(POLICIES)}")
        if not self.words:
            raise ConfigError("a lexicon must hold at least one word; found none")

    @cached_property
    def _folded(self) -> list[str]:
        return [word.upper() for word in self.words]

    def nearest(self, texts: Iterable[str]) -> list[tuple[str, int]]:
        """The nearest word of the list and its edit distance, for each text.

        Many texts at once are looked up ten times as fast as one by one; answers are remembered.
        """
        folded = [text.upper() for text in texts]
        unknown = list(dict.fromkeys(text for text in folded if text not in self._cache))
        for start in range(0, len(unknown), CHUNK):
            chunk = unknown[start : start + CHUNK]
            distances = process.cdist(chunk, self._folded, scorer=Levenshtein.distance, dtype=np.uint16)
            for text, row, place in zip(chunk, distances, distances.argmin(1), strict=True):
                self._cache[text] = (self.words[place], int(row[place]))
        return [self._cache[text] for text in folded]

    def apply(self, words: Sequence[Word]) -> list[Word]:
        """Correct the words of one image; those that the policy drops are missing from the result."""
        return [word for word in self.correct(words) if word is not None]

    def correct(self, words: Sequence[Word]) -> list[Word | None]:
        """For each word the word it is corrected to, None where the policy drops it."""
        corrected: list[Word | None] = []
        for word, (text, distance) in zip(words, self.nearest(word.text for word in words), strict=True):
            weight = word.score if self.policy == "score_weighted" else 1.0
            kept = self.policy == "davar" or distance * weight < FARTHEST
            corrected.append(replace(word, text=text) if kept else None)
        return corrected


@dataclass(frozen=True)
class Lexicon:
    """One list for all images (weak, generic, full), or one per image (strong)."""

    name: str
    shared: WordList | None
    per_image: dict[str, WordList] = field(default_factory=dict)

    @property
    def policy(self) -> Policy:
        """How readings are corrected."""
        return (self.shared or next(iter(self.per_image.values()))).policy

    def of(self, image: str) -> WordList:
        """The words for an image, by its number or name; raises :class:`DataError` where a strong list is missing."""
        words = self.shared or self.per_image.get(image_key(image))
        if words is None:
            raise DataError(f"lexicon {self.name} has no list for image {image}; add voc_img_{image}.txt")
        return words

    @classmethod
    def read(cls, path: str | Path, policy: Policy = "adelaidet") -> "Lexicon":
        """Read a file with one word a line, or a folder of such files, one per image (``voc_img_7.txt``).

        A byte-order mark, blank lines and the header of the generic list (leading lines that start with ``#``) are skipped.
        """
        path = Path(path)
        if path.is_dir():
            lists = {image_key(file.stem): WordList(_read_words(file), policy) for file in sorted(path.glob("*.txt"))}
            if not lists:
                raise DataError(f"lexicon folder {path} holds no .txt file; expected one list per image such as voc_img_1.txt")
            return cls(path.name, None, lists)
        return cls(path.stem, WordList(_read_words(path), policy))


def image_key(name: str) -> str:
    """What identifies an image across truth, predictions and lexicons: its name without the official affixes.

    >>> [image_key(name) for name in ("gt_img_12", "res_img_12", "voc_img_12", "poly_gt_img12", "0000012", "scene_3")]
    ['12', '12', '12', '12', '0000012', 'scene_3']
    """
    stem = re.sub(r"^(poly_)?(new_)?(gt_|res_|voc_|pred_)?", "", name)
    return re.sub(r"^img_?(?=\d+$)", "", stem)


def _read_words(path: Path) -> tuple[str, ...]:
    try:
        lines = re.split(r"\r*\n|\r", read_bounded(path, LARGEST).decode("utf-8-sig"))  # splitlines also breaks at U+2028
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"lexicon {path} cannot be read ({error}); give a UTF-8 text file with one word a line") from error
    words = tuple(word for line in dropwhile(lambda line: line.startswith("#"), lines) if (word := line.strip()))
    if not words:
        raise DataError(f"lexicon {path} holds no word; expected one a line")
    return words
