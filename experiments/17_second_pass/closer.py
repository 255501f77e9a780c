"""How much more should a second look be believed than the first one? Hmean where every place is read again.

    python experiments/17_second_pass/closer.py CHECKPOINT IMAGES OVERRIDES...

reads so many validation images of the configuration that the overrides give, such as ``+experiments=17_second_pass
data.crops=FOLDER``, at low scales and all their places once more at full resolution, and prints precision, recall and Hmean
(%, end to end) of both together by ``looking.CLOSER``. No test image and no real validation photo takes part.
"""

import sys
from itertools import islice

import numpy as np
import torch
from dld_spotter.escalation import looking
from hydra import compose, initialize_config_dir
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dld_spotter.config import assembly
from dld_spotter.config.entry import ROOT
from dld_spotter.config.given_student import given_student
from dld_spotter.data.views import make_view
from dld_spotter.inference.second_pass.two_pass import merge_passes
from dld_spotter.metrics.spotting import EndToEndHmean
from dld_spotter.selection.second_pass.mosaic import from_mosaic, make_mosaic
from dld_spotter.selection.second_pass.regions import find_regions

SCALES = (0.3, 0.4, 0.5)
CLOSER = (-0.05, 0.0, 0.02, 0.05, 0.1, 0.2, 1.0)


@torch.inference_mode()
def main(path: str, images: int, overrides: list[str]) -> None:
    """Read, count, print."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("fit_ladder", [f"ckpt={path}", f"scales={[*SCALES, 1.0]}", *overrides])
    _, student = given_student(config, ("images",))
    device = next(student.parameters()).device
    asked = assembly.create(config.escalation)
    counted = {(scale, closer): EndToEndHmean() for scale in SCALES for closer in CLOSER}
    for batch in track(islice(assembly.build_validation_loader(config), images), "reading twice", total=images):
        size = tuple(batch.views[1.0].sizes[0].tolist())
        reference = batch.views[1.0].images[0, :, : size[0], : size[1]].permute(1, 2, 0).contiguous().numpy()
        for scale in SCALES:
            (detections,) = student.detect(batch.view(scale).to(device))
            readable, outlines = detections.heights() >= asked.read_from(scale), detections.outlines()
            (first,) = student.recognize([detections], [np.flatnonzero(readable)])
            waiting = [outlines[k] for k in np.flatnonzero(~readable)]
            found = find_regions(detections.probability, detections.size, size, first, asked.threshold, asked.context, waiting)
            mosaic, corners = make_mosaic(reference, [region.box for region in found]) if found else (None, None)
            seen = student.spot(make_view([mosaic], 1.0, student.stride).to(device))[0] if found else []
            second = [word for _, word in from_mosaic(seen, found, corners, found)] if found else []
            for looking.CLOSER in CLOSER:
                counted[scale, looking.CLOSER].update([merge_passes(first, second)], batch.instances)
    table = Table("believed more by", *(f"first look at {scale:g}" for scale in SCALES))
    for closer in CLOSER:
        found = [counted[scale, closer].compute() for scale in SCALES]
        table.add_row(
            f"{closer:g}",
            *(" ".join(f"{100 * float(one[name]):.1f}" for name in ("precision", "recall", "hmean")) for one in found),
        )
    Console().print(table)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
