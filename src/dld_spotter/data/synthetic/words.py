"""Where the words of rendered scenes come from."""

import string
from bisect import bisect_right
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from dld_spotter.core.charset import PRINTABLE_ASCII
from dld_spotter.core.errors import ConfigError, DataError

BUILT_IN_WORDS = Path(__file__).with_name("words.txt")
BUILT_IN_NAMES = Path(__file__).with_name("names.txt")
DEFAULT_MIX = {"word": 0.6, "number": 0.08, "price": 0.05, "date": 0.03, "code": 0.06, "random": 0.11, "punctuated": 0.07}
KINDS = (*DEFAULT_MIX, "name")
"""What a mix may hold; the default one is older than names, and stays as it is for the scenes that were made with it."""
OPENING = "\"'([{<*#@$&~+-"
CLOSING = ".,:;!?%'\")]}>*+-/"
WRAPPED = ("'{}'", '"{}"', "({})", "[{}]", "{{{}}}", "<{}>")
JOINED = "-'/&.@_:+"
CURRENCY = "$$$€£"
DATE_FORMS = (
    "{d:02}/{m:02}/{y}",
    "{d}.{m}.{y}",
    "{y}-{m:02}-{d:02}",
    "{d:02}.{m:02}.{s:02}",
    "{m}/{d}/{s:02}",
    "{h:02}:{s:02}",
)


@lru_cache(maxsize=8)
def read_words(path: Path) -> tuple[str, ...]:
    """Read a word list, one word a line; empty lines and lines that begin with ``#`` are left out."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"word list {path} cannot be read ({error}); give a UTF-8 text file with one word a line") from error
    words = tuple(word for line in lines if (word := line.strip()) and not word.startswith("#"))
    if not words:
        raise DataError(f"word list {path} holds no word; give a UTF-8 text file with one word a line")
    return words


class WordSource:
    """Draws the words of a scene: dictionary words in every case, names, numbers, prices, dates, codes, random strings.

    Args:
        charset: the characters a word may hold; others are replaced by their other case or left out.
        word_list: file with one word a line; the built-in English list where it is None.
        mix: kind of ``KINDS`` -> relative frequency, ``DEFAULT_MIX`` where None; ``{"random": 1}`` draws from
            ``charset`` alone.
        max_length: longest word in characters.
    """

    def __init__(
        self,
        charset: str = PRINTABLE_ASCII,
        word_list: str | Path | None = None,
        mix: Mapping[str, float] | None = None,
        max_length: int = 24,
    ) -> None:
        mix = dict(DEFAULT_MIX if mix is None else mix)
        unknown = sorted(set(mix) - set(KINDS))
        if unknown or min(mix.values(), default=0) < 0 or sum(mix.values()) <= 0:
            raise ConfigError(f"words.mix must map some of {sorted(KINDS)} to frequencies of at least 0, found {mix}")
        if not charset.strip() or max_length < 1:
            raise ConfigError(
                f"words.charset must hold characters and words.max_length be positive, found {charset!r}, {max_length}"
            )
        self.charset = "".join(char for char in charset if not char.isspace())
        self.max_length = max_length
        self.words = read_words(Path(word_list) if word_list else BUILT_IN_WORDS)
        self._members = frozenset(self.charset)
        self._kinds = tuple(mix)
        self._thresholds = (np.cumsum(list(mix.values()))[:-1] / sum(mix.values())).tolist()

    def draw(self, rng: np.random.Generator) -> str:
        """Draw one word of 1 to ``max_length`` characters, all of them in the charset."""
        kind = self._kinds[bisect_right(self._thresholds, rng.random())]
        make: dict[str, Callable[[np.random.Generator], str]] = {
            "word": self._word,
            "number": _number,
            "price": _price,
            "date": _date,
            "code": _code,
            "random": self._random,
            "punctuated": self._punctuated,
            "name": _name,
        }
        return self._fit(make[kind](rng)) or self._random(rng)

    def _fit(self, text: str) -> str:
        if self._members.issuperset(text):
            return text[: self.max_length]
        return "".join(fitting for char in text if (fitting := self._fit_character(char)))[: self.max_length]

    def _fit_character(self, char: str) -> str:
        return next((form for form in (char, char.lower(), char.upper()) if form in self._members), "")

    def _word(self, rng: np.random.Generator) -> str:
        word = self.words[int(rng.integers(len(self.words)))]
        style = rng.random()
        if style < 0.36:
            return word
        if style < 0.66:
            return word.capitalize()
        if style < 0.95:
            return word.upper()
        return "".join(char.upper() if upper else char for char, upper in zip(word, rng.random(len(word)) < 0.5, strict=True))

    def _random(self, rng: np.random.Generator) -> str:
        length = int(rng.integers(min(2, self.max_length), min(10, self.max_length) + 1))
        return "".join(self.charset[i] for i in rng.integers(len(self.charset), size=length))

    def _punctuated(self, rng: np.random.Generator) -> str:
        word, form = self._word(rng), rng.random()
        if form < 0.4:
            return word + _pick(rng, CLOSING)
        if form < 0.55:
            return _pick(rng, OPENING) + word
        if form < 0.75:
            return _pick(rng, WRAPPED).format(word)
        return word + _pick(rng, JOINED) + self._word(rng)


def _pick(rng: np.random.Generator, options: str | tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _number(rng: np.random.Generator) -> str:
    digits = int(rng.integers(1, 8))
    value = int(rng.integers(10**digits))
    form = rng.random()
    if form < 0.6:
        return str(value)
    if form < 0.75:
        return f"{value:,}"
    return f"{value % 1000}%" if form < 0.85 else f"{value:0{digits}}"


def _price(rng: np.random.Generator) -> str:
    value = f"{rng.integers(1000) if rng.random() < 0.9 else rng.integers(100000)}.{rng.integers(100):02}"
    form = rng.random()
    return value if form < 0.4 else _pick(rng, CURRENCY) + value if form < 0.9 else value.replace(".", ",")


def _date(rng: np.random.Generator) -> str:
    day, month, year, short, hour = (
        int(rng.integers(low, high)) for low, high in ((1, 29), (1, 13), (1950, 2040), (0, 60), (0, 24))
    )
    return _pick(rng, DATE_FORMS).format(d=day, m=month, y=year, s=short, h=hour)


def _name(rng: np.random.Generator) -> str:
    """Draw a name of a person: given name or surname, at times an initial, a possessive, or all in capitals."""
    name, form = _pick(rng, read_words(BUILT_IN_NAMES)), rng.random()
    if form < 0.08:
        return f"{name[0]}."
    if form < 0.16:
        return f"{name[0]}.{_pick(rng, string.ascii_uppercase)}."
    if form < 0.26:
        return f"{name}'s"
    if form < 0.32:
        return f"{name}-{_pick(rng, read_words(BUILT_IN_NAMES))}"
    return name.upper() if form < 0.5 else name


def _code(rng: np.random.Generator) -> str:
    """Draw letter and digit groups as on number plates and parts, at times joined by a hyphen."""
    groups = []
    for _ in range(int(rng.integers(2, 4))):
        alphabet = string.digits if rng.random() < 0.5 else string.ascii_uppercase
        groups.append("".join(alphabet[i] for i in rng.integers(len(alphabet), size=int(rng.integers(1, 5)))))
    return ("-" if rng.random() < 0.4 else "").join(groups)
