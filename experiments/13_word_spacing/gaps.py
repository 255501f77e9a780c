"""How far apart do the words of a line stand, in photos and in our scenes?

    python experiments/13_word_spacing/gaps.py ICDAR2015/train/gts [--images 200]

Prints quantiles of the gap between the boxes of neighbours in a line, relative to their height: of annotated photos, and of
rendered scenes at several values of ``renderer.spacing``. Words that are don't-care have no part in it.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from rich import print
from rich.table import Table

from dld_spotter.core.geometry import polygon_to_boundaries
from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.metrics.formats import read_annotations

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SPACINGS = ((0.25, 0.6), (0.05, 0.3))
ASIDE, ALIKE, FARTHEST = 0.35, 1.7, 1.5
"""Neighbours of a line: middles at most so many heights aside, heights alike up to this factor, gaps up to so many heights."""


def gaps(polygons: Iterable[np.ndarray]) -> list[float]:
    """Gap between each word and the next one of its line, relative to the word's height; negative where boxes overlap."""
    words = [polygon_to_boundaries(np.asarray(polygon, np.float32), 2) for polygon in polygons]
    found = []
    for boundaries in words:
        along = (boundaries[:, 1] - boundaries[:, 0]).mean(0)
        width = np.linalg.norm(along)
        along = along / max(width, 1e-6)
        across = np.array([-along[1], along[0]])
        height = max(abs((boundaries[1] - boundaries[0]).mean(0) @ across), 1e-6)
        nearest = FARTHEST
        for other in words:
            offset = other.reshape(-1, 2) - boundaries.reshape(-1, 2).mean(0)
            forth, aside = offset @ along, offset @ across
            alike = 1 / ALIKE < np.ptp(aside) / height < ALIKE
            if other is not boundaries and alike and abs(aside.mean()) < ASIDE * height and forth.mean() > 0:
                nearest = min(nearest, (forth.min() - width / 2) / height)
        if nearest < FARTHEST:
            found.append(nearest)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("truth", type=Path, help="annotation files in the form of ICDAR2015")
    parser.add_argument("--images", type=int, default=200, help="rendered scenes")
    given = parser.parse_args()
    truth = read_annotations(given.truth, truth=True).images
    sources = {"photos": [[word.polygon for word in words if word.text != "###"] for words in truth.values()]}
    for spacing in SPACINGS:
        renderer = SceneRenderer(1001, SceneLayout(512, 512), spacing=spacing)
        scenes = [renderer.render(index).instances for index in range(given.images)]
        sources[f"scenes, spacing {spacing}"] = [
            [polygon for polygon, ignored in zip(scene.polygons, scene.ignore, strict=True) if not ignored] for scene in scenes
        ]
    table = Table("", "gaps", *(f"{100 * quantile:g} %" for quantile in QUANTILES))
    for name, images in sources.items():
        values = [gap for polygons in images for gap in gaps(polygons)]
        table.add_row(name, str(len(values)), *(f"{value:.2f}" for value in np.quantile(values, QUANTILES)))
    print(table)


if __name__ == "__main__":
    main()
