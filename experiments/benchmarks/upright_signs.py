"""What is read of upright signs, whose letters stand one below the other, with ``orientation`` and without: rendered ones.

    python experiments/benchmarks/upright_signs.py --signs 40 --threads 1

A sign is one word of 3 to 8 letters in one of four fonts, 24 to 64 pixels high, on a plate, beside level text or alone. It is
right if a word that is read has its letters, case aside.
"""

import argparse
from itertools import product
from pathlib import Path

import matplotlib
import numpy as np
import rich
import torch
from PIL import Image, ImageDraw, ImageFont
from rich.table import Table
from tqdm import tqdm

from dld_spotter.inference.loading import load
from dld_spotter.inference.pieces import PieceRule

WORDS = (
    "HOTEL PARKING CAFE BAR PHARMACY Theater BANK Bakery OPEN SALE "
    "Market Cinema TAXI BOOKS Museum Pizza GARAGE Station Music EXIT"
)
FONTS = ("DejaVuSans-Bold", "DejaVuSans", "DejaVuSerif-Bold", "DejaVuSansMono-Bold")
INKS = (("white", "#202060"), ("#101010", "#f0e8d0"), ("#ffd800", "#a01010"))


LINE = "Welcome to our street"


def sign(word: str, rng: np.random.Generator, alone: bool) -> np.ndarray:
    """A picture ``(H, W, 3)`` with the word on an upright plate, and below it a line of text unless it is alone."""
    size, (ink, plate) = int(rng.integers(24, 65)), INKS[rng.integers(len(INKS))]
    name = FONTS[rng.integers(len(FONTS))]
    font = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", size)
    step, left = int(size * rng.uniform(1.1, 1.4)), int(rng.integers(60, 700))
    image = Image.new("RGB", (900, 200 + step * len(word)), "#7a8a80")
    draw = ImageDraw.Draw(image)
    if not alone:
        draw.text((60, image.height - 80), LINE, fill="black", font=ImageFont.truetype(font.path, 40))
    draw.rectangle((left, 40, left + 2 * size, 80 + step * len(word)), fill=plate)
    for k, letter in enumerate(word):
        draw.text((left + size - font.getlength(letter) / 2, 50 + k * step), letter, fill=ink, font=font)
    return np.asarray(image)


def main() -> None:
    """Read, count, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--signs", type=int, default=40)
    parser.add_argument("--ckpt", default="bundled")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    words = WORDS.split()
    table = Table("orientation", "alone", "signs", "right", "GFLOP")
    for asked, alone in product((False, True), (False, True)):
        reader, rng = load(options.ckpt, device="cpu", pieces=PieceRule(orientation=asked)), np.random.default_rng(1)
        right, gflops = 0, 0.0
        for k in tqdm(range(options.signs)):
            word = words[k % len(words)]
            reading = reader.read(sign(word, rng, alone), scale=1.0)
            right += word.lower() in {found.text.lower() for found in reading.words}
            gflops += reading.gflops
        row = (str(asked).lower(), str(alone).lower(), str(options.signs), str(right), f"{gflops / options.signs:.3g}")
        table.add_row(*row)
    rich.print(table)


if __name__ == "__main__":
    main()
