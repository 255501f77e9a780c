"""Trains a recogniser that sees crops of half the width, taught by the one that sees all of it.

    python experiments/35_half_width_crops/train.py OUTPUT --data DATA --steps 4000 [--teach 1] [--resume]

DATA holds ``icdar2015/train``, ``ic03_train``, ``svt_train``, ``street_unlabelled`` and ``real_words``. Student and teacher
begin with the weights of the bundled recogniser. Both give as many columns, so the teacher's characters (KL) and its context
are compared column by column. With ``--teach 0``, the control, the student learns texts alone: those of the truth, and of
regions what the teacher reads. OUTPUT gets ``last.pt``, from which ``--resume`` goes on, ``end.pt`` with the averaged weights,
``train.csv`` and ``evaluation.csv``: words of the validation photos that are read rightly.
"""

import argparse
import copy
import math
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from crops import Batches, Item, Words, photo_items, read_photos, read_sources, regions, right
from torch import Tensor, nn
from torch.utils.data import DataLoader
from words import log  # of study 29, which crops.py makes known

from dld_spotter.core.charset import BLANK
from dld_spotter.inference.checkpoint import load_checkpoint, write_whole
from dld_spotter.models.decoding import ctc_greedy
from dld_spotter.models.ppocr.reading import PPOCRWordRecognizer
from dld_spotter.models.spotter import Spotter

SURE = 0.8
"""Score from which on what the teacher reads of a region is a label."""
HARD = 0.5
"""Weight of the texts beside what the teacher tells."""
LOG_EVERY, SAVE_EVERY, EVALUATE_EVERY = 50, 250, 1000


class Training:
    """Student, teacher and optimiser.

    Args:
        arguments: of the command line.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.spotter = load_checkpoint("bundled", "none").spotter().eval()
        self.charset, self.teacher = self.spotter.charset, self.spotter.recognizer
        assert isinstance(self.teacher, PPOCRWordRecognizer)
        self.student = PPOCRWordRecognizer(self.charset, halve_width=True).train()
        self.student.load_state_dict(self.teacher.state_dict())
        self.average = copy.deepcopy(self.student.state_dict())
        self.optimizer = torch.optim.AdamW(self.student.parameters(), lr=arguments.lr, weight_decay=1e-3)
        self.step, self.asked_to_end = 0, False

    def rate(self) -> float:
        """Learning rate: a warm-up, then a cosine."""
        warm = min(1.0, (self.step + 1) / 200)
        return self.arguments.lr * warm * (0.5 * (1 + math.cos(math.pi * self.step / self.arguments.steps)) + 0.01)

    def learn(self, words: Words) -> float:
        """Take a step; returns the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.arguments.bf16):
            with torch.no_grad():
                wanted = self.teacher.network.encode(words.pixels)
                told = self.teacher.network.output(wanted).float().log_softmax(-1)
            context = self.student.network.encode(words.pixels)
            logits = self.student.network.output(context).float()
        loss = self.texts(logits, told, words)
        if self.arguments.teach:
            characters = F.kl_div(logits.log_softmax(-1), told, reduction="none", log_target=True).sum(-1).mean()
            contexts = F.mse_loss(context.float(), wanted.float()) / wanted.float().var()
            loss = HARD * loss + self.arguments.teach * (characters + contexts)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.student.parameters(), 2.0)
        self.optimizer.step()
        self.step += 1
        with torch.no_grad():
            for name, now in self.student.state_dict().items():
                self.average[name].lerp_(now, max(1 - self.arguments.decay, 1 / self.step))
        return loss.item()

    def texts(self, logits: Tensor, told: Tensor, words: Words) -> Tensor:
        """Mean CTC loss per character: truth where it is known with its case, else what the teacher reads surely."""
        labels, scores = ctc_greedy(told)
        read = [self.charset.decode(row).strip() for row in labels.tolist()]
        sure = scores.exp() >= SURE
        truth = [self.charset.decode(row) for row in words.labels.tolist()]
        texts = [known or (text if one else "") for known, text, one in zip(truth, read, sure.tolist(), strict=True)]
        rows = [k for k, text in enumerate(texts) if text]
        if not rows:
            return logits.sum() * 0
        wanted = self.charset.encode([texts[k] for k in rows], max(len(texts[k]) for k in rows) + 1)[:, :-1]
        lengths = (wanted > 2).sum(1)
        steps = torch.full((len(rows),), logits.shape[1])
        chosen = logits[rows].log_softmax(-1).transpose(0, 1)
        loss = F.ctc_loss(chosen, wanted, steps, lengths, blank=BLANK, reduction="none", zero_infinity=True)
        return (loss / lengths).mean()

    def save(self) -> None:
        """Write ``last.pt``."""
        state = {"student": self.student.state_dict(), "average": self.average, "step": self.step}
        write_whole(self.arguments.output / "last.pt", state | {"optimizer": self.optimizer.state_dict()})

    def resume(self) -> None:
        """Go on from ``last.pt`` where there is one."""
        if (path := self.arguments.output / "last.pt").exists():
            state = torch.load(path, weights_only=True)
            self.student.load_state_dict(state["student"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average, self.step = state["average"], state["step"]

    def evaluate(self, sets: dict[str, list[Item]]) -> None:
        """Read the words of validation with the averaged weights."""
        now = copy.deepcopy(self.student.state_dict())
        self.student.load_state_dict(self.average)
        row: dict[str, float] = {"step": self.step}
        row |= {name: round(right(self.student, self.charset, items), 4) for name, items in sets.items()}
        log(self.arguments.output / "evaluation.csv", row)
        print(row, flush=True)
        self.student.load_state_dict(now)
        self.student.train()

    def run(self, batches: Batches, sets: dict[str, list[Item]]) -> None:
        """Train until all is done or the process is asked to end."""
        loader = iter(DataLoader(batches, None, num_workers=1, prefetch_factor=16, worker_init_fn=_ignore_the_end))
        losses: list[float] = []
        began = time.monotonic()
        if not self.step:
            print(
                {name: round(right(self.teacher, self.charset, items), 4) for name, items in sets.items()},
                "teacher",
                flush=True,
            )
            self.evaluate(sets)
        while self.step < self.arguments.steps and not self.asked_to_end:
            losses.append(self.learn(next(loader)))
            if self.step % LOG_EVERY == 0:
                pace = (time.monotonic() - began) / LOG_EVERY
                row = {"step": self.step, "loss": round(float(np.mean(losses)), 4), "pace": round(pace, 3)}
                log(self.arguments.output / "train.csv", row)
                losses, began = [], time.monotonic()
            if self.step % SAVE_EVERY == 0:
                self.save()
            if self.step % EVALUATE_EVERY == 0 or self.step == self.arguments.steps:
                self.evaluate(sets)
        self.save()
        if not self.asked_to_end:
            write_whole(self.arguments.output / "end.pt", {"average": self.average})


def evaluation_sets(data: Path, spotter: Spotter) -> dict[str, list[Item]]:
    """Words of the validation photos at the truth's box and at the regions of scale 0.5 that were matched to it."""
    photos = read_photos(data / "icdar2015" / "train", validation=True)
    own = photo_items(photos, regions(spotter, photos, [0.5]))
    return {"truth": photo_items(photos, [[]] * len(photos)), "own": [item for item in own if len(item.places) > 1]}


def _ignore_the_end(worker: int) -> None:
    """Let a loader's process end after the training, not before it."""
    del worker
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teach", type=float, default=1.0, help="weight of what the teacher tells; 0 for texts alone")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--decay", type=float, default=0.998, help="of the averaged weights")
    parser.add_argument("--bf16", action="store_true", help="faster where the processor has it, many times slower elsewhere")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    if (arguments.output / "last.pt").exists() and not arguments.resume:
        parser.error(f"{arguments.output} holds a training; give --resume to go on with it, or another folder")
    arguments.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)  # a process that is forked off while threads of OpenCV wait would wait for ever
    torch.manual_seed(arguments.seed)
    training = Training(arguments)

    def end(*_: object) -> None:
        training.asked_to_end = True

    signal.signal(signal.SIGTERM, end)
    sets = evaluation_sets(arguments.data, training.spotter)
    sources = read_sources(arguments.data, arguments.output, training.spotter, arguments.bf16)
    print(f"{len(sources.regions)} regions, {len(sources.photos)} words of photos, {len(sources.crops)} crops", flush=True)
    if arguments.resume:
        training.resume()
    batches = Batches(sources, training.charset, arguments.batch, arguments.seed, training.step)
    training.run(batches, sets)


if __name__ == "__main__":
    main()
