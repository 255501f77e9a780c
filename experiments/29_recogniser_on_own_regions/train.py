"""Trains PP-OCR's recogniser on the regions of the detector in front of it, on word crops and on rendered words.

    python experiments/29_recogniser_on_own_regions/train.py OUTPUT --data DATA --steps 6000 [--labelled LABELLED] [--resume]

DATA holds ``icdar2015/train``, ``ic03_train``, ``svt_train``, ``iiit5k`` and ``real_words``; LABELLED is what label.py (study
28) makes. OUTPUT gets ``last.pt``, from which ``--resume`` goes on, ``end.pt`` with the averaged weights, ``train.csv`` and
``evaluation.csv``: words of the validation photos that are read rightly from the truth's box and from own regions, and words of
rendered scenes that training never sees, with the weights mixed with those of the start by several shares (arXiv 2109.01903).

``--expansion 0.5`` narrows the hidden layers of the recogniser's blocks first, and with ``--teach 1`` the recogniser as it was
teaches the narrow one: its characters at each column (KL), and its context.
"""

import argparse
import copy
import json
import math
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from narrow import SAMPLE, narrowed
from torch import Tensor, nn
from torch.utils.data import DataLoader
from words import (
    CHARSET,
    Batches,
    Item,
    Words,
    crop,
    crop_items,
    log,
    photo_items,
    read_photos,
    regions,
)

from dld_spotter.core.batches import Sample
from dld_spotter.core.charset import BLANK
from dld_spotter.data.synthetic import SceneLayout, SceneRenderer
from dld_spotter.inference.checkpoint import load_checkpoint, write_whole
from dld_spotter.models.ppocr.reading import PPOCRWordRecognizer
from dld_spotter.models.ppocr.widths import NOMINAL_WIDTH
from dld_spotter.models.spotter import Spotter

SHARES = (0.0, 0.5, 1.0)
"""Of the trained weights in what is evaluated; 0 is the start."""
LOG_EVERY, SAVE_EVERY = 50, 500
"""Steps."""
RENDERED = 12
"""Scenes, of the evaluation."""
TOGETHER = 64
"""Words that are read at a time."""


def fold(classes: int) -> Tensor:
    """Classes ``(V,)`` without case: that of the lower-case letter for each capital, else the class itself."""
    folded = torch.arange(classes)
    small = CHARSET.encode([char.lower() for char in CHARSET.characters], 2)[:, 0]
    folded[classes - len(CHARSET.characters) :] = small
    return folded


def ctc(log_probabilities: Tensor, labels: Tensor) -> Tensor:
    """CTC loss ``(N,)`` per character of labels ``(N, L)``, END included there and left out here."""
    lengths = (labels[:, :-1] > 2).sum(1)
    steps = torch.full((len(labels),), log_probabilities.shape[1])
    loss = F.ctc_loss(
        log_probabilities.transpose(0, 1), labels[:, :-1], steps, lengths, blank=BLANK, reduction="none", zero_infinity=True
    )
    return loss / lengths.clamp(min=1)


class Loss:
    """CTC with case; for words whose truth has none, CTC over the classes without case."""

    def __init__(self) -> None:
        self.fold = fold(len(CHARSET))

    def __call__(self, logits: Tensor, words: Words) -> Tensor:
        """Mean over the words of a batch."""
        log_probabilities = logits.float().log_softmax(-1)
        without = ~words.has_case
        loss = ctc(log_probabilities, words.labels)
        if without.any():
            probabilities = log_probabilities[without].exp()
            folded = torch.zeros_like(probabilities).index_add(2, self.fold, probabilities)
            loss = torch.cat([loss[words.has_case], ctc(folded.clamp(min=1e-12).log(), self.fold[words.labels[without]])])
        return loss.mean()


class Training:
    """Network, optimiser and what is evaluated.

    Args:
        arguments: of the command line.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments, self.output = arguments, arguments.output
        self.spotter = load_checkpoint(arguments.ckpt, "none").spotter()
        recognizer = self.spotter.recognizer
        assert isinstance(recognizer, PPOCRWordRecognizer)
        self.teacher, self.loss = recognizer.eval(), Loss()
        self.recognizer = (
            narrowed(recognizer, arguments.expansion, sample(arguments.data))
            if arguments.expansion
            else copy.deepcopy(recognizer)
        ).train()
        self.shares = SHARES[-1:] if arguments.expansion else SHARES
        self.start = {name: value.clone() for name, value in self.recognizer.state_dict().items()}
        self.average = {name: value.clone() for name, value in self.start.items()}
        self.optimizer = torch.optim.AdamW(self.recognizer.parameters(), lr=arguments.lr, weight_decay=1e-3)
        self.step, self.asked_to_end = 0, False

    def rate(self) -> float:
        """Learning rate: a warm-up, then a cosine."""
        warm = min(1.0, (self.step + 1) / 300)
        return self.arguments.lr * warm * (0.5 * (1 + math.cos(math.pi * self.step / self.arguments.steps)) + 0.01)

    def learn(self, words: Words) -> float:
        """Take a step; returns the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.arguments.bf16):
            context = self.recognizer.network.encode(words.pixels)
            logits = self.recognizer.network.output(context)
        loss = self.loss(logits, words)
        if self.arguments.teach:
            loss = loss + self.arguments.teach * self._untaught(context, logits, words)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.recognizer.parameters(), 2.0)
        self.optimizer.step()
        self.step += 1
        with torch.no_grad():
            for name, now in self.recognizer.state_dict().items():
                self.average[name].lerp_(now, max(1 - self.arguments.decay, 1 / self.step))
        return loss.item()

    def _untaught(self, context: Tensor, logits: Tensor, words: Words) -> Tensor:
        """How far context and characters are from the teacher's: squared difference over its variance, and KL per column."""
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=self.arguments.bf16):
            wanted = self.teacher.network.encode(words.pixels)
            target = self.teacher.network.output(wanted).float().log_softmax(-1)
        characters = F.kl_div(logits.float().log_softmax(-1), target, reduction="none", log_target=True).sum(-1).mean()
        return characters + F.mse_loss(context.float(), wanted.float()) / wanted.float().var()

    def save(self) -> None:
        """Write ``last.pt``."""
        state = {"recognizer": self.recognizer.state_dict(), "average": self.average, "step": self.step}
        write_whole(self.output / "last.pt", state | {"optimizer": self.optimizer.state_dict()})

    def resume(self) -> None:
        """Go on from ``last.pt`` where there is one."""
        if (path := self.output / "last.pt").exists():
            state = torch.load(path, weights_only=True)
            self.recognizer.load_state_dict(state["recognizer"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average, self.step = state["average"], state["step"]

    def evaluate(self, sets: Mapping[str, Sequence[Item]]) -> None:
        """Read the words of validation with each mixture of weights."""
        now = {name: value.clone() for name, value in self.recognizer.state_dict().items()}
        for share in self.shares if self.step else self.shares[:1]:
            self.recognizer.load_state_dict(mixed(self.start, self.average, share))
            row = {"step": self.step, "share": share}
            for name, items in sets.items():
                row |= {f"{name}_{key}": round(value, 4) for key, value in right(self.recognizer, items).items()}
            log(self.output / "evaluation.csv", row)
            print(row, flush=True)
        self.recognizer.load_state_dict(now)
        self.recognizer.train()

    def run(self, batches: Batches, sets: Mapping[str, Sequence[Item]]) -> None:
        """Train until all is done or the process is asked to end."""
        loader = iter(DataLoader(batches, None, num_workers=1, prefetch_factor=16, worker_init_fn=_ignore_the_end))
        losses: list[float] = []
        began = time.monotonic()
        if not self.step:
            self.evaluate(sets)
        while self.step < self.arguments.steps and not self.asked_to_end:
            losses.append(self.learn(next(loader)))
            if self.step % LOG_EVERY == 0:
                pace = (time.monotonic() - began) / LOG_EVERY
                log(
                    self.output / "train.csv",
                    {"step": self.step, "loss": round(float(np.mean(losses)), 4), "pace": round(pace, 3)},
                )
                losses, began = [], time.monotonic()
            if self.step % SAVE_EVERY == 0:
                self.save()
            if self.step % self.arguments.evaluate_every == 0:
                self.evaluate(sets)
        self.save()
        if not self.asked_to_end:
            write_whole(self.output / "end.pt", {"average": self.average})


def sample(data: Path) -> Tensor:
    """Some word crops of one width, by which hidden channels are weighed."""
    items = crop_items(data / "iiit5k", "words_gt.txt")
    pixels = [crop(item.image, item.places[0]) for item in items]
    chosen = [one for one in pixels if one.shape[2] == NOMINAL_WIDTH][:SAMPLE]
    return torch.from_numpy(np.stack(chosen))


def mixed(start: Mapping[str, Tensor], end: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights between those of the start and those of the end."""
    return {name: torch.lerp(value, end[name], share) for name, value in start.items()}


@torch.inference_mode()
def read(recognizer: PPOCRWordRecognizer, items: Sequence[Item]) -> list[str]:
    """Read words, those of one width together."""
    recognizer.eval()
    pools: dict[int, list[tuple[int, np.ndarray]]] = {}
    for index, item in enumerate(items):
        pixels = crop(item.image, item.places[-1])
        pools.setdefault(pixels.shape[2], []).append((index, pixels))
    texts = [""] * len(items)
    for pool in pools.values():
        for first in range(0, len(pool), TOGETHER):
            part = pool[first : first + TOGETHER]
            pixels = torch.from_numpy(np.stack([pixels for _, pixels in part]))
            labels, _ = recognizer.read(recognizer.network.encode(pixels))
            for (index, _), row in zip(part, labels.tolist(), strict=True):
                texts[index] = CHARSET.decode(row)
    return texts


def right(recognizer: PPOCRWordRecognizer, items: Sequence[Item]) -> dict[str, float]:
    """Shares of the words that are read rightly, without and with regard to case."""
    texts = read(recognizer, items)
    return {
        "right": float(np.mean([text.lower() == item.text.lower() for text, item in zip(texts, items, strict=True)])),
        "case": float(np.mean([text == item.text for text, item in zip(texts, items, strict=True)])),
    }


def with_signs(items: Sequence[Item], recognizer: PPOCRWordRecognizer) -> list[Item]:
    """Words whose truth leaves out signs, as IIIT5K's does.

    What the recogniser reads is the label where it differs by signs alone; words in which it reads signs and something else are
    left out.
    """
    kept = []
    for item, text in zip(items, read(recognizer, items), strict=True):
        plain = "".join(char for char in text if char.isalnum())
        if plain == text or plain.lower() == item.text.lower():
            kept.append(item if plain == text else replace(item, text=text))
    return kept


def evaluation_sets(data: Path, spotter: Spotter) -> dict[str, list[Item]]:
    """Words of the validation photos at the truth's box and at own regions of two scales, and rendered words."""
    photos = read_photos(data / "icdar2015" / "train", validation=True)
    sets = {"truth": photo_items(photos, [[]] * len(photos))}
    for scale in (1.0, 0.5):
        items = photo_items(photos, regions(spotter, photos, [scale]))
        sets[f"own_{scale:g}"] = [item for item in items if len(item.places) > 1]
    renderer = SceneRenderer(seed=20261130, layout=SceneLayout(height=512, width=512))
    scenes = [renderer.render(i) for i in range(RENDERED)]
    return sets | {"rendered": photo_items(scenes, [[]] * len(scenes))}


def training_words(arguments: argparse.Namespace, spotter: Spotter) -> Batches:
    """Everything that is learnt from, in memory."""
    data, labelled = arguments.data, arguments.labelled
    roots = {data / "icdar2015" / "train": (False, True), data / "ic03_train": (None, True), data / "svt_train": (None, False)}
    if labelled:
        roots[labelled / "street"] = (None, True)
    items: list[Item] = []
    for root, (validation, has_case) in roots.items():
        photos = read_photos(root, validation)
        items += photo_items(photos, known_regions(arguments, spotter, root.parent.name + root.name, photos), has_case)
    crops = crop_items(data / "real_words", "words.tsv")
    crops += with_signs(crop_items(data / "iiit5k", "words_gt.txt"), spotter.recognizer)
    print(f"{len(items)} words of photos, {sum(len(item.places) > 1 for item in items)} with own regions; {len(crops)} crops")
    return Batches(items, crops, arguments.batch, arguments.seed, own=arguments.own)


def known_regions(arguments: argparse.Namespace, spotter: Spotter, name: str, photos: list[Sample]) -> list[list[np.ndarray]]:
    """Regions of photos, from a file where a run before this one has found them; none where words are not cut out by them."""
    if not arguments.own:
        return [[]] * len(photos)
    path = arguments.output / f"regions_{name}.json"
    if not path.exists():
        found = regions(spotter, photos, bf16=arguments.bf16)
        path.write_text(json.dumps([[quad.round(2).tolist() for quad in quads] for quads in found]))
    return [[np.array(quad) for quad in quads] for quads in json.loads(path.read_text())]


def _ignore_the_end(worker: int) -> None:
    """Let a loader's process end after the training, not before it."""
    del worker
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--labelled", type=Path, help="what label.py of experiments/28_detector_on_photos makes")
    parser.add_argument("--ckpt", default="bundled", help="whose recogniser is trained, on its detector's regions")
    parser.add_argument("--expansion", type=float, help="hidden channels of its blocks per channel; None leaves them")
    parser.add_argument("--teach", type=float, default=0.0, help="weight of what the recogniser of the start teaches")
    parser.add_argument("--own", type=float, default=0.5, help="how often a word is cut out by a region of the detector's")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--decay", type=float, default=0.999, help="of the averaged weights")
    parser.add_argument("--bf16", action="store_true", help="faster where the processor has it, many times slower elsewhere")
    parser.add_argument("--evaluate-every", type=int, default=1000, help="steps")
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
    batches = training_words(arguments, training.spotter)
    if arguments.resume:  # only now: what is learnt from is found and labelled by the weights of the start
        training.resume()
    batches.first = training.step
    training.run(batches, sets)


if __name__ == "__main__":
    main()
