"""Does memory grow while photos are read? Exit status 1 if the second half of the run needs over 5 % more than the first.

python experiments/benchmarks/memory.py --images 500
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import track

from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.inference.loading import load

MOST_GROWTH = 1.05
BETWEEN = 50
"""Photos between two lines of the output."""


def main() -> int:
    """Read photos of sizes that differ; print the peak of each half in MB."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500, help="photos to read (default: %(default)s)")
    parser.add_argument("--ckpt", default="bundled", help="checkpoint, or folder of an export (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=3, help="of the photos' sizes and scales (default: %(default)s)")
    parser.add_argument("--kernels", type=int, default=1024, help="that oneDNN keeps (default: %(default)s, as predict)")
    options = parser.parse_args()
    os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] = str(options.kernels)  # looked at when the first one is made
    predictor = load(options.ckpt, device="cpu")
    rng = np.random.default_rng(options.seed)
    renderer = SceneRenderer(options.seed, SceneLayout(480, 640))
    scenes = [Image.fromarray(renderer.render(index).image) for index in range(20)]
    resident, seconds = [], 0.0
    for index in track(range(options.images), "reading", transient=True):
        width, height = rng.integers(200, 1400, 2).tolist()
        scale = float(rng.choice([0.3, 0.5, 0.7, 1.0]))
        reading = predictor.read(scenes[index % len(scenes)].resize((width, height)), scale=scale)
        seconds += reading.seconds
        resident.append(resident_megabytes())
        if (index + 1) % BETWEEN == 0:
            print(f"{index + 1:5} photos  {max(resident[-BETWEEN:]):6.0f} MB at most", flush=True)
    first, second = (half.max() for half in np.array_split(resident, 2))
    print(f"first half at most {first:.0f} MB, second half {second:.0f} MB: {second / first:.3f} of it")
    print(f"{seconds / options.images:.3f} s a photo")
    return 0 if second <= MOST_GROWTH * first else 1


def resident_megabytes() -> float:
    """Resident memory of this process (Linux)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
