import errno
import multiprocessing
import time

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from torch.utils.data import DataLoader

from dld_spotter.config.assembly import build_data
from dld_spotter.config.entry import ROOT
from dld_spotter.core.batches import Sample, TextInstances
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.data.cache import CachedDataset, cache_folder
from dld_spotter.data.synthetic import SceneLayout, SceneRenderer, SyntheticScenes


class Counting:
    """Gives samples without words at uneven indices, and counts how often it is asked."""

    endless = True

    def __init__(self):
        self.asked = multiprocessing.Value("i", 0)

    def __len__(self):
        return 3

    def __getitem__(self, index):
        time.sleep(0.02)  # long enough for another to ask for the same
        with self.asked:
            self.asked.value += 1
        words = TextInstances.of([np.arange(8).reshape(4, 2) + 0.1], ["é 'x\""], [True])
        image = np.random.default_rng(index).integers(0, 256, (40, 30, 3), np.uint8)
        return Sample(image, words if index % 2 == 0 else TextInstances.of([], []), f"ünder {index}")


def same_words(a, b):
    assert a.name == b.name
    assert a.instances.transcriptions == b.instances.transcriptions
    np.testing.assert_array_equal(a.instances.ignore, b.instances.ignore)
    assert all(np.array_equal(p, q) for p, q in zip(a.instances.polygons, b.instances.polygons, strict=True))


def same(a, b):
    np.testing.assert_array_equal(a.image, b.image)
    same_words(a, b)


def test_a_sample_is_made_once_and_everyone_gets_the_same(tmp_path):
    source = Counting()
    first, second = CachedDataset(source, tmp_path / "a"), CachedDataset(source, tmp_path / "a")
    made = [first[index] for index in (0, 1, 7)]
    for index, sample in zip((0, 1, 7), made, strict=True):
        same(sample, second[index])
        original = source[index]
        same_words(sample, original)
        assert (sample.image.shape, sample.image.dtype) == (original.image.shape, np.uint8)
    assert source.asked.value == 3 + 3
    assert (len(first), first.endless) == (3, True)


def test_processes_divide_the_work(tmp_path):
    source = Counting()
    loaders = [iter(DataLoader(CachedDataset(source, tmp_path), None, sampler=range(12), num_workers=2)) for _ in range(2)]
    for a, b in zip(*loaders, strict=True):
        same(a, b)
    assert source.asked.value == 12


def test_rendered_scenes_keep_what_jpeg_keeps(tmp_path):
    scenes = SyntheticScenes(SceneRenderer(1, SceneLayout(96, 128)), 2)
    kept, scene = CachedDataset(scenes, tmp_path)[1], scenes[1]
    assert kept.image.shape == scene.image.shape
    assert np.abs(kept.image.astype(int) - scene.image).mean() < 4, "channels in order, hardly changed"
    same_words(kept, scene)
    with pytest.raises(IndexError):
        CachedDataset(scenes, tmp_path)[2]


@pytest.mark.parametrize("left", [0, 200, -1])
def test_what_cannot_be_read_is_made_again(tmp_path, left):
    source = Counting()
    cached, path = CachedDataset(source, tmp_path), tmp_path / "0.npz"
    before, content = cached[0], path.read_bytes()
    path.write_bytes(content[:left])
    same(cached[0], before)
    same(cached[0], before)
    assert source.asked.value == 2
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    def full(file, **values):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    cached = CachedDataset(Counting(), tmp_path / "cache")
    with pytest.raises(DataError, match=r"data\.cache: .*0\.npz cannot be written \(No space left on device\); make room"):
        cached[0]
    assert [path.suffix for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"] == [], "nothing half is left"
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"data\.cache"):
        CachedDataset(Counting(), tmp_path / "file" / "below")


def test_another_data_set_has_another_folder():
    assert cache_folder("c", {"a": 1, "b": [2]}) == cache_folder("c", {"b": [2], "a": 1})
    assert cache_folder("c", {"a": 1}) != cache_folder("c", {"a": 2})


def test_training_reads_through_the_cache_and_evaluation_does_not(tmp_path):
    overrides = [f"data.cache={tmp_path}", "data.train.length=3", "data.validation.length=2"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        data, longer, plain = (
            build_data(compose("train", each)) for each in (overrides, [*overrides, "data.train.length=4"], [])
        )
    assert isinstance(data.train, CachedDataset)
    assert data.train.folder.parent == tmp_path
    assert data.train.folder != longer.train.folder
    assert not any(isinstance(part, CachedDataset) for part in (data.validation, data.test, plain.train))
