"""A callback that writes down what each process of a run sees."""

import hashlib
import json
from pathlib import Path

import torch
from lightning import Callback

from dld_spotter.core.errors import DataError
from dld_spotter.training.modules import DLDModule


class Recorder(Callback):
    """Leaves ``STAGE_RANK.json`` in a folder: names of images, sums of weights, random draws, weights of terms."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def on_train_start(self, trainer, module):
        self.seen = {"start": digest(module), "world": trainer.world_size, "train": [], "validation": []}

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.seen["train"] += batch.names

    def on_validation_batch_end(self, trainer, module, outputs, batch, batch_idx, dataloader_idx=0):
        self.seen["validation"] += batch.names

    def on_train_end(self, trainer, module):
        self.seen |= {"end": digest(module), "noise": torch.rand(1).item(), "weights": dict(module.objective.weights)}
        stage = "distillation" if isinstance(module, DLDModule) else "teacher"
        (self.folder / f"{stage}_{trainer.global_rank}.json").write_text(json.dumps(self.seen))


class Fault(Callback):
    """Fails in some processes after the first step."""

    def __init__(self, ranks):
        self.ranks = ranks

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if trainer.global_rank in self.ranks:
            raise DataError("img_7.jpg is damaged")


def digest(module):
    """Hash of every parameter that learns."""
    parameters = [parameter.detach().cpu().numpy().tobytes() for parameter in module.parameters()]
    return hashlib.sha256(b"".join(parameters)).hexdigest()
