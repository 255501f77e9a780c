"""What does it take to choose at which size an OCR engine reads a photo? Exit status 1 where it is more than 3 ms.

python experiments/benchmarks/engine_choice.py

A policy of 300 images and seven ways, whose numbers do not matter, chooses for a rendered photo of 1280 x 720: thumbnail,
features, kernels, and the way of least loss and cost. One thread; the time of the processor counts, other work does not.
"""

import argparse
import sys
import time

import cv2
import numpy as np
import torch

from dld_spotter.budget.engine_latency import EngineLatency
from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.selection.sizes.features import describe
from dld_spotter.selection.sizes.fitting import fit_policy
from dld_spotter.selection.sizes.outcomes import EngineOutcomes

IMAGES, MOST_MS = 300, 3.0
SIZES, AGAIN = (320, 448, 640, 896, 1280), (448, 640)


def outcomes() -> EngineOutcomes:
    """A table of random numbers of the usual size."""
    drawn = np.random.default_rng(0)
    ways = len(SIZES) + len(AGAIN)
    counts = [drawn.integers(0, 50, (IMAGES, ways)) for _ in range(4)]
    features = drawn.normal(size=(IMAGES, len(describe(np.zeros((72, 128, 3), np.uint8)))))
    thresholds = np.array([np.inf] * len(SIZES) + [2.0] * len(AGAIN))
    sides, shares = np.tile([720, 1280], (IMAGES, 1)), drawn.random((IMAGES, ways))
    names = np.array([f"img_{k}" for k in range(IMAGES)])
    return EngineOutcomes("any 1", names, sides, features, np.array([*SIZES, *AGAIN]), thresholds, *counts, shares, shares)


def main() -> int:
    """Print the milliseconds of the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="of which the median counts (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    policy, cost = fit_policy(outcomes(), max(SIZES)), EngineLatency(0.01, 0.4, 0.01).seconds
    photo = SceneRenderer(1, SceneLayout(720, 1280)).render(0).image
    policy.decide(photo, cost)
    parts = {"features": lambda: describe(photo), "all of it": lambda: policy.decide(photo, cost)}
    for name, part in parts.items():
        spent = []
        for _ in range(options.runs):
            start = time.process_time()
            part()
            spent.append(1000 * (time.process_time() - start))
        print(f"{name}: {np.median(spent):.2f} ms (least {min(spent):.2f})")
    return int(np.median(spent) > MOST_MS)


if __name__ == "__main__":
    sys.exit(main())
