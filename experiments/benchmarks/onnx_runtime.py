"""Does the exported spotter read what torch reads, and how much faster? Exit status 1 where a bound is not kept.

python experiments/benchmarks/onnx_runtime.py --images 50
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.progress import track

from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.export import write
from dld_spotter.inference.agreement import LEAST, Agreement
from dld_spotter.inference.checkpoint import load_checkpoint
from dld_spotter.inference.loading import load
from dld_spotter.inference.onnx_backend import onnx_predictor
from dld_spotter.inference.predictor import Predictor, Reading

MOST_SECONDS = 0.8
"""Of torch's, at every scale."""


def main() -> int:
    """Read every scene at every scale with both, taking turns; print one line per scale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt", default="bundled", help="checkpoint (default: %(default)s)")
    parser.add_argument("--folder", help="what was exported from it; exported anew by default")
    parser.add_argument("--images", type=int, default=50, help="rendered scenes (default: %(default)s)")
    parser.add_argument("--size", type=int, nargs=2, default=(720, 960), help="of a scene (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of torch and of ONNX Runtime (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=5, help="of the scenes (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    checkpoint, predictor = load_checkpoint(options.ckpt), load(options.ckpt, device="cpu")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary)
        if not options.folder:
            write(checkpoint, predictor, folder)
        exported = onnx_predictor(folder, threads=options.threads)
        renderer = SceneRenderer(options.seed, SceneLayout(*options.size))
        images = [renderer.render(index).image for index in range(options.images)]
        return compare(predictor, exported, images, checkpoint.provenance["scales"])


def compare(predictor: Predictor, exported: Predictor, images: list[np.ndarray], scales: list[float]) -> int:
    """Print agreement and seconds per image of each scale; returns the exit status."""
    print(f"{len(images)} scenes of {images[0].shape[1]} x {images[0].shape[0]}, {torch.get_num_threads()} thread(s)")
    print("scale  words  polygons     texts    scores   torch s    ONNX s  ratio  of processor time")
    pairs, clocks, ratios = [], np.zeros((0, 4)), []
    for scale in scales:
        for warm_up in (predictor, exported):
            warm_up.read(images[0], scale=scale)
        rows, found = [], []
        for image in track(images, f"scale {scale:g}", transient=True):
            readings, times = zip(*(clocked(each, image, scale) for each in (predictor, exported)), strict=True)
            found.append(readings)
            rows.append(np.concatenate(times))
        print_row(f"{scale:5g}", found, np.array(rows))
        pairs += found
        clocks = np.concatenate([clocks, rows])
        wall = np.sum(rows, axis=0)
        ratios.append(wall[2] / wall[0])
    print_row("  all", pairs, clocks)
    shares = Agreement.of(pairs).shares()
    kept = all(shares[name] >= least for name, least in LEAST.items())
    return 0 if kept and max(ratios) <= MOST_SECONDS else 1


def clocked(predictor: Predictor, image: np.ndarray, scale: float) -> tuple[Reading, np.ndarray]:
    """Reading, and the seconds of wall and processor that it took."""
    wall, processor = time.perf_counter(), time.process_time()
    reading = predictor.read(image, scale=scale)
    return reading, np.array([time.perf_counter() - wall, time.process_time() - processor])


def print_row(name: str, pairs: list[tuple], clocks: np.ndarray) -> None:
    """One line: agreement in percent, seconds per image, ratios."""
    agreement = Agreement.of(pairs)
    shares = "  ".join(f"{100 * share:6.2f} %" for share in agreement.shares().values())
    torch_wall, torch_processor, wall, processor = clocks.mean(0)
    times = f"{torch_wall:8.3f}  {wall:8.3f}  {wall / torch_wall:5.2f}  {processor / torch_processor:17.2f}"
    print(f"{name}  {agreement.words:5}  {shares}  {times}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
