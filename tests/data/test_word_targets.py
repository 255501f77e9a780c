import numpy as np
import pytest
import torch

from dld_spotter.core.batches import WordTargets
from dld_spotter.core.errors import ConfigError
from dld_spotter.data.collate import Collate
from tests.data.samples import box, sample, turned_box
from tests.small import CHARSET, MAX_LENGTH

WORDS = [box(8, 8, 40, 14), turned_box(60, 44, 40, 14, 10), box(70, 4, 20, 6)]


@pytest.fixture
def batch():
    two = sample(64, 96, WORDS, ["cat", "###", "dog"], ignore=[False, True, False], name="two")
    one = sample(64, 96, [box(30, 20, 40, 20)], ["a"], name="one")
    return Collate(CHARSET, (0.5, 1.0), max_length=MAX_LENGTH, targets="words", min_height=4.0)([two, sample(50, 70), one])


def test_words_are_those_of_the_view_and_low_ones_do_not_count(batch):
    whole, half = batch.views[1.0].targets, batch.views[0.5].targets
    assert isinstance(whole, WordTargets)
    assert whole.images == half.images == 3
    assert whole.image_index.tolist() == [0, 0, 0, 2]
    assert whole.care.tolist() == [True, False, True, True]
    assert half.care.tolist() == [True, False, False, True], "three pixels high"
    torch.testing.assert_close(half.boundaries, whole.boundaries / 2)
    assert whole.boxes()[0].tolist() == [8, 8, 48, 22]
    turned = np.concatenate([WORDS[1].min(0), WORDS[1].max(0)])
    np.testing.assert_allclose(whole.boxes()[1], turned, atol=1e-4)


def test_images_are_selected_with_their_words(batch):
    view = batch.views[1.0].select(torch.tensor([2, 0]))
    assert view.targets.image_index.tolist() == [0, 1, 1, 1]
    assert view.targets.boxes()[:2].tolist() == [[30, 20, 70, 40], [8, 8, 48, 22]]
    assert view.targets.images == 2
    assert len(batch.views[1.0].select(torch.tensor([1])).targets.boxes()) == 0
    moved = batch.to("cpu").views[1.0].targets
    assert torch.equal(moved.care, batch.views[1.0].targets.care)


def test_an_unknown_kind_of_targets_is_refused():
    with pytest.raises(ConfigError, match=r"data\.train_collate\.targets must be one of text_map, words or null, found boxes"):
        Collate(CHARSET, targets="boxes")
