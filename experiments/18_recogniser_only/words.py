"""How many words does a training step of a study read?

    python experiments/18_recogniser_only/words.py STUDY OVERRIDES...

builds 40 batches of the study's training data, such as ``16_box_jitter data.crops=FOLDER``, and prints the mean number of
words that are read in one. Nothing is trained.
"""

import sys
from itertools import islice

import numpy as np
from hydra import compose, initialize_config_dir

from dld_spotter.config import assembly
from dld_spotter.config.entry import ROOT

BATCHES = 40


def main(study: str, overrides: list[str]) -> None:
    """Count, print."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [f"+experiments={study}", "data.workers=0", *overrides])
    counts = [len(batch.labels) for batch in islice(assembly.build_data(config).train_dataloader(), BATCHES)]
    print(f"{study}: {np.mean(counts):.0f} words in a step, {len(counts)} steps")


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
