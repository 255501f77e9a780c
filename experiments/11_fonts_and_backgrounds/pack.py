"""The student of a training run alone, with the decoding that validation images ask for.

    python experiments/11_fonts_and_backgrounds/pack.py CHECKPOINT OUT [KEY=VALUE...]

keeps neither teacher nor selector nor the state of the training. KEY names a setting of the spotter, such as ``min_score=0.75``
or ``postprocess.levels=[0.6,0.8]``; threshold.py and experiments/22_merged_words/levels.py say which to take.
"""

import sys
from pathlib import Path

from omegaconf import OmegaConf

from dld_spotter.inference.checkpoint import Checkpoint, load_checkpoint, save_checkpoint


def main(path: str, out: str, settings: list[str]) -> None:
    """Read, set, write."""
    read = load_checkpoint(path)
    config = OmegaConf.merge(read.config("student"), OmegaConf.from_dotlist(settings))
    facts = {name: read.provenance[name] for name in ("format", "scales", "thumbnail")}
    facts["model"] = {"student": OmegaConf.to_container(config, resolve=True)}
    packed = Checkpoint(Path(path), facts, read.state)
    save_checkpoint(Path(out), {"student": packed.spotter()}, facts)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
