"""Which confidence should a word have to be reported? Hmean by ``min_score`` on the validation images of a study.

    python experiments/bundled/threshold.py CHECKPOINT PART SCALES OVERRIDES...

reads the validation images of the configuration that the overrides give, such as ``+experiments=bundled data.crops=FOLDER``,
once per scale with every word kept, and prints precision, recall and Hmean (%, end to end) by threshold. No test image and
no real validation photo takes part.
"""

import sys

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dld_spotter import assembly
from dld_spotter.checkpoint import load_checkpoint
from dld_spotter.entry import ROOT
from dld_spotter.metrics.spotting import EndToEndHmean

THRESHOLDS = np.arange(0.3, 0.9, 0.05).round(2).tolist()


def main(path: str, part: str, scales: list[float], overrides: list[str]) -> None:
    """Read, count, print."""
    spotter = load_checkpoint(path).build(part).eval()
    spotter.min_score = 0.0
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [*overrides, f"scales={sorted({*scales, 1.0})}", "stages.teacher.checkpoint=bundled"])
    counted = {(scale, threshold): EndToEndHmean() for scale in scales for threshold in THRESHOLDS}
    for batch in track(assembly.build_validation_loader(config), "reading"):
        for scale in scales:
            with torch.inference_mode():
                found = spotter.spot(batch.view(scale))
            for threshold in THRESHOLDS:
                kept = [[word for word in words if word.score >= threshold] for words in found]
                counted[scale, threshold].update(kept, batch.instances)
    table = Table("min_score", *(f"scale {scale:g}" for scale in scales), title=f"{part} of {path}")
    for threshold in THRESHOLDS:
        figures = [counted[scale, threshold].compute() for scale in scales]
        cells = [" ".join(f"{100 * float(found[name]):.1f}" for name in ("precision", "recall", "hmean")) for found in figures]
        table.add_row(f"{threshold:g}", *cells)
    Console().print(table)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], [float(scale) for scale in sys.argv[3].split(",")], sys.argv[4:])
