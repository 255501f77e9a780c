"""Loaders of multi-resolution batches for training and evaluation."""

import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from operator import itemgetter

import cv2
import lightning
import numpy as np
import torch
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Subset

from dld_spotter.core.batches import Sample, SpottingBatch
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.data.collate import Collate
from dld_spotter.data.dataset import TextDataset, report_damage
from dld_spotter.data.splits import NamedPart
from dld_spotter.data.views import fill_frames

Draw = tuple[int, Sample]


@dataclass(frozen=True)
class Loading:
    """How batches are loaded.

    Args:
        batch_size: images per training batch.
        eval_batch_size: images per evaluation batch; None for ``batch_size``.
        workers: loader processes; 0 loads in the main process.
        seed: of the order and of everything drawn at random.

    Raises:
        ConfigError: a number is too small.
    """

    batch_size: int = 8
    eval_batch_size: int | None = None
    workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for key, least in (("batch_size", 1), ("eval_batch_size", 1), ("workers", 0)):
            value = getattr(self, key)
            if value is not None and value < least:
                raise ConfigError(f"data.{key} must be at least {least}, found {value}; raise it")


class SpottingDataModule(lightning.LightningDataModule):
    """Serves text data sets as :class:`~dld_spotter.core.batches.SpottingBatch`.

    What a training batch holds depends on the seed, the pass and its place in the pass alone: not on the number of
    workers, nor on whether the run was resumed.

    Args:
        train: shuffled anew in every pass; incomplete last batches are dropped.
        validation: served in order; None if there is none.
        test: served in order; None if there is none.
        collate: builds the batches of evaluation.
        train_collate: builds the batches of training, jitter included; None for the same as in evaluation. Only this one may
            leave the resizing to the device.
        loading: sizes of batches, workers and seed; None for the defaults.
    """

    def __init__(
        self,
        train: TextDataset | None,
        validation: TextDataset | None,
        test: TextDataset | None,
        collate: Collate,
        train_collate: Collate | None = None,
        loading: Loading | None = None,
    ) -> None:
        super().__init__()
        if collate.on_device:
            raise ConfigError("data.collate.on_device=true is for training alone; set data.train_collate.on_device instead")
        self.train, self.validation, self.test = train, validation, test
        self.collate, self.train_collate = collate, train_collate or collate
        self.loading = loading or Loading()

    def train_dataloader(self) -> DataLoader:
        """Return the shuffled training batches; ``set_epoch`` of its sampler chooses the pass."""
        dataset = _required(self.train, "train")
        replicas, rank = self._place()
        sampler = PassSampler(dataset, replicas, rank, shuffle=True, seed=self.loading.seed, drop_last=replicas > 1)
        if len(sampler) < self.loading.batch_size:
            share = f" ({len(sampler)} for each of {replicas} processes)" if replicas > 1 else ""
            raise ConfigError(
                f"data.batch_size={self.loading.batch_size} is more than the {len(dataset)} training images{share}; "
                "lower data.batch_size"
            )
        collate = partial(_collate_draws, self.train_collate, self.loading.seed)
        return self._loader(DrawnDataset(dataset), collate, self.loading.batch_size, sampler=sampler, drop_last=True)

    def val_dataloader(self) -> DataLoader:
        """Return the validation batches, in order."""
        dataset = _required(self.validation, "validation")
        replicas, rank = self._place()
        if len(dataset) < replicas:
            raise ConfigError(
                f"data.validation has {len(dataset)} images, fewer than the {replicas} processes; lower trainer.devices"
            )
        sampler = UnrepeatedDistributedSampler(dataset, replicas, rank, shuffle=False) if replicas > 1 else None
        return self._loader(dataset, self.collate, self.loading.eval_batch_size or self.loading.batch_size, sampler=sampler)

    def test_samples(self) -> DataLoader:
        """Return the test images one by one, in order, as they are in their files; whoever reads them resizes them.

        On CPU without workers, which would slow down the reading that is timed.

        Raises:
            DataError: two images have one name, by which outcomes and predictions are told apart.
        """
        dataset = _required(self.test, "test")
        refuse_namesakes(dataset)
        workers = self.loading.workers if torch.cuda.is_available() else 0
        return DataLoader(dataset, batch_size=1, collate_fn=itemgetter(0), num_workers=workers)

    def _place(self) -> tuple[int, int]:
        """How many processes train, and which of them this one is."""
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)

    def on_after_batch_transfer(self, batch: SpottingBatch, dataloader_idx: int) -> SpottingBatch:
        """Fill the views that ``train_collate.on_device`` left to the device."""
        return fill_frames(batch)

    def teardown(self, stage: str) -> None:
        """Report damaged files, once for the whole run."""
        report_damage([self.train, self.validation, self.test])

    def _loader(
        self,
        dataset: TextDataset,
        collate: "Collate | partial[SpottingBatch]",
        batch_size: int,
        workers: int | None = None,
        **options: object,
    ) -> DataLoader:
        workers = self.loading.workers if workers is None else workers
        return DataLoader(
            dataset,
            batch_size,
            collate_fn=collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=_quiet,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator().manual_seed(self.loading.seed),  # else each pass draws from the one of the training
            **options,
        )


class PassSampler(DistributedSampler):
    """Numbers instead of indices: ``e * len(dataset) + i`` in pass e, so that whatever is random differs by pass.

    Attributes:
        start: how many numbers of the pass are left out at its beginning, in the first round over it alone: a run that goes
            on within a pass has seen them.
    """

    start = 0

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * len(self.dataset)
        start, self.start = self.start, 0
        return (first + index for index in islice(super().__iter__(), start, None))


class DrawnDataset(Dataset[Draw]):
    """Serves each sample of a data set with its number, see :class:`PassSampler`."""

    def __init__(self, dataset: TextDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, number: int) -> Draw:
        endless = getattr(self.dataset, "endless", False)
        return number, self.dataset[number if endless else number % len(self.dataset)]


def _collate_draws(collate: Collate, seed: int, draws: Sequence[Draw]) -> SpottingBatch:
    """Collate with a generator that depends on the seed and the samples' numbers only."""
    numbers, samples = zip(*draws, strict=True)
    return collate(samples, np.random.default_rng([seed, *numbers]))


def names_of(dataset: TextDataset) -> list[str]:
    """Names of the images of a data set, or of a part of one; empty where only the samples know them."""
    if hasattr(dataset, "names"):
        return list(dataset.names)
    if isinstance(dataset, NamedPart | Subset):
        names = names_of(dataset.dataset)
        return [names[index] for index in dataset.indices] if names else []
    return []


def refuse_namesakes(dataset: TextDataset) -> None:
    """Raise DataError if two images of a data set have one name."""
    (name, count), *_ = Counter(names_of(dataset)).most_common(1) or [("", 0)]
    if count > 1:
        raise DataError(
            f"{count} images of the data set have the name {name}, such as {name}.jpg beside {name}.png or in two folders; "
            "rename or remove all but one"
        )


def _required(dataset: TextDataset | None, name: str) -> TextDataset:
    if dataset is None:
        raise ConfigError(f"data.{name} is not set, but this run needs it; name a data set there")
    return dataset


def _quiet(worker: int) -> None:
    """Keep OpenCV and torch from starting threads in each of many workers, and Ctrl-C from reaching them."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that is served ends its workers
