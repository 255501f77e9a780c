"""What does choosing a scale cost? Exit status 1 where a bound is not kept.

python experiments/benchmarks/selector.py

An untrained selector takes as long as a trained one. The operating points of the bundled weights need no thumbnail, and cost
nothing.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from dld_spotter.config.entry import ROOT
from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.inference.checkpoint import load_checkpoint
from dld_spotter.inference.predictor import Predictor
from dld_spotter.inference.torch_backend import TorchBackend, usable_device
from dld_spotter.models.folding import folded

MOST_FLOPS, MOST_SECONDS = 0.01, 0.03
"""Of a forward pass at scale 1.0, and of one at the lowest scale."""


def main() -> int:
    """Print one line per size of photo."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40, help="of which the median counts (default: %(default)s)")
    options = parser.parse_args()
    backend, kept = TorchBackend(load_checkpoint("bundled").spotter(), usable_device("cpu")), True
    print("selector  photo       of the FLOP at 1.0  choosing    reading at the lowest scale  of these seconds")
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", ["selector=gumbel"])
    selector = folded(instantiate(config.selector))
    selector.thumbnail = config.thumbnail
    predictor = Predictor(backend, selector)
    for height, width in ((512, 512), (720, 1280)):
        photo = SceneRenderer(1, SceneLayout(height, width)).render(0).image
        share = selector.gflops / backend.cost(height, width, 0)
        choosing = median(partial(predictor.decide, photo), options.runs)
        reading = median(partial(predictor.read, photo, scale=min(predictor.scales)), options.runs)
        kept &= share < MOST_FLOPS and choosing < MOST_SECONDS * reading
        size = f"{width} x {height}"
        print(
            f"gumbel    {size:<10}  {share:>18.2%}  {1000 * choosing:>5.2f} ms  {1000 * reading:>24.1f} ms"
            f"  {choosing / reading:>16.1%}"
        )
    return 0 if kept else 1


def median(run: Callable[[], object], runs: int) -> float:
    """Seconds of one run, after two to warm up."""
    seconds = []
    for _ in range(runs + 2):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[2:]))


if __name__ == "__main__":
    sys.exit(main())
