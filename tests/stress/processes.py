"""Trains the same in one process and in two, and compares what was seen, the curve, and the metrics."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.runs import SCENES, SMALL
from tests.stress.kills import curve, differences, points

ROOT = Path(__file__).parents[2]
EVEN = (
    *("selector=fixed", "data.train_collate.jitter=0", "data.train_collate.max_words=null", "data.train_collate.multiple=1"),
    *("stages.teacher.epochs=0", "evaluation.retention=0", "trainer.limit_train_batches=1.0", "trainer.limit_val_batches=1.0"),
    *("trainer.accelerator=cpu", "data.train.length=12", "data.validation.length=7", "data.eval_batch_size=2"),
)
"""Nothing is drawn at random by the step, so that two processes can do exactly what one does; seven images for validation."""
TWO = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.precision=32-true", "data.batch_size=1")


@dataclass(frozen=True)
class Comparison:
    """One process and two.

    Args:
        steps: of the training.
        curve: largest relative difference of a loss.
        metrics: the first difference of a metric or of the table; empty where all are equal.
        images: what is wrong with the images that were seen; empty where each was seen once.
    """

    steps: int
    curve: float
    metrics: str
    images: str

    @property
    def sound(self) -> bool:
        """Whether two processes do what one does."""
        return self.curve < TOLERANCE and not self.metrics and not self.images


TOLERANCE = 1e-3
"""Relative difference of a loss that sums in another order may make, over so many steps."""


def train(folder: Path, *overrides: str) -> None:
    """Train in a command of its own; raises RuntimeError where it fails."""
    folder.mkdir(parents=True, exist_ok=True)
    recorder = ("+callbacks.recorder._target_=tests.integration.recorder.Recorder", f"+callbacks.recorder.folder={folder}")
    command = [sys.executable, "-m", "dld_spotter.train", *SMALL, *SCENES, *EVEN, *recorder, *overrides]
    ended = subprocess.run(
        [*command, f"paths.output_dir={folder}"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "WANDB_MODE": "offline"},
        capture_output=True,
        text=True,
    )
    if ended.returncode:
        raise RuntimeError(ended.stdout[-500:] + ended.stderr[-1500:])


def compare(folder: Path, teacher: Path, steps: int = 6) -> Comparison:
    """Train ``steps`` steps of two images from the weights of ``teacher`` and compare."""
    origin = f"stages.teacher.checkpoint={teacher}"
    train(folder / "one", origin, "data.batch_size=2")
    train(folder / "two", origin, *TWO)
    first, second = curve(folder / "one"), curve(folder / "two")
    if first.keys() != second.keys():
        return Comparison(steps, float("inf"), "other rows are logged", seen(folder))
    metrics, largest = "", 0.0
    for row, values in first.items():
        for key, value in values.items():
            if key.startswith("train/"):
                largest = max(largest, abs(value - second[row][key]) / max(abs(value), 1e-6))
            elif value != second[row][key] and key.startswith("val/"):
                metrics = metrics or f"{key}: {value} and {second[row][key]}"
    return Comparison(steps, largest, metrics or differences(points(folder / "one"), points(folder / "two")), seen(folder))


def seen(folder: Path) -> str:
    """What is wrong with the images that both processes saw together."""

    def names(place: Path, rank: int) -> dict[str, Any]:
        return json.loads((place / f"distillation_{rank}.json").read_text())

    one, two = names(folder / "one", 0), [names(folder / "two", rank) for rank in (0, 1)]
    for part in ("train", "validation"):
        together = sorted(two[0][part] + two[1][part])
        if together != sorted(one[part]):
            return f"{part}: {len(together)} images in two processes, {len(one[part])} in one"
        if part == "validation" and len(set(together)) != len(together):
            return "an image was validated twice"
    return ""
