"""A reading as plain values: the lines that ``predict`` writes and the demo shows. Needs no torch."""

from pathlib import Path
from typing import Any

from dld_spotter.budget.requests import DIGITS
from dld_spotter.inference.predictor import Reading


def to_json(path: Path, reading: Reading) -> dict[str, Any]:
    """One line of the output: pixels of the original image, GFLOP, seconds; what was read again as a share of the reference.

    ``dropped`` regions were too many to be read.
    """
    words = [
        {
            "polygon": [[round(x, 1), round(y, 1)] for x, y in word.polygon.tolist()],
            "text": word.text,
            "score": round(word.score, 4),
        }
        for word in reading.words
    ]
    return {
        "image": str(path),
        "width": reading.width,
        "height": reading.height,
        "scale": reading.scale,
        "second_pass": round(reading.second_pass_share, 5),
        "relative_cost": round(reading.relative_cost, DIGITS),
        "gflops": round(reading.gflops, DIGITS),
        "seconds": round(reading.seconds, DIGITS),
        "dropped": reading.dropped,
        "words": words,
    }
