"""Blocks of text: lines of words in one font and size, before they are put on a surface."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dld_spotter.core.errors import ConfigError
from dld_spotter.data.synthetic.fonts import FontBook, FontFace
from dld_spotter.data.synthetic.glyphs import Ink, set_word
from dld_spotter.data.synthetic.surface import Box
from dld_spotter.data.synthetic.words import WordSource

EM_PER_HEIGHT = 1.25  # em size of a word whose capitals, with the box's margin, are one unit high
DRAWS = 4  # words tried for a place before it is given up


@dataclass(frozen=True)
class LaidWord:
    """A drawn word and the place of its pen's start in block coordinates."""

    text: str
    ink: Ink
    x: float
    y: float

    @cached_property
    def box(self) -> Box:
        """Rectangle of the word in block coordinates."""
        left, top, right, bottom = self.ink.box
        return left + self.x, top + self.y, right + self.x, bottom + self.y

    def moved(self, x: float, y: float) -> "LaidWord":
        """Return the word at a place shifted by ``(x, y)``."""
        return LaidWord(self.text, self.ink, self.x + x, self.y + y)


@dataclass(frozen=True)
class Block:
    """Words laid out around the origin; ``em`` is their size in pixels and ``box`` encloses them all."""

    words: tuple[LaidWord, ...]
    em: float

    @cached_property
    def box(self) -> Box:
        """Rectangle around all words."""
        lefts, tops, rights, bottoms = zip(*(word.box for word in self.words), strict=True)
        return min(lefts), min(tops), max(rights), max(bottoms)


class Typesetter:
    """Draws words from a source and sets them in lines, with fonts from a book.

    Args:
        words: source of words.
        fonts: source of fonts.
        spacing: least and largest space between the words of a line in em, beside two pixels.

    Raises:
        ConfigError: ``spacing`` is no range of lengths.
    """

    def __init__(self, words: WordSource, fonts: FontBook, spacing: Sequence[float] = (0.25, 0.6)) -> None:
        if len(spacing) != 2 or not 0 <= spacing[0] <= spacing[1]:
            raise ConfigError(f"renderer.spacing must be two lengths in em of at least 0 in order, found {list(spacing)}")
        self.words = words
        self.fonts = fonts
        self.spacing = tuple(spacing)

    def word(self, rng: np.random.Generator, em: float, limit: float, smallest: float) -> Block | None:
        """Set one word of at most ``limit`` pixels; a longer one is shrunk as far as ``smallest`` pixels per em.

        Returns:
            A block of one word, or None where none of a few words fits.
        """
        preferred, tracking = self.fonts.draw(rng), _draw_tracking(rng)
        for _ in range(DRAWS):
            text = self.words.draw(rng)
            path = self.fonts.covering(text, preferred, rng).path
            ink = set_word(text, path, em, tracking)
            if ink is None:
                continue
            if ink.width > limit and em * limit / ink.width >= smallest:
                em *= limit / ink.width
                ink = set_word(text, path, em, tracking)
            if ink is not None and ink.width <= 1.02 * limit:
                left, top, right, bottom = ink.box
                return Block((LaidWord(text, ink, -(left + right) / 2, -(top + bottom) / 2),), em)
        return None

    def block(self, rng: np.random.Generator, em: float, limit: float, smallest: float, lines: list[int]) -> Block | None:
        """Set several lines in one font; a word that would pass ``limit`` pixels is left out.

        Args:
            rng: source of randomness.
            em: pixels per em.
            limit: largest width in pixels.
            smallest: least pixels per em that a word alone is shrunk to.
            lines: wanted number of words in each line.
        """
        if lines == [1]:
            return self.word(rng, em, limit, smallest)
        face, tracking = self.fonts.draw(rng), _draw_tracking(rng)
        space, leading = em * (rng.uniform(*self.spacing) + 2 * max(tracking, 0.0)) + 2, em * rng.uniform(1.15, 1.7)
        rows = [row for count in lines if (row := self._line(rng, em, face, tracking, limit, count, space))]
        if not rows:
            return self.word(rng, em, limit, smallest)
        return Block(_stack(rows, leading, float(rng.choice((0.0, 0.5, 1.0)))), em)

    def _line(
        self, rng: np.random.Generator, em: float, face: FontFace, tracking: float, limit: float, count: int, space: float
    ) -> list[LaidWord]:
        row: list[LaidWord] = []
        x = 0.0
        for _ in range(count):
            text = self.words.draw(rng)
            ink = set_word(text, self.fonts.covering(text, face, rng).path, em, tracking)
            if ink is None or x + ink.width > limit:
                continue
            row.append(LaidWord(text, ink, x - ink.box[0], 0.0))
            x += ink.width + space
        return row


def _draw_tracking(rng: np.random.Generator) -> float:
    """Draw extra space between characters in em; mostly none."""
    return max(rng.uniform(-0.9, 0.25), 0.0) + (0.0 if rng.random() < 0.8 else rng.uniform(-0.04, 0.04))


def _stack(rows: list[list[LaidWord]], leading: float, alignment: float) -> tuple[LaidWord, ...]:
    """Put lines under each other without overlap, ``alignment`` 0 left to 1 right, centred on the origin."""
    widths = [row[-1].box[2] for row in rows]
    baseline, bottom = 0.0, -np.inf
    placed: list[LaidWord] = []
    for row, width in zip(rows, widths, strict=True):
        top = min(word.box[1] for word in row)
        baseline = max(baseline, bottom + 1 - top)
        placed += [word.moved(alignment * (max(widths) - width), baseline) for word in row]
        bottom = max(word.box[3] for word in row) + baseline
        baseline += leading
    left, upper, right, lower = Block(tuple(placed), 0.0).box
    return tuple(word.moved(-(left + right) / 2, -(upper + lower) / 2) for word in placed)
