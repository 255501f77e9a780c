"""A word as a mask of ink with the box that encloses it."""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw

from dld_spotter.data.synthetic.fonts import SIZES, load_font, x_height

MARGIN = 0.05  # of the box height, on each side of the ink
PADDING = 4  # pixels of empty mask around the ink, room for outlines and for interpolation


@dataclass(frozen=True)
class Ink:
    """A drawn word.

    Args:
        mask: ``(h, w)`` uint8 coverage, with ``PADDING`` empty pixels around the ink.
        scale: mask pixels to the pixels that were asked for.
        box: ``(left, top, right, bottom)`` of the word with its margin, in pixels that were asked for, from the pen's
            start on the baseline.
        origin: mask pixel ``(x, y)`` that is the pen's start on the baseline.
    """

    mask: np.ndarray
    scale: float
    box: tuple[float, float, float, float]
    origin: tuple[float, float]


def draw_word(text: str, path: str, size: float) -> Ink | None:
    """Draw ``text`` at ``size`` pixels per em; None where the font leaves no ink.

    The box reaches at least from the baseline to the height of a small x, so that ``-`` or ``.`` has a usable one.
    """
    loaded = next((step for step in SIZES if step >= size), SIZES[-1])
    width, height = int(loaded * (1.2 * len(text) + 2)), 2 * loaded + 2 * PADDING
    pen_x, pen_y = loaded, round(1.3 * loaded) + PADDING
    canvas = Image.new("L", (width, height))
    ImageDraw.Draw(canvas).text((pen_x, pen_y), text, 255, font=load_font(path, loaded), anchor="ls")
    pixels = np.asarray(canvas)
    left, top, ink_width, ink_height = cv2.boundingRect(pixels)
    if ink_width == 0:
        return None
    y0, x0 = max(top - PADDING, 0), max(left - PADDING, 0)
    mask = pixels[y0 : top + ink_height + PADDING, x0 : left + ink_width + PADDING]
    scale = size / loaded
    upper = min(top - pen_y, -x_height(path, loaded))
    lower = max(top + ink_height - pen_y, 0)
    margin = MARGIN * (lower - upper)
    box = (left - pen_x - margin, upper - margin, left + ink_width - pen_x + margin, lower + margin)
    return Ink(mask, scale, tuple(scale * edge for edge in box), (pen_x - x0, pen_y - y0))
