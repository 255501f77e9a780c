"""Painting words: colours with contrast, outlines, shadows, gradient fills, signs."""

from dataclasses import dataclass

import cv2
import numpy as np

from dld_spotter.data.synthetic.background import random_colour
from dld_spotter.data.synthetic.block import LaidWord
from dld_spotter.data.synthetic.layout import PlacedBlock
from dld_spotter.data.synthetic.surface import Surface, enclose

LUMA = np.array([0.299, 0.587, 0.114])
EFFECT_HEIGHT = 14.0  # pixels per em from which text may get an outline or a shadow


@dataclass(frozen=True)
class Style:
    """How the words of a block look.

    Args:
        fill: ``(3,)`` RGB in 0..255.
        fade: ``(3,)`` RGB that the fill turns into towards the bottom, or None.
        rim: colour of an outline, or None.
        shadow: colour of a shadow, or None.
        offset: of the shadow, pixels ``(x, y)``.
        opacity: of the fill, 0..1.
    """

    fill: np.ndarray
    fade: np.ndarray | None = None
    rim: np.ndarray | None = None
    shadow: np.ndarray | None = None
    offset: tuple[int, int] = (0, 0)
    opacity: float = 1.0


def paint_block(rng: np.random.Generator, image: np.ndarray, placed: PlacedBlock) -> None:
    """Paint a block and its sign into ``image`` ``(H, W, 3)`` uint8, in place."""
    outline = placed.surface.outline(placed.board or placed.block.box)
    if placed.board is not None:
        _paint_board(rng, image, outline)
    style = _draw_style(rng, enclose(image, outline), image, placed.block.em)
    for word in placed.block.words:
        _paint_word(image, placed.surface, word, style)


def _paint_board(rng: np.random.Generator, image: np.ndarray, outline: np.ndarray) -> None:
    points = [np.rint(256 * (outline - 0.5)).astype(np.int32)]
    cv2.fillPoly(image, points, random_colour(rng).tolist(), cv2.LINE_AA, 8)
    if rng.random() < 0.3:
        cv2.polylines(image, points, True, random_colour(rng).tolist(), 1, cv2.LINE_AA, 8)


def _draw_style(rng: np.random.Generator, window: tuple[int, int, int, int], image: np.ndarray, em: float) -> Style:
    """Draw a look that stands out against the pixels in ``window``."""
    x, y, width, height = window
    mean, deviation = (part.ravel() for part in cv2.meanStdDev(image[y : y + height, x : x + width]))
    busy = float(deviation.max())
    contrast = 40.0 if rng.random() < 0.12 else 75.0
    fill = _contrasting(rng, mean, contrast + 1.2 * min(busy, 60.0))
    chances = rng.random(5)
    effects = em >= EFFECT_HEIGHT
    rim = _contrasting(rng, fill, 90.0) if effects and chances[0] < (0.35 if busy > 30 else 0.08) else None
    shadow = fill * 0.15 if effects and fill @ LUMA > 110 and chances[1] < 0.2 else None
    offset = tuple(int(v) for v in rng.integers(1, 2 + min(em / 20, 2.0), 2)) if shadow is not None else (0, 0)
    fade = np.clip(fill + rng.normal(0, 25, 3), 0, 255) if chances[2] < 0.15 else None
    opacity = 0.75 + 0.25 * chances[4] if chances[3] < 0.2 else 1.0
    return Style(fill, fade, rim, shadow, offset, opacity)


def _contrasting(rng: np.random.Generator, colour: np.ndarray, contrast: float) -> np.ndarray:
    """Draw a colour whose luma differs by at least ``contrast``, or black or white where none is found."""
    luma = float(colour @ LUMA)
    candidates = rng.uniform(0, 255, (6, 3))
    good = np.abs(candidates @ LUMA - luma) >= contrast
    if good.any():
        return candidates[int(good.argmax())]
    return np.full(3, rng.uniform(0, 25) if luma > 127 else rng.uniform(230, 255))


def _paint_word(image: np.ndarray, surface: Surface, word: LaidWord, style: Style) -> None:
    ink = word.ink
    mask = ink.draw()
    offset = word.x + ink.corner[0], word.y + ink.corner[1]
    height, width = mask.shape
    extent = surface.outline((*offset, offset[0] + ink.scale * width, offset[1] + ink.scale * height))
    x, y, width, height = window = enclose(image, extent)
    if width <= 0 or height <= 0:
        return
    alpha = surface.warp(mask, ink.scale, offset, window)
    region = image[y : y + height, x : x + width]
    if style.shadow is not None:
        shift = np.array([[1, 0, style.offset[0]], [0, 1, style.offset[1]]], np.float32)
        _blend(region, cv2.blur(cv2.warpAffine(alpha, shift, (width, height)), (2, 2)), style.shadow, 0.8)
    if style.rim is not None:
        _blend(region, cv2.dilate(alpha, np.ones((3, 3), np.uint8)), style.rim, 1.0)
    _blend(region, alpha, style.fill, style.opacity, style.fade)


def _blend(region: np.ndarray, alpha: np.ndarray, colour: np.ndarray, opacity: float, fade: np.ndarray | None = None) -> None:
    """Lay a colour over ``region`` ``(h, w, 3)`` with coverage ``alpha`` ``(h, w)`` uint8, in place."""
    paint = np.empty_like(region)
    if fade is None:
        paint[:] = colour.astype(np.uint8)
    else:
        paint[:] = (colour + np.linspace(0, 1, len(region))[:, None] * (fade - colour)).astype(np.uint8)[:, None]
    weight = alpha.astype(np.float32)
    weight *= opacity / 255
    region[:] = cv2.blendLinear(paint, region, weight, 1 - weight)
