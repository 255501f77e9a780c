"""Which network should look at the thumbnail? What each knows of unseen images, and what a decision takes.

    python experiments/26_selector_network/network.py [--train 3000] [--validation 400] [--steps 1500] [--seeds 2] \
        [--thumbnail 128]

Each learns from the same thumbnails of rendered scenes how many words of each height they show (``fit_selector``); the Poisson
deviance per unseen image tells how well, beside that of the mean. Milliseconds are of the network alone, batch normalisation
folded, on one thumbnail. No test scene takes part.
"""

import argparse

import torch
import torch.utils.benchmark
from hydra import compose, initialize_config_dir
from rich.console import Console
from rich.table import Table
from torch import nn

from dld_spotter.config import assembly
from dld_spotter.config.entry import ROOT
from dld_spotter.models.folding import folded
from dld_spotter.selection.fitting import ThumbnailSet, judge_heights, learn_heights
from dld_spotter.selection.quality import QualitySelector

NETWORKS = {
    "four convolutions of stride 2": ((16, 2), (32, 2), (64, 2), (96, 2)),
    "three, the first on patches of 4 x 4": ((32, 4), (64, 2), (96, 2)),
    "two on patches of 4 x 4": ((32, 4), (96, 4)),
}
"""Channels and stride of each convolution."""
SCALES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)


def convolutions(layers: tuple[tuple[int, int], ...]) -> nn.Sequential:
    """Build them as the selector's network has them; kernels are 3 x 3, or patches that tile the thumbnail."""
    blocks, inputs = [], 3
    for outputs, stride in layers:
        kernel, padding = (stride, 0) if stride > 3 else (3, 1)
        conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        blocks.append(nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)))
        inputs = outputs
    return nn.Sequential(*blocks).to(memory_format=torch.channels_last)


def main() -> None:
    """Look at scenes once, teach every network, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, count in (("train", 3000), ("validation", 400), ("steps", 1500), ("seeds", 2), ("thumbnail", 128)):
        parser.add_argument(f"--{name}", type=int, default=count)
    options = parser.parse_args()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        lengths = [f"data.{part}.length={getattr(options, part)}" for part in ("train", "validation")]
        config = compose("train", [*lengths, f"thumbnail={options.thumbnail}"])
    edges = QualitySelector(SCALES, 0.2, [1.0]).edges
    training = ThumbnailSet.of(assembly.build_whole_loader(config, options.train, [1.0]), edges, "looking at scenes")
    unseen = ThumbnailSet.of(assembly.build_validation_loader(config), edges, "looking at validation scenes")
    table = Table("network", "deviance per unseen image", "of the mean", "ms")
    for name, layers in NETWORKS.items():
        found = []
        for seed in range(options.seeds):
            torch.manual_seed(seed)
            selector = QualitySelector(SCALES, 0.2, [1.0])
            selector.network.body = convolutions(layers)
            learn_heights(selector, training, options.steps, 64, 4e-3, seed)
            deviance, nothing = judge_heights(selector, unseen)
            found.append(deviance)
        reader = folded(selector).network
        with torch.inference_mode():
            one = unseen.thumbnails[:1].contiguous(memory_format=torch.channels_last)
            timer = torch.utils.benchmark.Timer(
                "reader(one)", globals={"reader": reader, "one": one}, num_threads=torch.get_num_threads()
            )
            seconds = timer.blocked_autorange(min_run_time=1).median
        table.add_row(name, " ".join(f"{value:.2f}" for value in found), f"{nothing:.2f}", f"{1000 * seconds:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
