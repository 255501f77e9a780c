"""Read images with an engine at every size, once; the readings go to a file of JSON lines that can be gone on with.

    python experiments/31_any_engine/collect.py OUT --engine rapidocr --data DATA --part train --images 160 40

A line holds one image at one size: its set, name, the factor by which it was resized beforehand, the long side of the view, the
words with polygons in pixels of the image (whatever their score), and the seconds, of the wall and of the processor.
"""

import argparse
import json
import os
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from dld_spotter.data.photos import read_image, scaled_size
from dld_spotter.inference.engines.engine import Engine
from dld_spotter.inference.engines.rapidocr import RapidOCR
from dld_spotter.inference.engines.tesseract import Tesseract

SIZES = (320, 448, 640, 896, 1280)
"""Long sides in pixels at which every image is read."""
DEFAULT = 0
"""In place of a long side: the engine as it comes."""
KINDS = ("icdar2015", "sroie")
FOLDERS = {
    "train": {"icdar2015": "icdar2015/train", "sroie": "sroie/train"},
    "val": {"icdar2015": "icdar2015/val", "sroie": "sroie/val"},
}


def drawn(text: str) -> float:
    """A number in 0..1 that the text alone decides."""
    return zlib.crc32(text.encode()) / 2**32


def names(data: Path, part: str, kind: str, count: int) -> list[Path]:
    """The first images of a data set, in an order that their names decide; validation photos are left out of training."""
    folder = data / FOLDERS[part][kind]
    held = folder / "validation.txt"
    out = set(held.read_text().split()) if held.is_file() else set()
    files = [path for path in folder.joinpath("images").iterdir() if path.name not in out and path.stem not in out]
    return sorted(files, key=lambda path: drawn("order " + path.name))[:count]


def jobs(data: Path, part: str, counts: Sequence[int]) -> Iterator[tuple[str, Path, float]]:
    """Kind, file and factor: every image as it is and at another size; ``counts`` says how many of each kind.

    For training every second one alone, by a factor below 1: a larger one looks as it does at 1.
    """
    lists = {kind: names(data, part, kind, count) for kind, count in zip(KINDS, counts, strict=True)}
    for k in range(max(map(len, lists.values()))):
        for kind, paths in lists.items():
            share = k * len(paths) // max(map(len, lists.values()))
            if k and share == (k - 1) * len(paths) // max(map(len, lists.values())):
                continue
            path = paths[share]
            yield kind, path, 1.0
            if part != "train":
                yield kind, path, round(0.5 * 6 ** drawn("any " + path.name), 3)
            elif share % 2 == 0:
                yield kind, path, round(0.5 ** drawn("small " + path.name), 3)


def resized(image: np.ndarray, factor: float) -> np.ndarray:
    """The image at another size, as a user's file might have it."""
    if factor == 1:
        return image
    height, width = scaled_size(*image.shape[:2], factor)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def engine_of(name: str, as_it_comes: bool = False) -> Engine:
    """The engine on one thread, without a threshold of its own; its own resizing is on where it is to be as it comes."""
    if name == "tesseract":  # which resizes nothing
        return Tesseract(min_score=0.0, threads=1)
    return RapidOCR(min_score=0.0, threads=1, own_size=as_it_comes)


def processor() -> float:
    """Seconds that this process and the commands that it has run have computed."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    """Read what the file lacks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--engine", default="rapidocr")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--part", default="train")
    parser.add_argument("--images", type=int, nargs=2, default=(60, 20), metavar=("PHOTOS", "RECEIPTS"))
    parser.add_argument(
        "--share", type=int, nargs=2, default=(0, 1), metavar=("K", "OF"), help="of the images, for several processes"
    )
    parser.add_argument("--backwards", action="store_true", help="from the last image on, beside another process")
    asked = parser.parse_args()
    engine, default = engine_of(asked.engine), engine_of(asked.engine, as_it_comes=True)
    sizes = SIZES if asked.part == "train" else (DEFAULT, *SIZES)
    done = set()
    if asked.out.is_file():
        done = {tuple(json.loads(line)[key] for key in ("kind", "name", "factor", "size")) for line in asked.out.open()}
    with asked.out.open("a") as file:
        chosen = list(enumerate(jobs(asked.data, asked.part, asked.images)))
        for number, (kind, path, factor) in chosen[:: -1 if asked.backwards else 1]:
            if number % asked.share[1] != asked.share[0]:
                continue
            image = None
            for size in sizes:
                if (kind, path.name, factor, size) in done:
                    continue
                image = resized(read_image(path), factor) if image is None else image
                start, computed = time.perf_counter(), processor()
                scale = size / max(image.shape[:2]) if size != DEFAULT else 1.0
                (found,) = (default if size == DEFAULT else engine).detect([image], scale, keep_all=True)
                took = {"seconds": round(time.perf_counter() - start, 4), "processor": round(processor() - computed, 3)}
                words = [(np.round(word.polygon, 1).tolist(), word.text, round(float(word.score), 4)) for word in found.source]
                row = {"kind": kind, "name": path.name, "factor": factor, "size": size, "shape": image.shape[:2]}
                file.write(json.dumps(row | took | {"words": words}) + "\n")
                file.flush()


if __name__ == "__main__":
    main()
