"""How fast one core renders: scenes with at least eight words, dense images, and images with real word crops.

python experiments/benchmarks/renderer.py --images 300 [--crops FOLDER]
"""

import argparse
import time
from collections.abc import Mapping

import cv2

from dld_spotter.data.synthetic import (
    REGIMES,
    CropPaste,
    CropSource,
    Degradation,
    DenseLayout,
    Occlusion,
    Regime,
    SceneLayout,
    SceneRenderer,
)
from dld_spotter.data.synthetic.layout import Layout

LEAST_WORDS = 8
CAMERA = Degradation(defocus_probability=0.15, low_light_probability=0.08)
"""As data=scenes trains with; data=dense trains with the camera's defaults."""
TARGETS = {"scenes": ("images/s", 60.0), "dense": ("words/s", 2500.0)}
"""Rows that must reach a speed on one core."""


def crowded_scenes(size: int, crops: CropPaste | None = None) -> SceneLayout:
    """Scenes whose regimes aim at more than ``LEAST_WORDS`` words of widely differing sizes."""
    regimes = {name: Regime(REGIMES[name].heights, (LEAST_WORDS + 2, 22), 1.0) for name in ("medium", "small", "mixed")}
    return SceneLayout(size, size, regimes, crops=crops)


def measure(renderer: SceneRenderer, images: int, warm_up: int, least_words: int) -> Mapping[str, float]:
    """Render on this core, and measure the images with at least so many words, in processor time."""
    for index in range(warm_up):
        renderer.render(index)
    seconds, words = [], []
    for index in range(images):
        start = time.process_time()
        sample = renderer.render(warm_up + index)
        spent = time.process_time() - start
        if len(sample.instances) >= least_words:
            seconds.append(spent)
            words.append(len(sample.instances))
    return {
        "measured": len(words),
        "words": sum(words) / len(words),
        "images/s": len(words) / sum(seconds),
        "words/s": sum(words) / sum(seconds),
    }


def main() -> None:
    """Print a table with one row for each kind of image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=300, help="images rendered per row (default: %(default)s)")
    parser.add_argument("--warm-up", type=int, default=600, help="rendered before, to fill caches (default: %(default)s)")
    parser.add_argument("--size", type=int, default=384, help="side of a scene in pixels (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes (default: %(default)s)")
    parser.add_argument("--crops", help="folder with words_map.tsv, to measure images with real word crops as well")
    options = parser.parse_args()
    cv2.setNumThreads(0)
    rows: dict[str, tuple[Layout, int]] = {
        f"scenes of {options.size}": (crowded_scenes(options.size), LEAST_WORDS),
        "dense of 256": (DenseLayout(), 1),
    }
    if options.crops:
        source = CropSource(options.crops)
        rows["scenes with crops"] = (crowded_scenes(options.size, CropPaste(source, share=0.6)), LEAST_WORDS)
        rows["dense of crops"] = (DenseLayout(crops=CropPaste(source)), 1)
    print(f"{'per core':20} {'images':>7} {'words each':>11} {'images/s':>9} {'words/s':>8}  target")
    for name, (layout, least) in rows.items():
        extras = {} if isinstance(layout, DenseLayout) else {"degradation": CAMERA, "occlusion": Occlusion(0.2)}
        renderer = SceneRenderer(options.seed, layout, **extras)
        found = measure(renderer, options.images, options.warm_up, least)
        unit, target = TARGETS.get(name.partition(" of")[0], ("", 0.0)) if " with" not in name else ("", 0.0)
        goal = f"{target:g} {unit}: {'reached' if found[unit] >= target else 'missed'}" if unit else ""
        print(
            f"{name:20} {found['measured']:7} {found['words']:11.1f} {found['images/s']:9.1f} {found['words/s']:8.0f}  {goal}",
            flush=True,
        )


if __name__ == "__main__":
    main()
