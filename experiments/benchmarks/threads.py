"""What do threads bring, alone on a machine and beside another busy process?

    python experiments/benchmarks/threads.py PHOTOS [--images 30] [--ckpt bundled]

The first table has word crops encoded one width after the other, each by all threads, and side by side, each by one thread:
both ways take turns on every photo of a folder. The second has readings of one photo in processes that take turns, alone and
beside one or two others that compute all the time. ``GOMP_SPINCOUNT`` says how often a waiting thread looks for more to do
before it sleeps: GNU OpenMP takes 300000 where nobody sets it.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
from rich.progress import track

from dld_spotter import Predictor, load
from dld_spotter.core.threads import inference_threads
from dld_spotter.data.photos import IMAGE_SUFFIXES, read_image

REQUESTS = ({"scale": 1.0}, {"scale": 0.5}, {"scale": 0.3}, {"budget": 0.5}, {"budget": 0.3}, {"budget": 0.15})
COUNTS = ("300000", "30000", "10000", "3000")
WARM = 3
READ = """
import sys, time
from dld_spotter import load
predictor, seconds = load(sys.argv[1], device="cpu"), []
for _ in range(int(sys.argv[3])):
    seconds.append(predictor.read(sys.argv[2], budget=0.3).seconds)
print(1000 * sum(seconds[3:]) / len(seconds[3:]))
"""


def milliseconds(predictor: Predictor, photos: list[np.ndarray], request: dict[str, float]) -> tuple[float, float, float]:
    """Mean milliseconds of a photo, one width after the other and side by side, and in how many the same words are read."""
    one: Callable[..., int] = lambda device: 1  # noqa: E731
    seconds, same = np.zeros((2, len(photos))), 0
    for column, photo in enumerate(track(photos, str(request), transient=True)):
        texts = []
        for row, threads in enumerate((one, inference_threads)):
            with patch("dld_spotter.models.ppocr.reading.inference_threads", threads):
                predictor.forget_budgets()
                began = time.perf_counter()
                texts.append([word.text for word in predictor.read(photo, **request).words])
                seconds[row, column] = time.perf_counter() - began
        same += texts[0] == texts[1]
    return *(1000 * seconds[:, WARM:].mean(1)).tolist(), same


def reading(count: str, ckpt: str, photo: Path, times: int) -> float:
    """Milliseconds of reading a photo in a process of its own."""
    command = [sys.executable, "-c", READ, ckpt, str(photo), str(times + WARM)]
    done = subprocess.run(command, env=os.environ | {"GOMP_SPINCOUNT": count}, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def rounds(options: argparse.Namespace, photo: Path, busy: int) -> list[float]:
    """Median milliseconds of each count, beside so many busy processes."""
    load = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        table = [[reading(count, options.ckpt, photo, options.readings) for count in COUNTS] for _ in range(options.rounds)]
    finally:
        for process in load:
            process.kill()
    return [statistics.median(column) for column in zip(*table, strict=True)]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of photos")
    parser.add_argument("--ckpt", default="bundled", help="checkpoint (default: %(default)s)")
    parser.add_argument("--images", type=int, default=30, help="photos of the first table, 0 for none (default: %(default)s)")
    parser.add_argument("--readings", type=int, default=10, help="by each process of the second (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each count (default: %(default)s)")
    options = parser.parse_args()
    paths = sorted(path for path in options.photos.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if options.images:
        compare(load(options.ckpt, device="cpu"), [read_image(path) for path in paths[: options.images]])
    print("\n| GOMP_SPINCOUNT | alone, ms | beside one busy process | beside two |\n|---|---|---|---|")
    columns = [rounds(options, paths[WARM], busy) for busy in range(3)]
    for count, *row in zip(COUNTS, *columns, strict=True):
        print(f"| {count} | {' | '.join(f'{value:.0f}' for value in row)} |", flush=True)


def compare(predictor: Predictor, photos: list[np.ndarray]) -> None:
    """Print the first table."""
    print("| | one after the other, ms | side by side, ms | ratio | same words |\n|---|---|---|---|---|", flush=True)
    for request in REQUESTS:
        before, now, same = milliseconds(predictor, photos, request)
        ((name, value),) = request.items()
        print(f"| {name}={value} | {before:.0f} | {now:.0f} | {now / before:.2f} | {same} of {len(photos)} |", flush=True)


if __name__ == "__main__":
    main()
