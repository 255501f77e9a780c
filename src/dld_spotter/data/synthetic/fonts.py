"""Fonts for rendered words: those that come with matplotlib, or any folder."""

import re
import string
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import matplotlib
import numpy as np
from fontTools import agl
from fontTools.ttLib import TTFont, TTLibError
from PIL import ImageFont

from dld_spotter.core.errors import DataError

# Sizes a font is loaded at, in pixels per em; a word is set at the next larger one and shrunk by at most a quarter.
SIZES = tuple(round(6 * 1.25**step) for step in range(16))

MISNAMED = {"cmti10.ttf": "$"}  # draws a pound sign
NUMBERED = re.compile(r"(?!uni)[A-Za-z_.]*\d+")  # glyph names that say nothing, such as glyph00036


@dataclass(frozen=True)
class FontFace:
    """A font file and the characters that it really draws."""

    path: str
    characters: frozenset[str]

    def draws(self, text: str) -> bool:
        """Tell whether the font has a glyph for every character."""
        return self.characters.issuperset(text)


@lru_cache(maxsize=8)
def find_fonts(folder: Path | None) -> tuple[FontFace, ...]:
    """List the usable fonts under ``folder`` (matplotlib's own where None), in the order of their paths.

    Symbol fonts, which lack letters or draw one glyph for all of them, are left out.
    """
    root = Path(matplotlib.get_data_path()) / "fonts" / "ttf" if folder is None else folder
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in {".ttf", ".otf"})
    faces = tuple(face for path in paths if (face := _read_face(path)) is not None)
    if not faces:
        raise DataError(
            f"font folder {root} holds no usable font among {len(paths)} .ttf and .otf files; give a folder with text fonts"
        )
    return faces


def _read_face(path: Path) -> FontFace | None:
    try:
        with TTFont(path, lazy=True) as font:
            names = font.getBestCmap() or {}
    except (OSError, TTLibError) as error:
        raise DataError(f"font {path} cannot be read ({error}); remove or replace the file") from error
    face = FontFace(
        str(path),
        frozenset(chr(code) for code, name in names.items() if _is_glyph_of(name, chr(code)))
        - frozenset(MISNAMED.get(path.name, "")),
    )
    alphanumeric = string.ascii_letters + string.digits
    distinct = len({names.get(ord(char)) for char in alphanumeric}) == len(alphanumeric)
    return face if distinct and face.draws(alphanumeric) else None


def _is_glyph_of(name: str, char: str) -> bool:
    """Tell by a glyph's name whether it draws ``char``; TeX fonts keep other glyphs in the places of ASCII."""
    return not char.isascii() or agl.toUnicode(name) == char or NUMBERED.fullmatch(name) is not None


class FontBook:
    """Draws fonts that can write a given text.

    Args:
        folder: folder of ``.ttf`` and ``.otf`` files, searched with its subfolders; matplotlib's fonts where None. Every
            subfolder is drawn equally often, so that a family of many weights does not outnumber the others.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.faces = find_fonts(Path(folder) if folder else None)
        self._families = [tuple(faces) for _, faces in groupby(self.faces, lambda face: Path(face.path).parent)]

    def draw(self, rng: np.random.Generator) -> FontFace:
        """Draw a font."""
        family = self._families[int(rng.integers(len(self._families)))] if len(self._families) > 1 else self.faces
        return family[int(rng.integers(len(family)))]

    def covering(self, text: str, preferred: FontFace, rng: np.random.Generator) -> FontFace:
        """Return ``preferred`` where it draws ``text``, else another font that does.

        Raises:
            DataError: no font of the book has all the characters.
        """
        if preferred.draws(text):
            return preferred
        able = [face for face in self.faces if face.draws(text)]
        if not able:
            raise DataError(f"no font has glyphs for {text!r}; leave these characters out of words.charset or add a font")
        return able[int(rng.integers(len(able)))]


@lru_cache(maxsize=1024)
def load_font(path: str, size: int) -> ImageFont.FreeTypeFont:
    """Load a font at a size in pixels per em."""
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=1024)
def x_height(path: str, size: int) -> int:
    """Measure the height of a small x in pixels."""
    _, top, _, bottom = load_font(path, size).getbbox("x", anchor="ls")
    return round(bottom - top)
