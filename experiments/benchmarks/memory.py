"""Does memory grow while photos are read? Exit status 1 if the second half of the run needs over 5 % more than the first.

python experiments/benchmarks/memory.py --images 500
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import track

from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.onnx import OnnxSpotter
from dld_spotter.reading import load

MOST_GROWTH = 1.05


def main() -> int:
    """Read photos of sizes that differ; print the peak of each half in MB."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500, help="photos to read (default: %(default)s)")
    parser.add_argument("--ckpt", default="bundled", help="checkpoint (default: %(default)s)")
    parser.add_argument("--onnx", help="folder of an export to read with instead")
    parser.add_argument("--seed", type=int, default=3, help="of the photos' sizes and scales (default: %(default)s)")
    options = parser.parse_args()
    reader = OnnxSpotter(options.onnx) if options.onnx else load(options.ckpt, device="cpu")
    rng = np.random.default_rng(options.seed)
    renderer = SceneRenderer(options.seed, SceneLayout(480, 640))
    scenes = [Image.fromarray(renderer.render(index).image) for index in range(20)]
    resident = []
    for index in track(range(options.images), "reading", transient=True):
        width, height = rng.integers(200, 1400, 2).tolist()
        reader.read(scenes[index % len(scenes)].resize((width, height)), scale=float(rng.choice([0.3, 0.5, 0.7, 1.0])))
        resident.append(resident_megabytes())
    first, second = np.array_split(resident, 2)
    print(f"{options.images} photos: first half at most {first.max():.0f} MB, second half {second.max():.0f} MB")
    return 0 if second.max() <= MOST_GROWTH * first.max() else 1


def resident_megabytes() -> float:
    """Resident memory of this process (Linux)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
