"""What enlarging brings to small letters: rendered words of 8 to 20 pixels of font size, read at scales 1 and 2.

    python experiments/benchmarks/tiny_text.py --threads 2

Each size has a page of its own, 960 x 540 pixels, with 12 words five times each. As many are right as are read with their
letters, case aside.
"""

import argparse
from collections import Counter
from pathlib import Path

import matplotlib
import numpy as np
import rich
import torch
from PIL import Image, ImageDraw, ImageFont
from rich.table import Table

from dld_spotter.inference.loading import load

WORDS = ["settings", "account", "language", "password", "network", "storage"]
WORDS += ["display", "keyboard", "update", "history", "privacy", "sound"]
SIZES = (8, 10, 12, 14, 20)
SCALES = (1.0, 2.0)


def page(size: int) -> np.ndarray:
    """A page ``(540, 960, 3)`` of black words on white, five times each."""
    font = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
    image = Image.new("RGB", (960, 540), "white")
    draw = ImageDraw.Draw(image)
    for k in range(5 * len(WORDS)):
        draw.text((20 + 155 * (k % 6), 20 + 50 * (k // 6)), WORDS[k % len(WORDS)], fill="black", font=font)
    return np.asarray(image)


def main() -> None:
    """Read, count, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt", default="bundled")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    reader = load(options.ckpt, device="cpu")
    table = Table(
        "font size", "words", *(f"right at scale {scale:g}" for scale in SCALES), *(f"GFLOP at {s:g}" for s in SCALES)
    )
    for size in SIZES:
        readings = [reader.read(page(size), scale=scale) for scale in SCALES]
        true = Counter(WORDS * 5)
        right = [sum((true & Counter(word.text.lower() for word in reading.words)).values()) for reading in readings]
        table.add_row(str(size), str(true.total()), *map(str, right), *(f"{reading.gflops:.3g}" for reading in readings))
    rich.print(table)


if __name__ == "__main__":
    main()
