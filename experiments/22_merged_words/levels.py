"""Where should a region fall apart, and how much surer must its parts be read than all of it? Hmean on validation images.

    python experiments/22_merged_words/levels.py CHECKPOINT PART SCALES OVERRIDES...

reads the validation images of the configuration that the overrides give, such as
``+experiments=22_merged_words data.crops=FOLDER``, once per scale and choice, and prints precision,
recall and Hmean (%, end to end) and how many regions were read. No test image and no real validation photo takes part.
"""

import sys
from dataclasses import replace

from hydra import compose, initialize_config_dir
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dld_spotter.config import assembly
from dld_spotter.config.entry import ROOT
from dld_spotter.inference.checkpoint import load_checkpoint
from dld_spotter.metrics.spotting import EndToEndHmean
from dld_spotter.models import proposals

CHOICES = (
    *(((), 0.0), ((0.8,), 0.02), ((0.6, 0.8), 0.02), ((0.6, 0.7, 0.8, 0.9), 0.02)),
    *(((0.6, 0.8), surer) for surer in (0.0, 0.04, 0.06)),
)
"""Levels of the decoder, and what ``proposals.SURER`` is set to."""


def main(path: str, part: str, scales: list[float], overrides: list[str]) -> None:
    """Read, count, print."""
    spotter = load_checkpoint(path).build(part).eval()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [*overrides, f"scales={sorted({*scales, 1.0})}", "stages.teacher.checkpoint=bundled_tiny"])
    decoders = {choice: replace(spotter.postprocess, levels=choice[0]) for choice in CHOICES}
    counted = {(scale, choice): EndToEndHmean() for scale in scales for choice in CHOICES}
    reads = dict.fromkeys(counted, 0)
    for batch in track(assembly.build_validation_loader(config), "reading"):
        for scale, choice in counted:
            spotter.postprocess, proposals.SURER = decoders[choice], choice[1]
            detections = spotter.detect(batch.view(scale))
            which = [one.all for one in detections]
            counted[scale, choice].update(spotter.recognize(detections, which), batch.instances)
            reads[scale, choice] += sum(map(len, which))
    for scale in scales:
        table = Table(
            "levels", "surer by", "precision", "recall", "Hmean", "read", title=f"{part} of {path} at scale {scale:g}"
        )
        for levels, surer in CHOICES:
            found = counted[scale, (levels, surer)].compute()
            figures = [f"{100 * float(found[name]):.1f}" for name in ("precision", "recall", "hmean")]
            table.add_row(" ".join(map(str, levels)) or "none", f"{surer:g}", *figures, str(reads[scale, (levels, surer)]))
        Console().print(table)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], [float(scale) for scale in sys.argv[3].split(",")], sys.argv[4:])
