"""What is found and read with weights between those that a training began with and those that it ended with (arXiv 2109.01903).

    python experiments/27_ppocr_words/between.py START.ckpt OUTPUT/end.pt --data DATA [--shares 0 0.5 1] [--scales 1.0 0.5]

A share of 0 is START, 1 is what the training ended with. Scores are chosen best for each figure, as in evaluate.py.
"""

import argparse
from pathlib import Path

import torch
from crops import validation_photos
from detectors import OfSpotter
from evaluate import show


def main() -> None:
    """Mix weights, and evaluate each mixture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("start", type=Path)
    parser.add_argument("end", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.5, 1.0])
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0, 0.5])
    arguments = parser.parse_args()
    kind, photos = OfSpotter(arguments.start), validation_photos(arguments.data / "icdar2015" / "train")
    end = torch.load(arguments.end, weights_only=True)["average"]
    for share in arguments.shares:
        spotter = kind.start()
        start = spotter.state_dict()
        mixed = {
            name: torch.lerp(value, end[name].to(value.dtype), share) if value.is_floating_point() else value
            for name, value in start.items()
        }
        spotter.load_state_dict(mixed)
        for scale in arguments.scales:
            print(f"share {share:g}, {show(scale, kind.evaluate(spotter, photos, len(photos), scale))}", flush=True)


if __name__ == "__main__":
    main()
