"""Chooses on validation photos how regions are grown back and how much of a trained recogniser is taken.

    python experiments/29_recogniser_on_own_regions/choose.py CKPT --data DATA [--recognizer OUTPUT/end.pt] [--shares 0 0.5 1]
        [--thresholds 0.2 0.3 0.4] [--shrinks 0.4 0.5 0.6] [--margins 0 0.06] [--joins 0 0.1] [--scales 1.0 0.5]
        [--width-ratios 1 0.85]

CKPT is a spotter with PP-OCR's detector and recogniser. Each row is a threshold of the text map, a probability above which
regions of one line are joined, a ratio by which regions are grown back, how far crops reach beyond words, and a mixture of
recognisers (arXiv 2109.01903); the score below which words are dropped is the best one of each.
Nothing is weighed against a list of words.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm
from train import mixed
from words import read_photos

from dld_spotter.core.batches import DetectionMaps, Sample, Word
from dld_spotter.data.views import make_view
from dld_spotter.inference.checkpoint import load_checkpoint
from dld_spotter.metrics.matching import Hmean, match_images
from dld_spotter.models.spotter import MapSpotter

LEAST = 0.05
"""Words below this score are no candidates."""
SCORES = np.arange(0.3, 0.85, 0.05)


class Remembered:
    """Text maps of photos, computed once, in place of a spotter's detector.

    Args:
        spotter: whose :meth:`detect_maps` it takes the place of.
    """

    def __init__(self, spotter: MapSpotter) -> None:
        self.detect, self.maps, self.key = spotter.detect_maps, {}, (0, 0.0)
        spotter.detect_maps = self

    def __call__(self, images: Tensor) -> tuple[tuple[Tensor, ...], DetectionMaps]:
        """As :meth:`detect_maps`, of the photo and scale that ``key`` names."""
        if self.key not in self.maps:
            self.maps[self.key] = self.detect(images)[1].text.half()
        return (images.float(),), DetectionMaps(self.maps[self.key].float())


@torch.inference_mode()
def spot(spotter: MapSpotter, maps: Remembered, photos: Sequence[Sample], scale: float) -> list[list[Word]]:
    """Words of photos that are found at a scale and read from the full resolution, whatever their score."""
    words = []
    for index, sample in enumerate(tqdm(photos, leave=False)):
        maps.key = (index, scale)
        view, full = (make_view([sample.image], factor, spotter.stride) for factor in (scale, 1.0))
        words.append(spotter.spot(replace(view, full=full))[0])
    return words


def best(photos: Sequence[Sample], words: Sequence[Sequence[Word]]) -> tuple[Hmean, float]:
    """The highest end-to-end Hmean that a least score gives, and that score."""
    found = []
    for score in SCORES.tolist():
        kept = [[word for word in one if word.score >= score] for one in words]
        counts = [match.counts for match in match_images([photo.instances for photo in photos], kept, exact=False)]
        found.append((Hmean.of(counts), score))
    return max(found, key=lambda pair: pair[0].hmean)


def main() -> None:
    """Evaluate every row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ckpt")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recognizer", type=Path, help="end.pt of train.py; without it the checkpoint's own is taken")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.5, 1.0], help="of the trained recogniser")
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.2, 0.3, 0.4])
    parser.add_argument("--shrinks", type=float, nargs="+", default=[0.4, 0.5, 0.6])
    parser.add_argument("--margins", type=float, nargs="+", default=[0.0, 0.06, 0.12], help="of a word's height")
    parser.add_argument("--joins", type=float, nargs="+", default=[0.0], help="0 for none")
    parser.add_argument("--width-ratios", type=float, nargs="+", help="of crops; without it that of the checkpoint")
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0, 0.5])
    parser.add_argument("--photos", type=int, default=100)
    arguments = parser.parse_args()
    spotter = load_checkpoint(arguments.ckpt, "none").spotter().eval()
    spotter.min_score = LEAST
    start = {name: value.clone() for name, value in spotter.recognizer.state_dict().items()}
    end = torch.load(arguments.recognizer, weights_only=True)["average"] if arguments.recognizer else start
    shares = arguments.shares if arguments.recognizer else [0.0]
    photos = read_photos(arguments.data / "icdar2015" / "train", validation=True)[: arguments.photos]
    maps, decoder = Remembered(spotter), spotter.postprocess
    ratios = arguments.width_ratios or [spotter.recognizer.width_ratio]
    tried = product(arguments.thresholds, arguments.joins, arguments.shrinks, arguments.margins, shares, ratios)
    for threshold, join, shrink, margin, share, ratio in tried:
        spotter.recognizer.margin, spotter.recognizer.width_ratio = margin, ratio
        spotter.postprocess = replace(decoder, threshold=threshold, join_above=join, shrink=shrink)
        spotter.recognizer.load_state_dict(mixed(start, end, share))
        figures = []
        for scale in arguments.scales:
            reading, score = best(photos, spot(spotter, maps, photos, scale))
            figures.append(f"{100 * reading.hmean:.1f} at {scale:g} (score {score:.2f})")
        row = f"threshold {threshold:g}, joined above {join:g}, shrink {shrink:g}, margin {margin:g}, share {share:g}"
        row += f", width ratio {ratio:g}"
        print(f"{row}: {', '.join(figures)}", flush=True)


if __name__ == "__main__":
    main()
