import multiprocessing

import numpy as np
import pytest
from torch.utils.data import DataLoader

from dld_spotter.data.cache import CachedDataset, cache_folder
from dld_spotter.data.synthetic import SceneLayout, SceneRenderer, SyntheticScenes
from dld_spotter.errors import ConfigError, DataError
from dld_spotter.structures import Sample, TextInstances


class Counting:
    """Gives samples without words at uneven indices, and counts how often it is asked."""

    endless = True

    def __init__(self):
        self.asked = multiprocessing.Value("i", 0)

    def __len__(self):
        return 3

    def __getitem__(self, index):
        with self.asked:
            self.asked.value += 1
        words = TextInstances.of([np.arange(8).reshape(4, 2) + 0.1], ["é 'x\""], [True])
        image = np.random.default_rng(index).integers(0, 256, (40, 30, 3), np.uint8)
        return Sample(image, words if index % 2 == 0 else TextInstances.of([], []), f"ünder {index}")


def same(a, b):
    np.testing.assert_array_equal(a.image, b.image)
    assert a.name == b.name
    assert a.instances.transcriptions == b.instances.transcriptions
    np.testing.assert_array_equal(a.instances.ignore, b.instances.ignore)
    assert all(np.array_equal(p, q) for p, q in zip(a.instances.polygons, b.instances.polygons, strict=True))


def test_a_sample_is_made_once_and_everyone_gets_the_same(tmp_path):
    source = Counting()
    first, second = CachedDataset(source, tmp_path / "a"), CachedDataset(source, tmp_path / "a")
    made = [first[index] for index in (0, 1, 7)]
    for index, sample in zip((0, 1, 7), made, strict=True):
        same(sample, second[index])
        original = source[index]
        assert sample.name == original.name
        assert sample.instances.transcriptions == original.instances.transcriptions
        assert sample.image.dtype == np.uint8
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
    assert kept.instances.transcriptions == scene.instances.transcriptions
    with pytest.raises(IndexError):
        CachedDataset(scenes, tmp_path)[2]


def test_what_is_damaged_is_named(tmp_path):
    cached = CachedDataset(Counting(), tmp_path)
    cached[0]
    (tmp_path / "0.npz").write_bytes((tmp_path / "0.npz").read_bytes()[:200])
    with pytest.raises(DataError, match=r"0\.npz is damaged .*; delete it"):
        cached[0]
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"data\.cache"):
        CachedDataset(Counting(), tmp_path / "file" / "below")


def test_another_data_set_has_another_folder():
    assert cache_folder("c", {"a": 1, "b": [2]}) == cache_folder("c", {"b": [2], "a": 1})
    assert cache_folder("c", {"a": 1}) != cache_folder("c", {"a": 2})
