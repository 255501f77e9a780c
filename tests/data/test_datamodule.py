from dataclasses import replace
from types import SimpleNamespace

import lightning
import numpy as np
import pytest
import torch
from torch.utils.data import Subset

from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.data.collate import Collate
from dld_spotter.data.datamodule import Loading, SpottingDataModule
from dld_spotter.data.splits import NamedPart
from dld_spotter.data.transforms import TextTransforms, TransformedDataset, default_transforms
from tests.data.samples import box, sample
from tests.data.test_collate import CHARSET, assert_same
from tests.data.test_dataset import Numbers

COLLATE = Collate(CHARSET, (1.0, 0.5), thumbnail=16)
TRAINING = Collate(CHARSET, (1.0, 0.5), thumbnail=16, jitter=0.1, draw_one=True)


def scenes(count=7):
    return [sample(40, 60, [box(5, 5, 40, 20)], name=f"scene{i}") for i in range(count)]


def module(train=None, workers=0, seed=0, **options):
    train = scenes() if train is None else train
    return SpottingDataModule(train, scenes(5), scenes(3), COLLATE, TRAINING, Loading(2, workers=workers, seed=seed, **options))


def passes(loader, epochs):
    batches = []
    for epoch in epochs:
        loader.sampler.set_epoch(epoch)
        batches.extend(loader)
    return batches


def test_training_shuffles_in_every_pass_and_drops_the_rest():
    loader = module().train_dataloader()
    names = [[name for batch in passes(loader, [epoch]) for name in batch.names] for epoch in range(3)]
    assert [len(set(one)) for one in names] == [6, 6, 6]
    assert names[0] != names[1] != names[2]


def test_evaluation_serves_everything_in_order():
    names = [name for batch in module(eval_batch_size=2).val_dataloader() for name in batch.names]
    assert names == [f"scene{i}" for i in range(5)]
    assert [sample.name for sample in module().test_samples()] == [f"scene{i}" for i in range(3)]


def test_batches_depend_on_seed_and_pass_only():
    train = TransformedDataset(scenes(), default_transforms(32))
    alone = passes(module(train).train_dataloader(), [0, 1])
    workers = passes(module(train, workers=2).train_dataloader(), [0, 1])
    resumed = passes(module(train).train_dataloader(), [1])
    assert len(alone) == len(workers) == 6
    for first, second in zip([*alone, *alone[3:]], [*workers, *resumed], strict=True):
        assert_same(first, second)
    other = passes(module(train, seed=1).train_dataloader(), [0])
    assert [batch.names for batch in other] != [batch.names for batch in alone[:3]]


def test_jitter_differs_by_pass():
    first, second = (passes(module(scenes(2)).train_dataloader(), [epoch])[0] for epoch in (0, 1))
    assert not torch.equal(first.boundaries.sum((1, 2)).sort(0)[0], second.boundaries.sum((1, 2)).sort(0)[0])


@pytest.mark.parametrize("workers", [0, 2])
def test_damage_found_by_any_worker_is_reported_at_the_end(workers, caplog):
    data = SpottingDataModule(Numbers(4), Numbers(6, bad=[1, 5]), None, COLLATE, loading=Loading(workers=workers))
    names = [name for batch in data.val_dataloader() for name in batch.names]
    assert names == ["0", "2", "2", "3", "4", "0"]
    data.teardown("fit")
    assert "2 of 6 entries were damaged and skipped" in caplog.text


def test_only_training_leaves_the_resizing_to_the_device():
    with pytest.raises(ConfigError, match=r"set data\.train_collate\.on_device instead"):
        SpottingDataModule(scenes(), None, None, replace(COLLATE, on_device=True))


def test_what_is_missing_is_named():
    data = SpottingDataModule(scenes(1), None, None, COLLATE, loading=Loading(2))
    with pytest.raises(ConfigError, match=r"data\.test is not set"):
        data.test_samples()
    with pytest.raises(ConfigError, match=r"data\.batch_size=2 is more than the 1 training images"):
        data.train_dataloader()


class Named(Numbers):
    def __init__(self, names):
        super().__init__(len(names))
        self.names = names


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: Subset(d, [0, 1, 2]), lambda d: NamedPart(d, {"all": 1.0}, "all")])
def test_images_that_share_a_name_are_refused(wrap):
    def served(names):
        return SpottingDataModule(None, None, wrap(Named(names)), COLLATE).test_samples()

    assert len(served(["a", "b", "c"]).dataset) == 3
    with pytest.raises(DataError, match="2 images of the data set have the name b"):
        served(["b", "a", "b"])


def test_the_part_that_is_served_may_hold_one_of_two_namesakes():
    data = SpottingDataModule(None, None, Subset(Named(["a", "b", "b"]), [0, 1]), COLLATE)
    assert len(data.test_samples().dataset) == 2


def test_processes_share_the_images():
    data = module(eval_batch_size=1)
    parts = []
    for rank in range(2):
        data.trainer = SimpleNamespace(world_size=2, global_rank=rank)
        parts.append([name for batch in data.val_dataloader() for name in batch.names])
        assert len(data.train_dataloader()) == 1
    assert parts == [["scene0", "scene2", "scene4"], ["scene1", "scene3"]]
    data.trainer = SimpleNamespace(world_size=6, global_rank=0)
    with pytest.raises(ConfigError, match="5 images, fewer than the 6 processes"):
        data.val_dataloader()
    with pytest.raises(ConfigError, match=r"7 training images \(1 for each of 6 processes\)"):
        data.train_dataloader()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("endless", [False, True])
def test_no_image_is_seen_by_two_processes_or_workers(workers, endless):
    """Three ranks with their workers: every pass is shared out without overlap, and all but what is dropped is seen."""
    pages = scenes(20)
    train = TransformedDataset(pages, TextTransforms([])) if endless else pages
    data = module(train, workers=workers)
    seen = {}
    for rank in range(3):
        data.trainer = SimpleNamespace(world_size=3, global_rank=rank)
        loader = data.train_dataloader()
        for epoch in (0, 1):
            seen[rank, epoch] = [name for batch in passes(loader, [epoch]) for name in batch.names]
    for epoch in (0, 1):
        names = [name for rank in range(3) for name in seen[rank, epoch]]
        assert len(names) == len(set(names)) == 18, "three times three batches of two"
    assert seen[0, 0] != seen[0, 1]


class Recorder(lightning.LightningModule):
    """Keeps the names it sees."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.names = []

    def training_step(self, batch, index):
        self.names.append((self.current_epoch, batch.names))
        assert all(view.images.shape[1] == 3 for view in batch.views.values())
        assert len(batch.views) == 1
        return self.weight * batch.thumbnails.float().mean()

    def validation_step(self, batch, index):
        assert len(batch.views) == 2
        assert all(view.images.shape[1] == 3 for view in batch.views.values())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize("on_device", [False, True])
def test_the_trainer_chooses_the_pass_and_gets_whole_views(tmp_path, on_device):
    recorder = Recorder()
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(max_epochs=2, accelerator="cpu", default_root_dir=tmp_path, num_sanity_val_steps=0, **options)
    data = module()
    data.train_collate = replace(TRAINING, on_device=on_device)
    trainer.fit(recorder, datamodule=data)
    loader = module().train_dataloader()
    expected = [(epoch, batch.names) for epoch in (0, 1) for batch in passes(loader, [epoch])]
    assert recorder.names == expected
    assert np.array(recorder.names, object).shape == (6, 2)
