"""Which of several students reads best? Hmean by scale and ``min_score``, on the images that operating points are fitted on.

    python experiments/23_large_batches/compare.py CHECKPOINT... -- [OVERRIDES...]

reads the validation images of ``fit_operating_points`` with the overrides, such as ``+experiments=17_second_pass
data.crops=FOLDER``, with each student at each scale, and prints end-to-end Hmean (%). A higher ``min_score`` is counted by the
words of the lowest one that it leaves, which is all but what reading with it reports
(``experiments/11_fonts_and_backgrounds/threshold.py`` reads anew). No test image takes part, and of photos only crops that no
training sees.
"""

import sys

from hydra import compose, initialize_config_dir
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dld_spotter.config import assembly
from dld_spotter.config.entry import ROOT
from dld_spotter.inference.checkpoint import load_checkpoint
from dld_spotter.metrics.spotting import EndToEndHmean

SCALES = (0.3, 0.5, 0.7, 1.0)
SCORES = (0.72, 0.75, 0.78, 0.81, 0.84)


def main(paths: list[str], overrides: list[str]) -> None:
    """Read, count, print."""
    students = {path: load_checkpoint(path, "english").spotter().eval() for path in paths}
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("fit_operating_points", [*overrides, f"ckpt={paths[0]}"])
    assembly.adopt(config, load_checkpoint(paths[0]))
    config.scales = list(SCALES)
    counted = {(path, scale, score): EndToEndHmean() for path in paths for scale in SCALES for score in SCORES}
    for batch in track(assembly.build_validation_loader(config), "reading"):
        for path, student in students.items():
            student.min_score = SCORES[0]
            for scale in SCALES:
                found = student.spot(batch.view(scale))
                for score in SCORES:
                    words = [[word for word in image if word.score >= score] for image in found]
                    counted[path, scale, score].update(words, batch.instances)
    for path in paths:
        table = Table("min_score", *(f"scale {scale:g}" for scale in SCALES), title=path)
        for score in SCORES:
            figures = (100 * float(counted[path, scale, score].compute()["hmean"]) for scale in SCALES)
            table.add_row(f"{score:g}", *(f"{figure:.1f}" for figure in figures))
        Console().print(table)


if __name__ == "__main__":
    split = sys.argv.index("--") if "--" in sys.argv else 0
    if split < 2:
        sys.exit(__doc__)
    main(sys.argv[1:split], sys.argv[split + 1 :])
