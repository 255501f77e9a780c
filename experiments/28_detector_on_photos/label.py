"""Label the words of photos with a spotter, in the form of ICDAR2015.

    python experiments/28_detector_on_photos/label.py IMAGES OUT [--ckpt bundled] [--places QUADS] [--known GTS]

OUT gets ``images/`` (links) and ``gts/``. A word that the spotter is sure of is labelled with its text; one that it is less
sure of becomes ``###``, and so does a place in QUADS (one ``x1,y1,...,x4,y4`` a line) where nothing was read. Words in GTS stay
as they are, and what overlaps them is left out. With ``--ckpt none`` nothing is read, and every place is taken for a word.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely
import torch
from tqdm import tqdm

from dld_spotter.core.words import Word
from dld_spotter.data.photos import IMAGE_SUFFIXES, read_image
from dld_spotter.data.readers.paired import read_quads
from dld_spotter.inference.checkpoint import load_checkpoint
from dld_spotter.inference.loading import predictor_of
from dld_spotter.inference.predictor import Predictor

UNSURE = "###"
UNREAD = "?"
"""Text of a place that counts as a word."""
LEAST = 0.2
"""Words below this score are taken for no text."""
OVERLAP = 0.3
"""Of the smaller of two regions: above it they are one."""


def spotter(ckpt: str) -> Predictor:
    """A spotter that also gives words it is not sure of."""
    content = load_checkpoint(ckpt)
    content.provenance["model"][content.reader]["min_score"] = LEAST
    return predictor_of(content)


def covered(quad: np.ndarray, others: Sequence[np.ndarray]) -> bool:
    """Whether a region ``(K, 2)`` overlaps one of others."""
    one = shapely.Polygon(quad).buffer(0)
    for other in others:
        two = shapely.Polygon(other).buffer(0)
        if one.intersection(two).area > OVERLAP * max(min(one.area, two.area), 1e-6):
            return True
    return False


def labels(words: Sequence[Word], sure: float, known: list[tuple[np.ndarray, str]], places: list[np.ndarray]) -> list[str]:
    """Lines of a ground-truth file."""
    kept = list(known)
    for word in sorted(words, key=lambda word: -word.score):
        if not covered(word.polygon, [quad for quad, _ in known]):
            kept.append((rectangle(word.polygon), word.text if word.score >= sure else UNSURE))
    read = [quad for quad, _ in kept]
    kept += [(place, UNSURE) for place in places if not covered(place, read)]
    return [",".join(str(round(value)) for value in quad.ravel()) + f",{text}" for quad, text in kept]


def rectangle(polygon: np.ndarray) -> np.ndarray:
    """The four corners ``(4, 2)``: first and last point of either side."""
    half = len(polygon) // 2
    return polygon[[0, half - 1, half, -1]]


def quads(path: Path) -> list[np.ndarray]:
    """Places of a file without texts."""
    lines = path.read_text("utf-8-sig").split() if path.is_file() else []
    return [np.array(line.split(",")[:8], float).reshape(4, 2) for line in lines]


def main() -> None:
    """Label a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--ckpt", default="bundled")
    parser.add_argument("--sure", type=float, default=0.6, help="score from which a word is labelled")
    parser.add_argument("--places", type=Path, help="folder of quads without texts, one file an image")
    parser.add_argument("--known", type=Path, help="folder of gt_NAME.txt")
    arguments = parser.parse_args()
    for name in ("images", "gts"):
        (arguments.out / name).mkdir(parents=True, exist_ok=True)
    reader = None if arguments.ckpt == "none" else spotter(arguments.ckpt)
    torch.set_num_threads(1)
    for image in tqdm(sorted(path for path in arguments.images.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)):
        target = arguments.out / "gts" / f"gt_{image.stem}.txt"
        if target.exists():
            continue
        known = read_quads(arguments.known / f"gt_{image.stem}.txt") if arguments.known else ([], [])
        places = quads(arguments.places / f"{image.stem}.txt") if arguments.places else []
        words = reader.read(read_image(image), scale=1.0).words if reader else [Word(place, UNREAD, 1.0) for place in places]
        lines = labels(words, arguments.sure, list(zip(known[0], known[1], strict=True)), places)
        link, whole = arguments.out / "images" / image.name, target.with_suffix(".tmp")
        if not link.is_symlink():
            link.symlink_to(image.resolve())
        whole.write_text("\n".join(lines) + "\n", "utf-8")
        whole.replace(target)  # so that an interrupted run goes on


if __name__ == "__main__":
    main()
