"""Draws what was read, or what is true, over the photo."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dld_spotter.core.geometry import polygons_to_boundaries, word_heights
from dld_spotter.core.instances import Sample
from dld_spotter.core.words import Word
from dld_spotter.inference.predictor import Reading

LEAST_SIDE = 900
"""Smaller photos are enlarged until their long side has about as many pixels, so that labels can be read."""
SURE, UNSURE = np.array([0, 122, 110]), np.array([196, 80, 0])
"""RGB of words with score 1 and 0; those between are mixed."""
PAPER, INK, GREY = (255, 255, 255), (24, 24, 27), (113, 113, 122)
MOST_CROWDED = 0.1
"""Share of the labels that may hide something."""
CELL, BAND, CROP_HEIGHT, GAP = 560, 24, 36, 8
"""Contact sheet, pixels: width of a picture, height of a line of text, height of a word, distance between two."""
SIDE_POINTS = 33
"""Points along each side of a word by which its height and length are measured."""
FINEST = 8
"""A word that is cut out is looked up at up to so many places for each of its pixels, in both directions."""
Box = tuple[float, float, float, float]


def draw_reading(image: np.ndarray, reading: Reading) -> Image.Image:
    """Draw polygons, texts and scores over an image ``(H, W, 3)`` uint8 RGB, and a caption with the cost below it.

    Where words stand so close that labels would hide them, the texts stand on a page beside the picture.
    """
    factor = max(1, round(LEAST_SIDE / max(image.shape[:2])))
    large = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC) if factor > 1 else image
    words = sorted((Word(w.polygon * factor, w.text, w.score) for w in reading.words), key=_height, reverse=True)
    picture = Image.fromarray(_outline(large, words))
    labels = [_Label.of(word, picture.size) for word in words]
    crowded = _arrange(labels, picture.size)
    if crowded > MOST_CROWDED * len(labels):
        picture = _beside(picture, words)
    else:
        for label in labels:
            label.write(ImageDraw.Draw(picture))
    return _captioned(picture, reading)


def caption(reading: Reading) -> str:
    """Tell the scale, how many pixels were read again, and what reading cost.

    >>> caption(Reading((), 0.5, 1.84, 0.042, 0.25, 640, 480))
    '0 words   scale 0.5   1.84 GFLOPs, 25 % of full resolution   42 ms'
    >>> caption(Reading((), 0.3, 1.84, 0.042, 0.25, 640, 480, second_pass_share=0.12))
    '0 words   scale 0.3 and 12 % again   1.84 GFLOPs, 25 % of full resolution   42 ms'
    """
    words = f"{len(reading.words)} word{'s' * (len(reading.words) != 1)}"
    cost = f"{reading.gflops:.3g} GFLOPs, {100 * reading.relative_cost:.0f} % of full resolution"
    again = f" and {100 * reading.second_pass_share:.0f} % again" if reading.second_pass_share else ""
    return f"{words}   scale {reading.scale:g}{again}   {cost}   {1000 * reading.seconds:.0f} ms"


def _color(score: float) -> tuple[int, int, int]:
    return tuple((score * SURE + (1 - score) * UNSURE).round().astype(int).tolist())


def _outline(image: np.ndarray, words: list[Word]) -> np.ndarray:
    tinted, outlines = image.copy(), [np.round(word.polygon).astype(np.int32) for word in words]
    for outline, word in zip(outlines, words, strict=True):
        cv2.fillPoly(tinted, [outline], _color(word.score), cv2.LINE_AA)
    result = cv2.addWeighted(tinted, 0.18, image, 0.82, 0)
    width = max(2, round(max(image.shape[:2]) / 640))
    for outline, word in zip(outlines, words, strict=True):
        cv2.polylines(result, [outline], True, _color(word.score), width, cv2.LINE_AA)
    return result


@dataclass
class _Label:
    """Text and score of a word on a coloured plate.

    Args:
        word: the word.
        size: of the font, pixels.
        box: the plate: left, top, right, bottom.
    """

    word: Word
    size: int
    box: Box

    @classmethod
    def of(cls, word: Word, picture: tuple[int, int]) -> Self:
        least = max(12, round(max(picture) / 80))
        size = int(np.clip(0.5 * _height(word), least, 2.5 * least))
        figure = _font(round(0.65 * size)).getlength(_percent(word))
        return cls(word, size, (0, 0, _font(size).getlength(word.text) + figure + 0.85 * size, 1.3 * size))

    def write(self, draw: ImageDraw.ImageDraw) -> None:
        left, base = self.box[0] + 0.25 * self.size, self.box[1] + 1.02 * self.size
        draw.rounded_rectangle(self.box, radius=0.2 * self.size, fill=_color(self.word.score))
        draw.text((left, base), self.word.text, PAPER, _font(self.size), anchor="ls")
        right = self.box[2] - 0.25 * self.size
        draw.text((right, base), _percent(self.word), PAPER, _font(round(0.65 * self.size)), anchor="rs")


def _percent(word: Word) -> str:
    return f"{100 * word.score:.0f}"


def _arrange(labels: list[_Label], picture: tuple[int, int]) -> int:
    """Place labels beside their words, free of other words and labels; returns for how many there was no such place."""
    words = [(*label.word.polygon.min(0).tolist(), *label.word.polygon.max(0).tolist()) for label in labels]
    crowded = 0
    for i, label in enumerate(labels):
        (left, top, right, bottom), (_, _, width, height) = words[i], label.box
        limit = np.maximum(np.array(picture) - (width, height), 0)
        corners = [(left, top - height - 2), (left, bottom + 2), (right + 2, top), (left - width - 2, top)]
        places = [(x, y, x + width, y + height) for x, y in np.clip(corners, 0, limit).tolist()]
        taken = words + [other.box for other in labels[:i]]
        free = [place for place in places if not any(_overlap(place, box) for box in taken)]
        crowded += not free
        label.box = (free or places)[0]
    return crowded


def _beside(picture: Image.Image, words: list[Word]) -> Image.Image:
    """Picture, and right of it a page with each text in its place."""
    page = Image.new("RGB", (2 * picture.width, picture.height), PAPER)
    page.paste(picture)
    for word in words:
        upper = np.split(word.polygon, 2)[0]
        length = np.linalg.norm(np.diff(upper, axis=0), axis=1).sum()
        font = _font(max(6, round(min(0.85 * _height(word), 100 * length / _font(100).getlength(word.text)))))
        mask = Image.new("L", (round(font.getlength(word.text)) + 4, round(1.3 * font.size)))
        ImageDraw.Draw(mask).text((2, mask.height / 2), word.text, 255, font, anchor="lm")
        along = upper[-1] - upper[0]
        mask = mask.rotate(-np.degrees(np.arctan2(along[1], along[0])), Image.Resampling.BICUBIC, expand=True)
        corner = word.polygon.mean(0) - np.array(mask.size) / 2 + np.array([picture.width, 0])
        page.paste(_color(word.score), tuple(corner.round().astype(int).tolist()), mask)
    ImageDraw.Draw(page).line([(picture.width, 0), (picture.width, picture.height)], GREY, 1)
    return page


def _height(word: Word) -> float:
    """Mean distance of the two sides, pixels."""
    upper, lower = np.split(word.polygon, 2)
    return float(np.linalg.norm(upper - lower[::-1], axis=1).mean())


def _overlap(first: Box, second: Box) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def _captioned(picture: Image.Image, reading: Reading) -> Image.Image:
    text = caption(reading)
    size = max(12, round(max(picture.size) / 56))
    while size > 8 and _font(size).getlength(text) > picture.width - 2 * size:
        size -= 1
    band = round(2.2 * size)
    page = Image.new("RGB", (picture.width, picture.height + band), PAPER)
    page.paste(picture)
    ImageDraw.Draw(page).text((size, picture.height + band / 2), text, INK, _font(size), anchor="lm")
    return page


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def draw_samples(samples: Sequence[Sample], columns: int = 3) -> Image.Image:
    """Draw images of a data set side by side, to check the words by eye.

    Each has its words outlined, with a dot at the top left of each, and below it the largest words that count, cut out and
    straightened along both sides of their polygons: a polygon that starts at another corner shows its word turned. Ignored
    words have the colour of unsure ones.
    """
    cells = [_cell(sample) for sample in samples]
    rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    heights = [max(cell.height for cell in row) for row in rows]
    sheet = Image.new("RGB", (min(columns, len(cells)) * (CELL + GAP), sum(heights)), PAPER)
    for i, row in enumerate(rows):
        for column, cell in enumerate(row):
            sheet.paste(cell, (column * (CELL + GAP), sum(heights[:i])))
    return sheet


def _cell(sample: Sample) -> Image.Image:
    """A sample, ``CELL`` pixels wide: picture, some of its words, caption."""
    height, width = sample.image.shape[:2]
    factor = CELL / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    instances = sample.instances.scaled(size[0] / width, size[1] / height)
    words = [Word(polygon, "", float(not ignore)) for polygon, ignore in zip(instances.polygons, instances.ignore, strict=True)]
    small = cv2.resize(sample.image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    cell = Image.new("RGB", (CELL, size[1] + 2 * BAND + CROP_HEIGHT), PAPER)
    cell.paste(Image.fromarray(_outline(small, words)))
    draw = ImageDraw.Draw(cell)
    for word in words:
        x, y = word.polygon[0].tolist()
        draw.ellipse((x - 2.5, y - 2.5, x + 2.5, y + 2.5), fill=PAPER, outline=_color(word.score))
    ignored = int(instances.ignore.sum())
    text = f"{_visible(sample.name)}  {width}x{height}  {len(words)} words" + (f", {ignored} ignored" if ignored else "")
    draw.text((0, size[1] + BAND / 2), text, GREY, _font(12), anchor="lm")
    _write_crops(cell, sample, size[1] + BAND)
    return cell


def _write_crops(cell: Image.Image, sample: Sample, top: int) -> None:
    """Paste the largest words that count side by side, each upright with its text below, as far as there is room."""
    words = zip(sample.instances.polygons, sample.instances.transcriptions, sample.instances.ignore, strict=True)
    counting = sorted((Word(p, text, 1.0) for p, text, ignore in words if not ignore), key=_height, reverse=True)
    draw, left = ImageDraw.Draw(cell), 0
    for word in counting:
        crop, text = _cut_out(sample.image, word), _visible(word.text)
        width = max(crop.width, round(_font(13).getlength(text)))
        if left + width > CELL:
            continue
        cell.paste(crop, (left, top))
        draw.text((left, top + CROP_HEIGHT + 2), text, INK, _font(13), anchor="la")
        left += width + 2 * GAP


def _visible(text: str) -> str:
    """Replace line ends and other control characters, which have no width that could be measured."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _cut_out(image: np.ndarray, word: Word) -> Image.Image:
    """What lies between the two sides of a word, straightened as a spotter straightens it, ``CROP_HEIGHT`` pixels high."""
    ends = polygons_to_boundaries([word.polygon], SIDE_POINTS)
    length = np.linalg.norm(np.diff(ends[0], axis=1), axis=-1).sum(-1).mean()
    height = max(float(word_heights(ends)[0]), 1e-3)
    width = int(np.clip(round(CROP_HEIGHT * length / height), 8, CELL // 2))
    finer = int(np.clip(round(height / CROP_HEIGHT), 1, FINEST))  # large words are averaged, not picked from
    edges = polygons_to_boundaries([word.polygon], finer * width + 1)[0]
    upper, lower = (edges[:, 1:] + edges[:, :-1]) / 2
    down = ((np.arange(finer * CROP_HEIGHT) + 0.5) / (finer * CROP_HEIGHT))[:, None, None]
    grid = (upper * (1 - down) + lower * down - 0.5).astype(np.float32)  # the first pixel's centre is 0 to OpenCV
    crop = cv2.remap(image, grid, None, cv2.INTER_LINEAR, None, cv2.BORDER_CONSTANT, GREY)  # type: ignore[call-overload]
    return Image.fromarray(cv2.resize(crop, (width, CROP_HEIGHT), interpolation=cv2.INTER_AREA))
