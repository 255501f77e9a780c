"""Tunes the detector of PP-OCRv6 small from lines to words, or a detector of our own on photos.

    python experiments/27_ppocr_words/train_detector.py OUTPUT --data DATA --minutes 90 [--resume]
    python experiments/27_ppocr_words/train_detector.py OUTPUT --data DATA --spotter FILE.ckpt --steps 3000 [--resume]

Learning rates follow the clock, so that a busy machine takes fewer steps and not longer, or the steps where these are given.
OUTPUT gets ``last.pt`` every five minutes and when the process is asked to end (SIGTERM), from which ``--resume`` goes on;
``best.pt`` and ``end.pt``, the averaged weights that read most and those at the end; ``train.csv`` and ``evaluation.csv``.
Minutes count across resumed runs.
"""

import argparse
import csv
import math
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import torch
from crops import WEIGHTS, Crops, Recipe, joined, validation_photos
from detectors import PHOTOS, PPOCR, Detector, OfSpotter
from evaluate import show
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from dld_spotter.core.batches import DetectionTargets
from dld_spotter.inference.checkpoint import write_whole
from dld_spotter.losses.detection import DetectionLoss

MANY = 10**8
LOG_EVERY = 20
"""Steps."""
SAVE_EVERY = 300.0
"""Seconds between checkpoints."""
SCALES = (1.0, 0.5)


@dataclass
class Progress:
    """How far a training has come; what resumed runs go on from."""

    step: int = 0
    seconds: float = 0.0
    best: float = 0.0
    evaluated: float = field(default=0.0)


class Training:
    """Networks, optimiser and clock.

    Args:
        arguments: of the command line.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.output: Path = arguments.output
        weights = WEIGHTS if arguments.labelled is None else PHOTOS
        self.kind: Detector = (
            OfSpotter(arguments.spotter) if arguments.spotter else PPOCR(arguments.begin, weights, tuple(arguments.scale))
        )
        self.detector, self.average = self.kind.start(), self.kind.start()
        self.learning = self.kind.learning(self.detector)
        self.loss = DetectionLoss()
        self.optimizer = torch.optim.AdamW(self.learning, lr=arguments.lr, weight_decay=1e-4)
        self.progress = Progress()
        self.photos = validation_photos(arguments.data / "icdar2015" / "train")
        self.asked_to_end = False

    @property
    def done(self) -> float:
        """Share of the training that is done, by steps where these are given, else by the clock."""
        if self.arguments.steps:
            return min(1.0, self.progress.step / self.arguments.steps)
        return min(1.0, self.progress.seconds / (60 * self.arguments.minutes))

    def rate(self) -> float:
        """Learning rate: a warm-up by steps, then a cosine."""
        warm = min(1.0, (self.progress.step + 1) / self.arguments.warm_up)
        return self.arguments.lr * warm * (0.5 * (1 + math.cos(math.pi * self.done)) + 0.01)

    def learn(self, images: Tensor, targets: DetectionTargets) -> float:
        """Take a step; returns the loss."""
        self.kind.prepare(self.detector, self.progress.step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.arguments.bf16):
            maps = self.kind.maps(self.detector, images)
        loss = self.loss(maps, targets).mean()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.learning, 5.0)
        self.optimizer.step()
        self.progress.step += 1
        self._follow()
        return loss.item()

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the averaged weights a little towards the present ones."""
        share = max(1 - self.arguments.decay, 1 / (1 + self.progress.step))
        now = self.detector.state_dict()
        for name, mean in self.average.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(now[name], share)
            else:
                mean.copy_(now[name])

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        return {
            "detector": self.detector.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": asdict(self.progress),
        }

    def save(self) -> None:
        """Write ``last.pt``, whole or not at all."""
        write_whole(self.output / "last.pt", self.state())

    def resume(self) -> None:
        """Go on from ``last.pt`` where there is one."""
        path = self.output / "last.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        for name in ("detector", "average", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.progress = Progress(**state["progress"])

    def evaluate(self) -> None:
        """Evaluate the averaged weights on validation photos, log it, and keep them if they find more than before."""
        began, threads = time.monotonic(), torch.get_num_threads()
        torch.set_num_threads(1)
        overall = 0.0
        for scale in SCALES:
            figures = self.kind.evaluate(self.average, self.photos, len(self.photos), scale)
            print(f"step {self.progress.step}, {self.progress.seconds / 60:.0f} min: {show(scale, figures)}", flush=True)
            overall += figures.reading.hmean / len(SCALES)
            row = {"step": self.progress.step, "minutes": round(self.progress.seconds / 60, 1), "scale": scale}
            row |= {name: asdict(value) if hasattr(value, "hmean") else value for name, value in vars(figures).items()}
            log(self.output / "evaluation.csv", flat(row))
        torch.set_num_threads(threads)
        if overall > self.progress.best:
            self.progress.best = overall
            self.keep("best.pt")
        self.progress.evaluated = self.progress.seconds
        print(f"evaluated in {time.monotonic() - began:.0f} s", flush=True)

    def keep(self, name: str) -> None:
        """Write the averaged weights."""
        write_whole(self.output / name, {"average": self.average.state_dict(), "progress": asdict(self.progress)})

    def run(self) -> None:
        """Train until all is done or the process is asked to end."""
        batches = loader(self.arguments, self.kind, self.progress.step)
        losses: list[float] = []
        saved = logged = clock = time.monotonic()
        while self.done < 1 and not self.asked_to_end:
            losses.append(self.learn(*next(batches)))
            now = time.monotonic()
            self.progress.seconds += now - clock
            clock = now
            if self.progress.step % LOG_EVERY == 0:
                pace, loss = (now - logged) / len(losses), sum(losses) / len(losses)
                row = {"step": self.progress.step, "minutes": round(self.progress.seconds / 60, 2)}
                log(self.output / "train.csv", row | {"lr": self.rate(), "loss": round(loss, 4), "pace": round(pace, 3)})
                logged, losses = now, []
            if now - saved > SAVE_EVERY:
                self.save()
                saved = now
            if self.progress.seconds - self.progress.evaluated > 60 * self.arguments.evaluate_every:
                self.evaluate()
                self.save()
                now = time.monotonic()
                self.progress.seconds += now - clock
                saved = logged = clock = now
        self.save()
        if not self.asked_to_end:
            self.evaluate()
            self.keep("end.pt")
            self.save()


def loader(arguments: argparse.Namespace, kind: Detector, done: int) -> Iterator[tuple[Tensor, DetectionTargets]]:
    """Batches from a step on, made by one process beside the training."""
    crops = Crops(arguments.data, MANY, arguments.seed, kind.recipe(), arguments.labelled)
    rest = Subset(crops, range(done * arguments.batch, MANY))
    return iter(DataLoader(rest, arguments.batch, num_workers=1, collate_fn=joined, prefetch_factor=4, worker_init_fn=_alone))


def _alone(worker: int) -> None:
    """Let a loader's process use one thread, and end after the training, not before it."""
    del worker
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """Nested figures side by side."""
    flattened: dict[str, Any] = {}
    for name, value in row.items():
        inner = value if isinstance(value, dict) else {"": value}
        flattened |= {f"{name}_{key}".rstrip("_"): round(v, 4) if isinstance(v, float) else v for key, v in inner.items()}
    return flattened


def log(path: Path, row: dict[str, Any]) -> None:
    """Append a row, behind a head where the file is new."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of icdar2015, ic03_train and svt_train, and of sroie")
    parser.add_argument("--labelled", type=Path, help="folder of further photos, see experiments/28_detector_on_photos")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--spotter", type=Path, help="checkpoint whose detector is trained; without it PP-OCRv6 small's is")
    what.add_argument("--begin", help="checkpoint whose PP-OCR detector training begins with, as bundled")
    parser.add_argument("--scale", type=float, nargs=2, default=Recipe.scale, help="smallest and largest size of photos")
    parser.add_argument("--minutes", type=float, default=90, help="of training, evaluations included")
    parser.add_argument("--steps", type=int, help="instead of minutes")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--warm-up", type=int, default=100, help="steps")
    parser.add_argument("--decay", type=float, default=0.998, help="of the averaged weights")
    parser.add_argument("--bf16", action="store_true", help="faster where the processor has it, many times slower elsewhere")
    parser.add_argument("--evaluate-every", type=float, default=20, help="minutes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    if (arguments.output / "last.pt").exists() and not arguments.resume:
        parser.error(f"{arguments.output} holds a training; give --resume to go on with it, or another folder")
    arguments.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    training = Training(arguments)
    if arguments.resume:
        training.resume()

    def end(*_: object) -> None:
        training.asked_to_end = True

    signal.signal(signal.SIGTERM, end)
    training.run()


if __name__ == "__main__":
    main()
