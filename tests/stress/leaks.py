"""Resident memory over many steps of training, and over many readings of images of mixed sizes."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lightning import Callback

import dld_spotter
from tests.data.samples import box, sample
from tests.integration.runs import SCENES, SMALL, run

GROWTH = 0.03
"""Share of the first half's peak by which that of the second half may be higher."""
EVERY = 10
"""Steps or readings from one look at the memory to the next."""


@dataclass(frozen=True)
class Leak:
    """Peaks of resident memory in the first and in the second half, MB."""

    what: str
    count: int
    first: float
    second: float

    @property
    def growth(self) -> float:
        """How much higher the second peak is, as a share."""
        return self.second / self.first - 1

    @property
    def sound(self) -> bool:
        """Whether memory stays where it is."""
        return self.growth <= GROWTH


def resident() -> float:
    """Resident memory of this process, MB; Linux tells it."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Watch(Callback):
    """Writes down the resident memory of a training."""

    def __init__(self, file: str) -> None:
        self.file = Path(file)
        self.found: list[float] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Look, now and then."""
        if batch_idx % EVERY == 0:
            self.found.append(resident())

    def on_train_end(self, trainer: Any, module: Any) -> None:
        """Leave what was found."""
        self.file.write_text(json.dumps(self.found))


def in_a_fork(task: Callable[[], None]) -> None:
    """Do something in a process of its own, whose memory nothing else has touched; raises RuntimeError where it fails."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            task()
            status = 0
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("what was watched has failed")


def halves(what: str, count: int, file: Path) -> Leak:
    """Compare the halves of what was watched."""
    found = json.loads(file.read_text())
    middle = len(found) // 2
    return Leak(what, count, max(found[:middle]), max(found[middle:]))


def training(folder: Path, teacher: Path, steps: int) -> Leak:
    """Watch the distillation of the smallest student, an image a step, in two passes."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "training.json"
    options = (
        *("stages.teacher.epochs=0", f"stages.teacher.checkpoint={teacher}", "evaluation.retention=0", "data.batch_size=1"),
        *("stages.distillation.epochs=2", f"trainer.limit_train_batches={steps // 2}", "trainer.log_every_n_steps=50"),
        *("+callbacks.watch._target_=tests.stress.leaks.Watch", f"+callbacks.watch.file={file}", "selection.capacity=64"),
    )

    def task() -> None:
        ended = run("train", *SMALL, *SCENES, *options, f"paths.output_dir={folder / 'run'}")
        if ended.status:
            raise RuntimeError(ended.stderr[-1500:])

    in_a_fork(task)
    return halves("steps of training", steps, file)


def reading(folder: Path, checkpoint: Path, count: int, seed: int = 0) -> Leak:
    """Watch readings of images of 40 to 400 pixels, each of another size."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "reading.json"

    def task() -> None:
        os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] = "1024"  # as predict has it
        rng = np.random.default_rng(seed)
        spotter = dld_spotter.load(checkpoint, device="cpu")
        found = []
        for number in range(count):
            height, width = rng.integers(40, 400, 2).tolist()
            spotter.read(sample(height, width, [box(4, 4, width / 2, height / 4)], ["cat"]).image)
            if number % EVERY == 0:
                found.append(resident())
        file.write_text(json.dumps(found))

    in_a_fork(task)
    return halves("readings of mixed sizes", count, file)
