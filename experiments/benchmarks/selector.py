"""What does choosing a scale cost? Exit status 1 where a bound is not kept.

python experiments/benchmarks/selector.py

An untrained selector takes as long as a trained one; the ladder of the bundled weights looks its step up and costs nothing.
"""

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from dld_spotter.cost import FlopCost, selector_gflops
from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.data.views import make_thumbnails
from dld_spotter.entry import ROOT
from dld_spotter.reading import load

MOST_FLOPS, MOST_SECONDS = 0.01, 0.03
"""Of one look at scale 1.0, and of one at the cheapest scale."""


def main() -> int:
    """Print one line per selector and size of photo."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40, help="of which the median counts (default: %(default)s)")
    options = parser.parse_args()
    reader = load("bundled", device="cpu")
    flops, kept = FlopCost(reader.spotter), True
    print("selector  photo       of the FLOP at 1.0  choosing    reading at the lowest scale  of these seconds")
    for name in ("quality", "gumbel"):
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            config = compose("train", [f"selector={name}"])
        selector = instantiate(config.selector).eval()
        scales, thumbnail = list(selector.scales), config.thumbnail
        for height, width in ((512, 512), (720, 1280)):
            photo = SceneRenderer(1, SceneLayout(height, width)).render(0).image
            costs = torch.tensor([[flops.cost(round(height * scale), round(width * scale)) for scale in scales]])
            sizes = torch.tensor([[height, width]])

            def choose(photo: np.ndarray = photo, costs: torch.Tensor = costs, sizes: torch.Tensor = sizes) -> None:
                with torch.inference_mode():
                    selector.choose(make_thumbnails([photo], thumbnail), sizes, costs / costs[:, -1:])  # noqa: B023

            share = selector_gflops(selector, thumbnail) / flops.cost(height, width)
            choosing = median(choose, options.runs)
            reading = median(lambda photo=photo: reader.read(photo, scale=min(scales)), options.runs)  # noqa: B023
            kept &= share < MOST_FLOPS and choosing < MOST_SECONDS * reading
            size = f"{width} x {height}"
            print(
                f"{name:<8}  {size:<10}  {share:>18.2%}  {1000 * choosing:>5.2f} ms  {1000 * reading:>24.1f} ms"
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
