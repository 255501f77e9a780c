"""Wall time of RapidOCR as it comes, at fixed sizes, and under a budget, taking turns over the same images; no truth is read.

    python experiments/31_any_engine/timing.py OUT --data DATA [--images 24] [--threads 2]

Some ten minutes on two idle cores. OUT is a JSON file: mean milliseconds of each method on photos, receipts, both, and both
resized by 0.5 to 3. Budgets are shares of what the engine as it comes took in the same run; the policy is that of this folder.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from collect import drawn, jobs, resized

from dld_spotter.data.photos import ReferenceSize, read_image
from dld_spotter.inference.adaptive_engine import AdaptiveEngine
from dld_spotter.inference.engines.rapidocr import RapidOCR
from dld_spotter.inference.predictor import Predictor
from dld_spotter.selection.sizes.outcomes import Way

POLICY = Path(__file__).with_name("policy_one_pass_images.json")
MIN_SCORE = 0.8
"""Of the policy; chosen on training images."""
FIXED = (640, 896, 1280)
SHARES = (0.6, 0.8)
WARM = 2
"""Images that every method reads beforehand."""


def methods(threads: int) -> dict[str, Callable[[np.ndarray], float]]:
    """Name of each method that needs no budget -> seconds of reading an image."""
    engine, comes = RapidOCR(MIN_SCORE, threads), RapidOCR(threads=threads, own_size=True)
    fixed, default = Predictor(engine, reference=ReferenceSize(long=1280)), Predictor(comes, reference=ReferenceSize())

    def at(size: int) -> Callable[[np.ndarray], float]:
        def read(image: np.ndarray) -> float:
            point = Way(size).point(*fixed.reference(*image.shape[:2]))
            return fixed.read_points([image], [point], decided=False)[0].seconds

        return read

    return {"as it comes": lambda image: default.read(image, scale=1.0).seconds} | {
        f"{size} pixels": at(size) for size in FIXED
    }


def main() -> None:
    """Time, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--part", default="val")
    parser.add_argument("--images", type=int, default=24, help="and as many resized ones (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    chosen = list(jobs(asked.data, asked.part, (40, 16)))[: 2 * asked.images]
    images = [resized(read_image(path), factor) for _, path, factor in chosen]
    sets = [("resized" if factor != 1 else kind) for kind, _, factor in chosen]
    order = sorted(range(len(chosen)), key=lambda k: drawn(f"turn {k}"))
    plain = methods(asked.threads)
    adaptive = AdaptiveEngine(RapidOCR(MIN_SCORE, asked.threads), POLICY)
    start = time.perf_counter()
    print(adaptive.latency)
    spent: dict[str, dict[int, float]] = {}
    for read in plain.values():
        for image in images[:WARM]:
            read(image)
    for k in order:
        for name, read in plain.items():
            spent.setdefault(name, {})[k] = 1000 * read(images[k])
    for resizing in (False, True):  # a budget for each mix
        here = [k for k in order if (sets[k] == "resized") == resizing]
        full = float(np.mean([spent["as it comes"][k] for k in here]))
        for k in here:
            for share in SHARES:
                seconds = adaptive(images[k], budget_ms=round(share * full, 1)).seconds
                spent.setdefault(f"budget of {share:g}", {})[k] = 1000 * seconds
    groups = {name: [k for k in order if sets[k] == name] for name in ("icdar2015", "sroie", "resized")}
    groups["mix"] = groups["icdar2015"] + groups["sroie"]
    means = {
        name: {group: round(float(np.mean([each[k] for k in ks])), 1) for group, ks in groups.items()}
        for name, each in spent.items()
    }
    for name, row in means.items():
        print(f"{name:>16}  " + "  ".join(f"{group} {value:.0f} ms" for group, value in row.items()))
    about = {"images": {group: len(ks) for group, ks in groups.items()}, "threads": asked.threads}
    asked.out.write_text(json.dumps(about | {"latency": adaptive.latency.to_dict(), "milliseconds": means}, indent=1) + "\n")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
