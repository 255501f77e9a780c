"""What a run tells Weights & Biases beside its metrics: scales, points, pictures, weights.

The package takes long to import, so it waits for a run that logs to it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import WandbLogger
from PIL import Image

from dld_spotter.budget.operating_points import OperatingPoint
from dld_spotter.core.batches import Sample
from dld_spotter.data.photos import scaled_size
from dld_spotter.inference.drawing import draw_reading
from dld_spotter.inference.predictor import Predictor, Reading
from dld_spotter.tradeoff.loading import TABLE

READINGS = "readings"
"""Name of the table of sample readings."""
LONGEST = 640
"""Pixels of the long side of a picture."""


class RunLogger(WandbLogger):
    """The logger of Weights & Biases, which takes pictures and tables of this project too.

    Args:
        options: of Lightning's logger.
        pictures: how many test images are shown as they are read.
        checkpoint: whether to keep the weights as an artifact.
    """

    def __init__(self, options: Mapping[str, Any], pictures: int = 8, checkpoint: bool = False) -> None:
        super().__init__(**options)
        self.pictures, self.checkpoint = pictures, checkpoint

    def log_scales(self, scales: Sequence[float], counts: Sequence[int], step: int) -> None:
        """Log how many images were read at each scale, as one histogram of the panel over time."""
        import wandb

        middles = (np.asarray(scales[1:]) + np.asarray(scales[:-1])) / 2
        edges = np.concatenate([[0.0], middles, [max(scales) + 0.1]])
        histogram = wandb.Histogram(np_histogram=(np.asarray(counts), edges))
        self.experiment.log({"scales": histogram, "trainer/global_step": step})

    def log_points(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Log the points of the trade-off as a table, as :func:`dld_spotter.tradeoff.load_points` finds them."""
        import wandb

        columns = list(rows[0])
        self.experiment.log({TABLE: wandb.Table(columns=columns, data=[[row[name] for name in columns] for row in rows])})
        full = [row for row in rows if row["method"] == "static" and row["scale"] == 1.0]
        for row in [*full, *(row for row in rows if row["method"] == "dynamic")]:
            at = "full resolution" if row["scale"] else f"gamma {row['gamma']:g}" if row["gamma"] is not None else "budget"
            for name in ("hmean", "gflops", "relative_cost"):
                self.experiment.summary[f"test/{row['model']} {at}/{name}"] = row[name]

    def log_readings(self, predictor: Predictor, samples: Sequence[Sample], scales: tuple[float, float]) -> None:
        """Log images as they are read at a low and at a high scale, with what the policy would choose.

        They are a table, and panels that W&B shows side by side for several runs.
        """
        import wandb

        table = wandb.Table(columns=["image", "chosen scale", *_columns(scales)])
        panels = []
        for sample in samples:
            chosen = None if predictor.policy is None else predictor.decide(predictor.reference_of(sample.image)).scale
            pictures, cells = [], []
            for scale in scales:
                (reading,) = predictor.read_points([sample.image], [OperatingPoint(scale)], decided=False)
                pictures.append(pictured(predictor.reference_of(sample.image), scale, sample.image.shape[:2], reading))
                words = " ".join(word.text for word in reading.words)
                cells += [wandb.Image(pictures[-1]), words, round(reading.gflops, 3)]
            table.add_data(sample.name, chosen, *cells)
            panels.append(wandb.Image(beside(pictures), caption=f"{sample.name}: scale {' and '.join(map(str, scales))}"))
        self.experiment.log({READINGS: table, f"{READINGS} at two scales": panels})

    def keep(self, checkpoint: Path) -> None:
        """Keep a file of weights as an artifact of the run."""
        import wandb

        artifact = wandb.Artifact(f"{checkpoint.stem}-{self.experiment.id}", type="model")
        artifact.add_file(str(checkpoint))
        self.experiment.log_artifact(artifact)


def _columns(scales: Sequence[float]) -> list[str]:
    return [f"{what} at {scale:g}" for scale in scales for what in ("picture", "words", "GFLOP")]


def pictured(reference: np.ndarray, scale: float, size: tuple[int, int], reading: Reading) -> Image.Image:
    """What was read, drawn on what the reader has seen."""
    picture = draw_reading(at_scale(reference, scale, size), reading)
    picture.thumbnail((LONGEST, LONGEST))
    return picture


def beside(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures in a row."""
    row = Image.new("RGB", (sum(picture.width for picture in pictures), max(picture.height for picture in pictures)))
    left = 0
    for picture in pictures:
        row.paste(picture, (left, 0))
        left += picture.width
    return row


def at_scale(reference: np.ndarray, scale: float, size: tuple[int, int]) -> np.ndarray:
    """What a reader sees at a scale: fewer pixels, each drawn larger, so that the picture has ``size`` again."""
    height, width = scaled_size(*reference.shape[:2], scale)
    small = Image.fromarray(reference).resize((width, height), Image.Resampling.BOX)
    return np.array(small.resize(size[::-1], Image.Resampling.NEAREST))
