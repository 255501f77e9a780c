"""What fresh pages cost: milliseconds of a photo that is read with and without keeping the pages of large blocks.

    python experiments/benchmarks/pages.py FOLDER [--images 20] [--rounds 3] [--threads 2]

FOLDER holds photos. Processes with and without take turns; the least of the rounds counts. Without, free pages go back after
every million pixels, as they did before they were kept.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import rich
import torch
from rich.table import Table

from dld_spotter.data.photos import read_image
from dld_spotter.inference import predictor as predicting
from dld_spotter.inference import torch_backend
from dld_spotter.inference.loading import load

REQUESTS = ({"scale": 1.0}, {"scale": 0.5}, {"budget": 0.3})
CHECKPOINTS = ("bundled", "bundled_tiny")


def measure(folder: Path, images: int, threads: int, keep: bool) -> dict[str, float]:
    """Milliseconds a photo of each checkpoint and request, in this process."""
    if not keep:
        torch_backend.keep_pages, predicting.PIXELS = (lambda: None), 1_000_000
    torch.set_num_threads(threads)
    photos = [read_image(path) for path in sorted(folder.iterdir())[:images]]
    found = {}
    for checkpoint in CHECKPOINTS:
        for request in REQUESTS:
            predictor = load(checkpoint, device="cpu")
            predictor.read(photos[0], **request)
            began = time.perf_counter()
            for photo in photos:
                predictor.read(photo, **request)
            name = ", ".join(f"{key} {value:g}" for key, value in request.items())
            found[f"{checkpoint}, {name}"] = 1000 * (time.perf_counter() - began) / len(photos)
    return found


def main() -> None:
    """Take turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", choices=["keep", "fresh"], help="measure one of them in this process, print JSON")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.folder, options.images, options.threads, options.one == "keep")))
        return
    least: dict[str, dict[str, float]] = {"fresh": {}, "keep": {}}
    for _ in range(options.rounds):
        for one, best in least.items():
            done = subprocess.run([sys.executable, *sys.argv, "--one", one], capture_output=True, text=True, check=True)
            for name, value in json.loads(done.stdout).items():
                best[name] = min(value, best.get(name, value))
    table = Table("", "fresh pages, ms", "kept pages, ms", "ratio")
    for name, before in least["fresh"].items():
        table.add_row(name, f"{before:.0f}", f"{least['keep'][name]:.0f}", f"{least['keep'][name] / before:.2f}")
    rich.print(table)


if __name__ == "__main__":
    main()
