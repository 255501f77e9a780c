"""Do several processes of Ray Data read of a thousand small photos what one process reads, and how long do they take?

    python experiments/benchmarks/many_photos.py [--photos 1000] [--workers 2] [--budget 0.3]

The photos are rendered. Without a budget all are read at scale 1.0, and every line but its seconds must be the same; with one
the lines may differ, and the mean of each shard must come near it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from dld_spotter.data.synthetic import SceneLayout, SceneRenderer

PROBABILITIES = {"medium": 0.5, "small": 0.5}


def render(folder: Path, count: int) -> None:
    """Write ``count`` photos of 96 x 64 pixels, some without words."""
    renderer = SceneRenderer(5, SceneLayout(64, 96, probabilities=PROBABILITIES))
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{number:05d}.jpg"
        if not path.exists():
            Image.fromarray(renderer.render(number).image).save(path, quality=92)


def predict(*arguments: str) -> tuple[float, str]:
    """Run the command; returns its seconds and its closing line."""
    start = time.perf_counter()
    line = [sys.executable, "-m", "dld_spotter.predict", "ckpt=bundled_tiny", "device=cpu", "draw=false", *arguments]
    ended = subprocess.run(line, capture_output=True, text=True, check=True)
    return time.perf_counter() - start, ended.stderr.strip().splitlines()[-1]


def read(path: Path) -> list[dict[str, Any]]:
    """Lines without the seconds."""
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def main() -> None:
    """Render, read twice, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--budget", type=float)
    given = parser.parse_args()
    wish = "scale=1.0" if given.budget is None else f"budget={given.budget}"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        render(folder / "photos", given.photos)
        common = (wish, f"input={folder / 'photos'}")
        ways = {"alone": (), "together": (f"workers={given.workers}",)}
        for name, extra in ways.items():
            seconds, closing = predict(*common, *extra, f"out={folder / name}.jsonl")
            print(f"{name}: {seconds:.0f} s; {closing.partition('; ')[2] or 'no budget'}")
        one, other = (read(folder / f"{name}.jsonl") for name in ways)
    differing = sum(first != second for first, second in zip(one, other, strict=True))
    words = sum(len(line["words"]) for line in one)
    print(f"{len(one)} photos, {words} words; {differing} lines differ")
    if given.budget is None and differing:
        sys.exit("error: the processes do not read what one process reads")


if __name__ == "__main__":
    main()
