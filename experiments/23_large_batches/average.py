"""One student of two trainings that began with the same weights: their average (model soups, arXiv 2203.05482).

    python experiments/23_large_batches/average.py FIRST.ckpt SHARE SECOND.ckpt OUT

weighs the first with SHARE, from 0 to 1, and the second with the rest; decoding and configuration are the first's. Statistics
of batch normalisation are frozen in distillation and the same in both, so that nothing needs to be estimated anew.
"""

import sys
from pathlib import Path

from dld_spotter.inference.checkpoint import load_checkpoint, load_weights, save_checkpoint


def main(first: str, share: float, second: str, out: str) -> None:
    """Read, average, write.

    Raises:
        ValueError: the share is none.
        CheckpointError: the two are not of one spotter.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"SHARE={share} must be from 0 to 1")
    ours, theirs = load_checkpoint(first), load_checkpoint(second)
    spotter = ours.spotter()
    load_weights(spotter, theirs.weights("student"), theirs.path)  # which says where the second does not fit
    second_weights = spotter.state_dict()
    averaged = {
        name: value.lerp(second_weights[name], 1 - share) if value.is_floating_point() else value
        for name, value in ours.weights("student").items()
    }
    load_weights(spotter, averaged, ours.path)
    facts = {name: ours.provenance[name] for name in ("format", "scales", "thumbnail", "model")}
    save_checkpoint(Path(out), {"student": spotter}, facts)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(sys.argv[1], float(sys.argv[2]), *sys.argv[3:])
