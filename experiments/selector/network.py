"""Which network should look at the thumbnail? What each knows of unseen images, and what a decision takes.

    python experiments/selector/network.py [--train 3000] [--validation 400] [--steps 1500] [--seeds 2]

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

from dld_spotter import assembly
from dld_spotter.entry import ROOT
from dld_spotter.fitting import Glances, judge_heights, learn_heights
from dld_spotter.models.selector import QualitySelector, folded

NETWORKS = {
    "four convolutions of stride 2": {"channels": (16, 32, 64, 96)},
    "strides 4, 2, 2": {"channels": (32, 64, 96), "strides": (4, 2, 2)},
    "strides 4, 4": {"channels": (32, 96), "strides": (4, 4)},
}
SCALES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)


def main() -> None:
    """Look at scenes once, teach every network, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, count in (("train", 3000), ("validation", 400), ("steps", 1500), ("seeds", 2)):
        parser.add_argument(f"--{name}", type=int, default=count)
    options = parser.parse_args()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [f"data.train.length={options.train}", f"data.validation.length={options.validation}"])
    edges = QualitySelector(SCALES, 0.2, [1.0]).edges
    training = Glances.of(assembly.build_whole_loader(config, options.train, [1.0]), edges, "looking at scenes")
    unseen = Glances.of(assembly.build_validation_loader(config), edges, "looking at validation scenes")
    table = Table("network", "deviance per unseen image", "of the mean", "ms")
    for name, settings in NETWORKS.items():
        found = []
        for seed in range(options.seeds):
            torch.manual_seed(seed)
            selector = QualitySelector(SCALES, 0.2, [1.0], **settings)
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
