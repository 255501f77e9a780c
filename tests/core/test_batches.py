import numpy as np
import pytest
import torch

from dld_spotter.core.batches import Recognition, SpottingBatch, TextInstances, WordCrops
from tests.data.samples import box


def recognition(words):
    return Recognition(*(torch.arange(words).view(-1, *[1] * n).float() for n in (3, 2, 2, 2)))


def tensors(value):
    """Every tensor in a nested dataclass."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        return [tensor for item in value.values() for tensor in tensors(item)]
    if hasattr(value, "__dataclass_fields__"):
        return [tensor for name in value.__dataclass_fields__ for tensor in tensors(getattr(value, name))]
    return []


def test_a_batch_moves_as_a_whole(batch):
    moved = batch.to("meta")
    assert isinstance(moved, SpottingBatch)
    assert len(tensors(moved)) == len(tensors(batch)) == 5 + 3 * (3 + 4)
    assert {tensor.device.type for tensor in tensors(moved)} == {"meta"}
    assert {tensor.device.type for tensor in tensors(batch)} == {"cpu"}
    assert moved.names == batch.names
    assert moved.instances[0] is batch.instances[0]
    assert len(moved) == 3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_batch_is_pinned_as_a_whole(batch):
    pinned = batch.pin_memory()
    assert pinned.boundaries.is_pinned()
    assert all(view.images.is_pinned() and view.targets.text.is_pinned() for view in pinned.views.values())


def test_selecting_images_takes_their_targets(batch):
    view = batch.views[0.5]
    index = torch.tensor([2, 0])
    chosen = view.select(index)
    for whole, part in zip(tensors(view), tensors(chosen), strict=True):
        assert torch.equal(whole[index], part)
    assert len(tensors(view.select(index[:0]))[0]) == 0
    assert type(view)(view.images, view.sizes, view.factors).select(index).targets is None


def test_words_are_selected_and_joined():
    assert recognition(5).select(torch.tensor([4, 1])).logits.flatten().tolist() == [4, 1]
    parts = [WordCrops(torch.full((n, 3, 4, 4), float(n)), torch.full((n, 2, 1, 1), float(n))) for n in (2, 0, 1)]
    joined = WordCrops.concat(parts)
    assert joined.pixels[:, 0, 0, 0].tolist() == joined.features[:, 0, 0, 0].tolist() == [2, 2, 1]


def test_instances():
    words = TextInstances.of([box(1, 2, 3, 4), [[0, 0], [2, 0], [4, 0], [4, 2], [2, 2], [0, 2]]], ["a", "b"])
    assert len(words) == 2
    assert words.ignore.tolist() == [False, False]
    assert words.polygons[1].shape == (6, 2)
    scaled = words.scaled(2, 0.5)
    np.testing.assert_array_equal(scaled.polygons[0], box(2, 1, 6, 2))
    np.testing.assert_array_equal(words.polygons[0], box(1, 2, 3, 4))
    assert scaled.transcriptions == ("a", "b")
    assert len(TextInstances.of([], [])) == 0


def test_instances_must_be_equally_many():
    with pytest.raises(ValueError, match="1, 2 and 2"):
        TextInstances((box(0, 0, 1, 1),), ("a", "b"), np.zeros(2, bool))
