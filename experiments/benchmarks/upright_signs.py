"""What is read of upright signs, whose letters stand one below the other, with ``orientation`` and without: rendered ones.

    python experiments/benchmarks/upright_signs.py --signs 40 --threads 1

A sign is one word of 3 to 9 letters in one of four fonts, 24 to 64 pixels high, on a plate. It is right if a word that is read
has its letters, case aside.
"""

import argparse
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


def sign(word: str, rng: np.random.Generator) -> np.ndarray:
    """A picture ``(H, W, 3)`` with the word on an upright plate."""
    size, (ink, plate) = int(rng.integers(24, 65)), INKS[rng.integers(len(INKS))]
    name = FONTS[rng.integers(len(FONTS))]
    font = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", size)
    step, left = int(size * rng.uniform(1.1, 1.4)), int(rng.integers(60, 700))
    image = Image.new("RGB", (900, 120 + step * len(word)), "#7a8a80")
    draw = ImageDraw.Draw(image)
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
    rng, words = np.random.default_rng(1), WORDS.split()
    signs = [(words[k % len(words)], sign(words[k % len(words)], rng)) for k in range(options.signs)]
    table = Table("orientation", "signs", "right", "GFLOP")
    for asked in (False, True):
        reader = load(options.ckpt, device="cpu", pieces=PieceRule(orientation=asked))
        right, gflops = 0, 0.0
        for word, image in tqdm(signs):
            reading = reader.read(image, scale=1.0)
            right += word.lower() in {found.text.lower() for found in reading.words}
            gflops += reading.gflops
        table.add_row(str(asked).lower(), str(len(signs)), str(right), f"{gflops / len(signs):.3g}")
    rich.print(table)


if __name__ == "__main__":
    main()
