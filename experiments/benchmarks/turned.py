"""What looking for turned text finds and costs: photos turned by quarters, read with ``orientation`` and without.

    python experiments/benchmarks/turned.py ICDAR2015/train --validation --threads 1 [--without]

The folder holds ``images/``, ``gts/`` and ``validation.txt``. A word is right if it shares more than 0.4 of the area of a true
word and has its letters, case aside. Photos are read upright without the option, and at every turn with it; ``--without`` reads
the turned ones without it, too.
"""

import argparse
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import rich
import torch
from rich.table import Table
from tqdm import tqdm

from dld_spotter.core.words import Word
from dld_spotter.data.photos import read_image
from dld_spotter.data.readers.paired import read_quads
from dld_spotter.inference.loading import load
from dld_spotter.inference.pieces import PieceRule, upright
from dld_spotter.inference.reading import Reading
from dld_spotter.inference.second_pass.two_pass import sharing

TURNS = (0, 90, 180, 270)


def right(reading: Reading, turn: int, truth: list[Word], size: tuple[int, int]) -> int:
    """Words of a photo that was turned clockwise by so many degrees that are right."""
    words = [Word(upright(word.polygon, -turn // 90, *size), word.text, word.score) for word in reading.words]
    same = sharing(words, truth)
    return sum(any(truth[k].text.lower() == word.text.lower() for k in near) for word, near in zip(words, same, strict=True))


def truth_of(path: Path) -> list[Word]:
    """True words of a photo that count."""
    return [Word(quad, text, 1.0) for quad, text in zip(*read_quads(path), strict=True) if text != "###"]


def main() -> None:
    """Read, count, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--validation", action="store_true", help="the photos of validation.txt alone")
    parser.add_argument("--images", type=int, default=None, help="so many of them, evenly spread")
    parser.add_argument("--ckpt", default="bundled")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--without", action="store_true", help="read turned photos without the option, too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names = sorted(path.name for path in (options.folder / "images").iterdir())
    if options.validation:
        names = (options.folder / "validation.txt").read_text("utf-8").split()
    names = names[:: max(len(names) // options.images, 1)] if options.images else names
    readers = {asked: load(options.ckpt, device="cpu", pieces=PieceRule(orientation=asked)) for asked in (False, True)}
    sums: dict[tuple[bool, int], np.ndarray] = defaultdict(lambda: np.zeros(5))
    for name in tqdm(names):
        image = read_image(options.folder / "images" / name)
        truth = truth_of(options.folder / "gts" / f"gt_{Path(name).stem}.txt")
        for turn in TURNS:
            photo = np.ascontiguousarray(np.rot90(image, -turn // 90))
            for asked, reader in readers.items():
                if turn and not asked and not options.without:
                    continue
                began = time.perf_counter()
                reading = reader.read(photo, scale=1.0)
                seconds = time.perf_counter() - began
                found = right(reading, turn, truth, image.shape[:2])
                wrong_way = reading.turned != turn
                sums[asked, turn] += (found, len(reading.words), wrong_way, reading.gflops, seconds)
    table = Table("turned by", "orientation", "right words", "of upright", "words", "turned wrongly", "GFLOP", "s")
    for asked, turn in sorted(sums):
        found, words, wrong, gflops, seconds = sums[asked, turn]
        share = found / max(sums[False, 0][0], 1)
        mean = [f"{value / len(names):.3g}" for value in (gflops, seconds)]
        way = f"{wrong:.0f}" if asked else ""
        table.add_row(str(turn), str(asked).lower(), f"{found:.0f}", f"{share:.3f}", f"{words:.0f}", way, *mean)
    rich.print(f"{len(names)} photos, {options.ckpt}")
    rich.print(table)


if __name__ == "__main__":
    main()
