"""Put a detector and PP-OCR's recogniser into one checkpoint, which every command takes as ``ckpt=``.

    python experiments/27_ppocr_words/to_checkpoint.py OUTPUT/best.pt OUT.ckpt [--min-score 0.5]
    python experiments/27_ppocr_words/to_checkpoint.py bundled_tiny OUT.ckpt --min-score 0.7
    python experiments/27_ppocr_words/to_checkpoint.py OUTPUT/best.pt OUT.ckpt --spotter FILE.ckpt

The detector is the average that train_detector.py keeps, or that of our own weights (spotter=tiny_ppocr); the recogniser is
that of the installed rapidocr with a last layer for printable ASCII. With ``--spotter`` it is all of the spotter whose detector
was trained. Half precision, below 12 MB. Printed are the size of the file and the GFLOP of a photo and of a word.
"""

import argparse
from pathlib import Path

import torch

from dld_spotter.budget.cost import FlopCost
from dld_spotter.core.errors import CheckpointError
from dld_spotter.inference import ppocr
from dld_spotter.inference.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

PHOTO = (720, 1280)
"""Height and width in pixels of the photo whose GFLOP are printed."""

OURS = "bundled_tiny"
"""Whose detector is that of a family of ours."""


def convert(best: Path, out: Path, min_score: float = 0.5, trained: Path | None = None) -> Path:
    """Write the checkpoint.

    Args:
        best: what train_detector.py wrote.
        out: where to.
        min_score: words read with less confidence are dropped.
        trained: the spotter whose detector was trained; None for PP-OCRv6 small.

    Raises:
        CheckpointError: ``best`` is missing or holds no averaged detector, or rapidocr is not installed.
    """
    start = load_checkpoint(ppocr.NAME)
    if str(best) == OURS:
        return behind_our_detector(load_checkpoint(OURS), start, out, min_score)
    start = start if trained is None else load_checkpoint(trained)
    spotter = start.spotter()
    part = spotter.detector if trained is None else spotter
    try:
        part.load_state_dict(torch.load(best, map_location="cpu", weights_only=True)["average"])
    except (OSError, KeyError, RuntimeError, TypeError) as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        raise CheckpointError(f"{best} holds no detector of train_detector.py ({reason}); give its best.pt") from error
    model = {"student": start.provenance["model"]["student"] | {"min_score": min_score}}
    save_checkpoint(out, {"student": spotter}, start.provenance | {"model": model})
    return out


def behind_our_detector(ours: Checkpoint, theirs: Checkpoint, out: Path, min_score: float) -> Path:
    """The bundled student with another recogniser; its operating points were fitted to its own and do not come along."""
    config = ours.config("student") | {
        "recognizer": theirs.config("student")["recognizer"],
        "full_resolution_crops": True,
        "min_score": min_score,
    }
    facts = {key: ours.provenance[key] for key in ("format", "scales", "thumbnail")} | {"model": {"student": config}}
    weights = {name: value for name, value in ours.weights("student").items() if not name.startswith("recognizer.")}
    weights |= {name: value for name, value in theirs.weights("student").items() if name.startswith("recognizer.")}
    unread = {name for name in weights if name.startswith(("neck.smooth.1.", "neck.smooth.2."))}  # it reads pixels alone
    state = {
        f"student.{name}": value.half() if value.is_floating_point() else value
        for name, value in weights.items()
        if name not in unread
    }
    spotter = Checkpoint(out, facts, state).spotter()
    save_checkpoint(out, {"student": spotter}, facts)
    return out


def main() -> None:
    """Convert, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("best", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--min-score", type=float, default=0.5)
    parser.add_argument("--spotter", type=Path, help="checkpoint that train_detector.py was given")
    arguments = parser.parse_args()
    out = convert(arguments.best, arguments.out, arguments.min_score, arguments.spotter)
    cost = FlopCost(load_checkpoint(out).spotter())
    photo, (height, width) = cost.cost(*PHOTO), PHOTO
    size = out.stat().st_size / 1e6
    print(f"{out}: {size:.1f} MB, {photo:.1f} GFLOP at {height} x {width}, {cost.per_word:.2f} for a word of 96 x 48")


if __name__ == "__main__":
    main()
