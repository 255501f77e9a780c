"""Samples kept in files, so that they are made once: rendering takes longer than a small spotter's step on a GPU."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from filelock import FileLock
from torch.utils.data import Dataset

from dld_spotter.core.archives import UNREADABLE, Bounds, read_arrays
from dld_spotter.core.batches import Sample, TextInstances
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.data.dataset import TextDataset

QUALITY = 95
LOCKS = 512
NAMES = ("image", "points", "lengths", "transcriptions", "ignore", "name")
BOUNDS = Bounds(members=16, member=2**28, archive=2**29)
"""Of a kept sample."""


class CachedDataset(Dataset[Sample]):
    """Makes each sample once and reads it from then on, in this training, one beside it or a later one.

    Images are kept as JPEG, and the one that makes a sample gets it as all others do: trainings that share a cache see the
    same pixels. Trainings at the same time divide the work, since whoever comes second to a sample waits for it. A file that
    cannot be read is made again; what a data set gives in place of a damaged photo is kept as any other sample.

    Args:
        dataset: makes the samples; the same index must give the same sample, as rendered scenes and seeded transforms do.
        folder: where they are kept, of this data set alone (:func:`cache_folder`); some 80 kB for 512 x 512 pixels.
    """

    def __init__(self, dataset: TextDataset, folder: str | Path) -> None:
        self.dataset, self.folder = dataset, Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"data.cache: {self.folder} cannot be created ({error.strerror}); name another folder") from error

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        path = self.folder / f"{index}.npz"
        if (kept := _read(path)) is not None:
            return kept
        with FileLock(self.folder / f"{index % LOCKS}.lock").acquire(poll_interval=0.005):
            if (kept := _read(path)) is None:
                _write(path, self.dataset[index])
                kept = _read(path)
        return kept

    @property
    def endless(self) -> bool:
        """Whether there is something new beyond the length."""
        return getattr(self.dataset, "endless", False)

    @property
    def images(self) -> Sequence[Path]:
        """The image files behind it; empty for data that is not made of files."""
        return getattr(self.dataset, "images", [])

    def damage_report(self, examples: int = 3) -> str:
        """Report what was damaged, see :meth:`dld_spotter.data.dataset.FileDataset.damage_report`."""
        return self.dataset.damage_report(examples) if hasattr(self.dataset, "damage_report") else ""


def cache_folder(root: str | Path, config: Mapping[str, Any]) -> Path:
    """Folder below ``root`` that belongs to the data set of this configuration, plain values, and to no other."""
    return Path(root) / hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def _write(path: Path, sample: Sample) -> None:
    """Write a sample; whoever looks finds all of it or nothing. Raises DataError if there is no place for it."""
    words = sample.instances
    _, image = cv2.imencode(".jpg", cv2.cvtColor(sample.image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    values = {
        "image": image,
        "points": np.concatenate([np.zeros((0, 2), np.float32), *words.polygons]),
        "lengths": np.array([len(polygon) for polygon in words.polygons], np.int64),
        "transcriptions": np.array([text.encode() for text in words.transcriptions], object).astype("S"),
        "ignore": np.asarray(words.ignore, bool),
        "name": np.array(sample.name.encode(), "S"),
    }
    unfinished = path.with_suffix(f".{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            np.savez(file, **values)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise DataError(
            f"data.cache: {path} cannot be written ({error.strerror}); make room, or leave out data.cache="
        ) from error


def _read(path: Path) -> Sample | None:
    """Read a sample; None where there is none, or what is left of one."""
    try:
        kept = read_arrays(path, NAMES, BOUNDS)
        image = cv2.cvtColor(cv2.imdecode(kept["image"], cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        polygons = np.split(kept["points"], kept["lengths"].cumsum()[:-1]) if len(kept["lengths"]) else []
        texts = [text.decode() for text in kept["transcriptions"].tolist()]
        return Sample(image, TextInstances.of(polygons, texts, kept["ignore"].tolist()), kept["name"].item().decode())
    except (*UNREADABLE, cv2.error):
        return None
