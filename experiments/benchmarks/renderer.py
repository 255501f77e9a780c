"""How fast one core renders: images and words per second, scenes and dense images.

python experiments/benchmarks/renderer.py --images 300 [--crops FOLDER]
"""

import argparse
import time

import cv2

from dld_spotter.data.synthetic import CropPaste, CropSource, DenseLayout, SceneLayout, SceneRenderer


def measure(renderer: SceneRenderer, images: int, warm_up: int) -> tuple[float, float]:
    """Render on this core; return images and words per second of processor time."""
    for index in range(warm_up):
        renderer.render(index)
    start = time.process_time()
    words = sum(len(renderer.render(warm_up + index).instances) for index in range(images))
    seconds = time.process_time() - start
    return images / seconds, words / seconds


def main() -> None:
    """Print one line per layout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=300, help="images measured per layout (default: %(default)s)")
    parser.add_argument("--warm-up", type=int, default=100, help="rendered before, to fill caches (default: %(default)s)")
    parser.add_argument("--size", type=int, default=384, help="side of a scene in pixels (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes (default: %(default)s)")
    parser.add_argument("--crops", help="folder with words_map.tsv, to measure images with real word crops as well")
    options = parser.parse_args()
    cv2.setNumThreads(0)
    layouts = {f"scenes {options.size}": SceneLayout(options.size, options.size), "dense 256": DenseLayout()}
    if options.crops:
        crops = CropPaste(CropSource(options.crops), share=0.6)
        layouts[f"scenes {options.size} with crops"] = SceneLayout(options.size, options.size, crops=crops)
        layouts["dense 256 of crops"] = DenseLayout(crops=CropPaste(CropSource(options.crops)))
    for name, layout in layouts.items():
        images, words = measure(SceneRenderer(options.seed, layout), options.images, options.warm_up)
        print(f"{name:22} {images:7.1f} images/s {words:8.0f} words/s per core")


if __name__ == "__main__":
    main()
