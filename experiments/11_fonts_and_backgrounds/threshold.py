"""Which confidence should a word have to be reported, and its cells to be text? Hmean on the validation images of a study.

    python experiments/11_fonts_and_backgrounds/threshold.py CHECKPOINT PART SCALES OVERRIDES...

reads the validation images of the configuration that the overrides give, such as
``+experiments=11_fonts_and_backgrounds data.crops=FOLDER``, once per scale, text threshold and ``min_score``, and
prints precision, recall and Hmean (%, end to end) by ``min_score``. No test image and no real validation photo
takes part.
"""

import sys
from dataclasses import replace
from itertools import product

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dld_spotter.config import assembly
from dld_spotter.config.entry import ROOT
from dld_spotter.inference.checkpoint import load_checkpoint
from dld_spotter.metrics.spotting import EndToEndHmean

SCORES = np.arange(0.5, 0.9, 0.05).round(2).tolist()
TEXT = (0.3, 0.4, 0.5, 0.6, 0.7)
"""Probability above which a cell of the text map belongs to a word (``postprocess.threshold``)."""


def main(path: str, part: str, scales: list[float], overrides: list[str]) -> None:
    """Read, count, print."""
    spotter = load_checkpoint(path).build(part).eval()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [*overrides, f"scales={sorted({*scales, 1.0})}", "stages.teacher.checkpoint=bundled"])
    levels = spotter.postprocess.levels
    decoders = {
        text: replace(
            spotter.postprocess, threshold=text, min_score=max(text, 0.5), levels=[level for level in levels if level > text]
        )
        for text in TEXT
    }
    counted = {(scale, text, score): EndToEndHmean() for scale in scales for text in TEXT for score in SCORES}
    for batch in track(assembly.build_validation_loader(config), "reading"):
        for scale, (text, spotter.postprocess) in product(scales, decoders.items()):
            for score in SCORES:  # which parts are read depends on it, see Regions.promising
                spotter.min_score = score
                counted[scale, text, score].update(spotter.spot(batch.view(scale)), batch.instances)
    for scale in scales:
        table = Table("min_score", *(f"text {text:g}" for text in TEXT), title=f"{part} of {path} at scale {scale:g}")
        for score in SCORES:
            figures = [counted[scale, text, score].compute() for text in TEXT]
            cells = [
                " ".join(f"{100 * float(found[name]):.1f}" for name in ("precision", "recall", "hmean")) for found in figures
            ]
            table.add_row(f"{score:g}", *cells)
        Console().print(table)


def percentages(found: dict[str, torch.Tensor]) -> str:
    """Precision, recall and Hmean."""
    return " ".join(f"{100 * float(found[name]):.1f}" for name in ("precision", "recall", "hmean"))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], [float(scale) for scale in sys.argv[3].split(",")], sys.argv[4:])
