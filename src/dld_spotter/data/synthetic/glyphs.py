"""Words as runs of glyphs: measured at once, drawn when they are painted."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from dld_spotter.data.synthetic.fonts import SIZES, load_font, x_height

MARGIN = 0.05  # of the box height, on each side of the ink
CACHED = 32768  # glyphs that a process keeps: all that matplotlib's fonts need at all sizes, about 50 MB
PADDING = 4  # empty mask pixels around the ink, room for outlines and for interpolation


@dataclass(frozen=True)
class Glyph:
    """A drawn character: coverage ``(h, w)`` uint8, its top left from the pen on the baseline, and the pen's advance."""

    mask: np.ndarray
    left: int
    top: int
    advance: float


@lru_cache(maxsize=CACHED)
def load_glyph(path: str, size: int, char: str) -> Glyph:
    """Draw a character at a size in pixels per em."""
    font = load_font(path, size)
    left, top, right, bottom = (int(edge) for edge in font.getbbox(char, anchor="ls"))
    canvas = Image.new("L", (max(right - left, 0), max(bottom - top, 0)))
    if canvas.width and canvas.height:
        ImageDraw.Draw(canvas).text((-left, -top), char, 255, font=font, anchor="ls")
    mask = np.array(canvas, np.uint8).reshape(canvas.height, canvas.width)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return Glyph(np.zeros((0, 0), np.uint8), 0, 0, font.getlength(char))
    ink = np.ascontiguousarray(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    return Glyph(ink, left + int(columns[0]), top + int(rows[0]), font.getlength(char))


@dataclass(frozen=True)
class Ink:
    """A word set in a font.

    Args:
        glyphs: its characters.
        pens: mask pixels of each glyph's left edge, from the pen's start.
        bounds: mask pixels ``(left, top, right, bottom)`` of the ink, from the pen's start on the baseline.
        scale: pixels wanted per mask pixel.
        box: ``(left, top, right, bottom)`` of the word with its margin, in pixels wanted, from the pen's start.
    """

    glyphs: tuple[Glyph, ...]
    pens: tuple[int, ...]
    bounds: tuple[int, int, int, int]
    scale: float
    box: tuple[float, float, float, float]

    @property
    def width(self) -> float:
        """Width of the box in pixels."""
        return self.box[2] - self.box[0]

    @property
    def corner(self) -> tuple[float, float]:
        """Top left of the mask in pixels, from the pen's start."""
        return self.scale * (self.bounds[0] - PADDING), self.scale * (self.bounds[1] - PADDING)

    def draw(self) -> np.ndarray:
        """Draw the mask ``(h, w)`` uint8, with ``PADDING`` empty pixels around the ink."""
        left, top, right, bottom = self.bounds
        mask = np.zeros((bottom - top + 2 * PADDING, right - left + 2 * PADDING), np.uint8)
        for glyph, pen in zip(self.glyphs, self.pens, strict=True):
            rows, columns = glyph.mask.shape
            x, y = pen - left + PADDING, glyph.top - top + PADDING
            part = mask[y : y + rows, x : x + columns]
            np.maximum(part, glyph.mask, out=part)
        return mask


def set_word(text: str, path: str, em: float, tracking: float = 0.0) -> Ink | None:
    """Set ``text`` at ``em`` pixels per em with ``tracking`` em of extra space between characters.

    The box reaches at least from the baseline to the height of a small x, so that ``-`` or ``.`` has a usable one.

    Returns:
        The word, or None where the font leaves no ink.
    """
    size = next((step for step in SIZES if step >= em), SIZES[-1])
    pen, glyphs, pens = 0.0, [], []
    left = top = right = bottom = 0
    for char in text:
        glyph = load_glyph(path, size, char)
        rows, columns = glyph.mask.shape
        if rows:
            edge = round(pen) + glyph.left
            left = min(left, edge) if glyphs else edge
            top = min(top, glyph.top) if glyphs else glyph.top
            right = max(right, edge + columns) if glyphs else edge + columns
            bottom = max(bottom, glyph.top + rows) if glyphs else glyph.top + rows
            glyphs.append(glyph)
            pens.append(edge)
        pen += glyph.advance + tracking * size
    if not glyphs:
        return None
    bounds = (left, top, right, bottom)
    scale = em / size
    upper, lower = min(bounds[1], -x_height(path, size)), max(bounds[3], 0)
    margin = MARGIN * (lower - upper)
    box = (bounds[0] - margin, upper - margin, bounds[2] + margin, lower + margin)
    return Ink(tuple(glyphs), tuple(pens), bounds, scale, tuple(scale * edge for edge in box))
