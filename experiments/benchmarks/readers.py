"""Readers side by side: Hmean, GFLOP and milliseconds on the same photos, in one run, taking turns image by image.

    python experiments/benchmarks/readers.py FOLDER bundled:budget=0.5 bundled:scale=0.7,vocabulary=none rapidocr:min_score=0.9
    python experiments/benchmarks/readers.py FOLDER --validation ... --threads 2 --json OUT.json

FOLDER is in the form of ICDAR2015. A reader is a checkpoint, the folder of an export, or an engine, with settings behind a
colon: ``budget``, ``scale``, ``gamma``, ``budget_ms``, ``vocabulary`` and ``precision`` of a checkpoint, ``min_score`` of an
engine. Each reader sees the images in the same order, so a budget is held as ``evaluate`` holds it. Differences are taken from
the first one, with 95 % intervals over images; OUT.json has those of every pair.
"""

import argparse
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import rich
import torch
from rich.progress import track
from rich.table import Table

from dld_spotter.core.batches import Sample
from dld_spotter.core.bootstrap import resample
from dld_spotter.data.readers.icdar2015 import ICDAR2015
from dld_spotter.evaluation.measuring import Counting
from dld_spotter.evaluation.predictions import PredictionForm
from dld_spotter.evaluation.report import write_json
from dld_spotter.inference.loading import load
from dld_spotter.inference.onnx_backend import onnx_predictor
from dld_spotter.inference.onnx_meta import META
from dld_spotter.inference.predictor import Predictor
from dld_spotter.metrics.rules import Rules
from dld_spotter.tradeoff.measures import Measures, estimate

ENGINES = {"rapidocr": "RapidOCR", "rapidocr_v4": "RapidOCRv4", "tesseract": "Tesseract"}
SETTINGS = ("budget", "budget_ms", "gamma", "scale")
WARM_UP = 2
"""Images that every reader reads before the clock counts."""


class Reader:
    """One row of the table.

    Args:
        text: as given on the command line.
        threads: of an engine or an export.
    """

    def __init__(self, text: str, threads: int) -> None:
        self.text = text
        name, _, settings = text.partition(":")
        pairs = dict(one.split("=", 1) for one in settings.split(",") if one)
        vocabulary, precision = pairs.pop("vocabulary", None), pairs.pop("precision", "fp32")
        numbers = {key: float(value) for key, value in pairs.items()}
        if name in ENGINES:
            engine = getattr(import_module(f"dld_spotter.inference.engines.{name}"), ENGINES[name])
            self.predictor, self.request = Predictor(engine(threads=threads, **numbers)), {"scale": 1.0}
        else:
            if unknown := numbers.keys() - SETTINGS:
                raise SystemExit(
                    f"error: {text} has {', '.join(sorted(unknown))}; give {', '.join(SETTINGS)}, vocabulary or precision"
                )
            self.predictor, self.request = predictor(name, vocabulary, precision, threads), numbers
        self.rows: list[Measures] = []

    def warm_up(self, image: np.ndarray) -> None:
        """Prepare kernels at every scale that may be read at, without a budget being spent."""
        for scale in {1.0, *self.predictor.scales, self.request.get("scale", 1.0)}:
            self.predictor.read(image, scale=scale)

    def read(self, sample: Sample, counting: Counting) -> None:
        """Read an image, and count what was read."""
        self.rows.append(counting.measures(sample, self.predictor.read(sample.image, **self.request)))

    @property
    def measures(self) -> Measures:
        """Of all images so far."""
        return Measures.stack(self.rows)


def predictor(name: str, vocabulary: str | None, precision: str, threads: int) -> Predictor:
    """That of a checkpoint, or of the folder of an export."""
    if (Path(name) / META).is_file():
        return onnx_predictor(name, threads=threads, vocabulary=vocabulary)
    return load(name, device="cpu", vocabulary=vocabulary, precision=precision)


def photos(folder: Path, validation: bool, most: int | None) -> list[Sample]:
    """The photos of a folder, or those that its ``validation.txt`` lists, at most so many."""
    dataset = ICDAR2015(folder)
    taken = [i for i, part in enumerate(dataset.parts) if part == "validation" or not validation]
    return [dataset[i] for i in taken[:most]]


def table(readers: Sequence[Reader], resamples: np.ndarray) -> tuple[Table, list[dict[str, object]]]:
    """What each reader gave and took, for people and for files."""
    shown = Table("reader", "Hmean", "beside the first", "precision", "recall", "GFLOP", "ms", "median ms")
    rows: list[dict[str, object]] = []
    first = readers[0].measures
    for reader in readers:
        measures = reader.measures
        mean = measures.mean()
        hmean = estimate(lambda m: m.hmean, measures, resamples=resamples)
        gain = estimate(lambda m, base: m.hmean - base.hmean, measures, first, resamples=resamples)
        median = float(np.median(measures.seconds))
        rows.append(
            {
                "reader": reader.text,
                "hmean": list(hmean),
                "beside_first": list(gain),
                "precision": float(mean.precision),
                "recall": float(mean.recall),
                "gflops": float(mean.gflops),
                "seconds": float(mean.seconds),
                "median_seconds": median,
            }
        )
        shown.add_row(
            reader.text,
            "{:.1f} ({:.1f}-{:.1f})".format(*(100 * value for value in hmean)),
            "{:+.1f} ({:+.1f}..{:+.1f})".format(*(100 * value for value in gain)),
            f"{100 * mean.precision:.1f}",
            f"{100 * mean.recall:.1f}",
            f"{mean.gflops:.1f}",
            f"{1000 * mean.seconds:.0f}",
            f"{1000 * median:.0f}",
        )
    return shown, rows


def differences(readers: Sequence[Reader], resamples: np.ndarray) -> dict[str, dict[str, list[float]]]:
    """Hmean of each reader less that of each other one, with its paired interval."""
    return {
        one.text: {
            other.text: list(estimate(lambda m, base: m.hmean - base.hmean, one.measures, other.measures, resamples=resamples))
            for other in readers
            if other is not one
        }
        for one in readers
    }


def main() -> None:
    """Read, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("readers", nargs="+")
    parser.add_argument("--validation", action="store_true", help="only the photos listed in validation.txt")
    parser.add_argument("--images", type=int, help="at most so many (default: all)")
    parser.add_argument("--threads", type=int, default=2, help="of torch, OpenCV and engines (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    samples = photos(options.folder, options.validation, options.images)
    counting = Counting(Rules(), PredictionForm())
    readers = [Reader(text, options.threads) for text in options.readers]
    for sample in samples[:WARM_UP]:
        for reader in readers:
            reader.warm_up(sample.image)
    for k, sample in enumerate(track(samples, "reading")):
        for reader in readers[k % len(readers) :] + readers[: k % len(readers)]:  # nobody always follows the same one
            reader.read(sample, counting)
    shown, rows = table(readers, resample(len(samples)))
    rich.print(shown)
    if options.json:
        facts = {"images": len(samples), "threads": options.threads, "protocol": "rrc", "readers": rows}
        facts["differences"] = differences(readers, resample(len(samples)))
        write_json(options.json, facts)


if __name__ == "__main__":
    main()
