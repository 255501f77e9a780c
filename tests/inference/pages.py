"""Rendered pages whose reading order is known: an article in columns, a receipt, a sign."""

from functools import cache
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dld_spotter.core.words import Word

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
TEXT = (  # noqa: SIM905
    "the old harbour wakes before the city does and its cranes turn slowly over rows of painted boats while men in yellow "
    "coats carry crates of silver fish to the market hall where the first buyers drink black coffee and talk about the price "
    "of bread and the weather that comes over the northern hills every autumn with rain for eleven days"
).split()
RECEIPT = [
    ("GREEN CORNER SHOP",),
    ("14 Mill Lane",),
    ("Tel 555 0199",),
    ("Date: 04.11.2026", "Time: 17:32"),
    ("Brown bread", "2.40"),
    ("Milk 1 l", "1.15"),
    ("Apples loose 0.8 kg", "3.20"),
    ("Tea", "4.95"),
    ("Washing powder", "12.90"),
    ("SUBTOTAL", "24.60"),
    ("VAT 19 %", "3.93"),
    ("TOTAL EUR", "24.60"),
    ("CASH", "30.00"),
    ("CHANGE", "5.40"),
    ("Thank you for your visit",),
]


@cache
def font(size: int, mono: bool = False) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONTS / ("DejaVuSansMono.ttf" if mono else "DejaVuSans.ttf")), size)


class Sheet:
    """White paper that remembers what is written on it, in the order of writing; outlines are as tight as the ink."""

    def __init__(self, width, height, grow=0):
        self.image = Image.new("RGB", (width, height), "white")
        self.draw = ImageDraw.Draw(self.image)
        self.words, self.grow = [], grow

    def word(self, x, y, text, size, mono=False):
        """Write at ``x`` and the baseline ``y``; returns where the next word may begin."""
        self.draw.text((x, y), text, fill="black", font=font(size, mono), anchor="ls")
        left, top, right, bottom = self.draw.textbbox((x, y), text, font=font(size, mono), anchor="ls")
        left, top, right, bottom = left - self.grow, top - self.grow, right + self.grow, bottom + self.grow
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
        self.words.append(Word(corners, text, 0.9))
        return x + font(size, mono).getlength(text + " ")

    def line(self, x, y, text, size, mono=False):
        for word in text.split():
            x = self.word(x, y, word, size, mono)
        return x


def article(columns=2, words=300, size=20, gutter=2.0, justified=True, heading=True, grow=0, seed=0):
    """A page of so many words in columns below a heading that runs over all of them."""
    rng = np.random.default_rng(seed)
    texts = [TEXT[k] for k in rng.integers(len(TEXT), size=words - (4 if heading else 0))]
    width, space = 1300, font(size).getlength(" ")
    column = (width - 100 - (columns - 1) * gutter * size) / columns
    lines, row = [], []
    for text in texts:
        if row and font(size).getlength(" ".join([*row, text])) > column:
            lines.append(row)
            row = []
        row.append(text)
    lines.append(row)
    each = -(-len(lines) // columns)
    paragraph = 6
    sheet = Sheet(width, int(200 + (each + each // paragraph) * 1.4 * size), grow)
    if heading:
        sheet.line(60, 80, "Morning at the harbour", 2 * size)
    for number, row in enumerate(lines):
        place, below = divmod(number, each)
        x, y = 50 + place * (column + gutter * size), 150 + (below + 0.6 * (below // paragraph)) * 1.4 * size
        ends = below % paragraph == paragraph - 1 or number == len(lines) - 1
        slack = (column - font(size).getlength(" ".join(row))) / max(len(row) - 1, 1)
        for text in row:
            sheet.word(x, y, text, size)
            x += font(size).getlength(text) + space + (slack if justified and not ends else 0)
    return sheet


def receipt(size=24, grow=0, lines=RECEIPT):
    """A receipt in a font of one width: entries at the left, prices at the right edge."""
    sheet = Sheet(620, 80 + int(1.5 * size * len(lines)), grow)
    for number, parts in enumerate(lines):
        y = 60 + 1.5 * size * number
        length = font(size, True).getlength(parts[-1])
        centre = len(parts) == 1
        sheet.line((620 - length) / 2 if centre else 40, y, parts[0], size, mono=True)
        if not centre:
            sheet.line(580 - length, y, parts[1], size, mono=True)
    return sheet


def turned(words, degrees, center=(500, 500)):
    """Words turned clockwise about a point."""
    angle = np.deg2rad(degrees)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return [Word(((w.polygon - center) @ matrix + center).astype(np.float32), w.text, w.score) for w in words]


def adjacent_pairs(order, truth):
    """Share of the neighbours in ``truth`` that follow each other in ``order``; both list words by number."""
    place = {number: k for k, number in enumerate(order)}
    follows = [a in place and b in place and place[b] == place[a] + 1 for a, b in pairwise(truth)]
    return sum(follows) / len(follows)
