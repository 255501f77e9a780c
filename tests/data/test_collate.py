import pickle

import numpy as np
import pytest
import torch

from dld_spotter.core.charset import END, PADDING, PRINTABLE_ASCII, Charset
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.geometry import polygons_to_boundaries, word_heights
from dld_spotter.data.collate import Collate, jittered
from dld_spotter.data.views import ReferenceSize
from tests.data.samples import box, sample, turned_box

CHARSET = Charset(PRINTABLE_ASCII)
SCALES = (1.0, 0.3, 0.5)


def pages(count=3, words=5):
    rng = np.random.default_rng(0)
    polygons = [box(*rng.uniform(5, 40, 2), *rng.uniform(20, 60, 2)) for _ in range(words)]
    return [
        sample(80 + 16 * n, 120 + 8 * n, polygons, [f"w{n}{i}" for i in range(words)], name=f"page{n}") for n in range(count)
    ]


def assert_same(first, second):
    assert first.names == second.names
    assert list(first.views) == list(second.views)
    for scale in first.views:
        torch.testing.assert_close(first.views[scale].images, second.views[scale].images)
    torch.testing.assert_close(first.boundaries, second.boundaries)
    assert torch.equal(first.labels, second.labels)
    assert torch.equal(first.image_index, second.image_index)


def test_batch_of_three():
    batch = Collate(CHARSET, SCALES, thumbnail=32, max_length=6)(pages())
    assert len(batch) == 3
    assert list(batch.views) == list(SCALES)
    assert batch.views[1.0].images.shape == (3, 3, 128, 160)
    assert batch.views[0.3].images.shape == (3, 3, 64, 64)
    assert batch.views[0.3].targets.text.shape == (3, 32, 32)
    assert batch.thumbnails.shape == (3, 3, 32, 32)
    assert batch.original_sizes.tolist() == [[80, 120], [96, 128], [112, 136]]
    assert batch.boundaries.shape == (15, 2, 8, 2)
    assert batch.image_index.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert batch.labels.shape == (15, 7)
    assert [CHARSET.decode(row.tolist()) for row in batch.labels[:2]] == ["w00", "w01"]


def test_which_words_are_read():
    polygons = [box(5, 5 + 12 * i, 60, 10) for i in range(6)] + [box(80, 5, 40, 3)]
    texts = ["yes", "ignored", "", "na\u00efve", " ", "x" * 50, "low"]
    page = sample(polygons=polygons, texts=texts, ignore=[False, True, False, False, False, False, False])
    batch = Collate(CHARSET, max_length=4)([page])
    assert [CHARSET.decode(row.tolist()) for row in batch.labels] == ["yes"]
    assert [len(Collate(CHARSET, max_length=length)([page]).labels) for length in (49, 50)] == [1, 2]
    assert batch.labels.tolist()[0][3:] == [END, PADDING]
    assert len(batch.instances[0]) == 7
    assert batch.views[1.0].targets.text[0, 20:24].any(), "a word that cannot be written is still found"


def test_low_words_are_read_only_where_a_view_shows_them():
    page = sample(polygons=[box(5, 5, 60, 10), box(5, 40, 60, 30)], texts=["low", "high"])
    assert len(Collate(CHARSET, (1.0, 0.3))([page]).labels) == 2
    assert len(Collate(CHARSET, (0.3,))([page]).labels) == 1


def test_reference_size_holds_for_polygons_and_sides():
    page = sample(96, 128, [box(20, 10, 40, 30)])
    batch = Collate(CHARSET, reference=ReferenceSize(short=48))([page])
    assert batch.views[1.0].sizes.tolist() == [[48, 64]]
    assert batch.original_sizes.tolist() == [[96, 128]]
    np.testing.assert_allclose(batch.instances[0].polygons[0], box(10, 5, 20, 15))
    np.testing.assert_allclose(batch.boundaries[0, 0, [0, -1]], [[10, 5], [30, 5]])


@pytest.mark.parametrize(
    "page", [sample(), sample(1, 1), sample(1, 1, [box(0, 0, 1, 1)]), sample(3, 500, ignore=[True], polygons=[box(0, 0, 9, 3)])]
)
def test_nothing_to_read(page):
    batch = Collate(CHARSET, SCALES, jitter=0.2, max_words=3)([page])
    assert batch.boundaries.shape == (0, 2, 8, 2)
    assert batch.boundaries.dtype == torch.float32
    assert batch.labels.shape == (0, 33)
    assert batch.image_index.dtype == torch.int64
    for view in batch.views.values():
        assert not view.targets.text.any()
        assert view.images.shape[2] % 32 == view.images.shape[3] % 32 == 0


def test_draw_one_draws_every_scale_and_only_one():
    collate = Collate(CHARSET, SCALES, draw_one=True)
    drawn = [tuple(collate(pages(1), np.random.default_rng(n)).views) for n in range(30)]
    assert {len(scales) for scales in drawn} == {1}
    assert {scales[0] for scales in drawn} == set(SCALES)


def test_max_words_draws_a_subset_of_each_image():
    collate = Collate(CHARSET, max_words=2)
    batches = [collate(pages(), np.random.default_rng(n)) for n in range(20)]
    seen = set()
    for batch in batches:
        assert batch.image_index.tolist() == [0, 0, 1, 1, 2, 2]
        texts = [CHARSET.decode(row.tolist()) for row in batch.labels]
        assert [int(text[1]) for text in texts] == batch.image_index.tolist()
        seen.update(texts)
    assert len(seen) == 15


def test_seeds_repeat_and_differ():
    collate = Collate(CHARSET, SCALES, draw_one=True, jitter=0.2, max_words=3, seed=1)
    assert_same(collate(pages()), pickle.loads(pickle.dumps(collate))(pages()))
    other = Collate(CHARSET, SCALES, jitter=0.2, seed=2)(pages())
    assert not torch.equal(other.boundaries, Collate(CHARSET, SCALES, jitter=0.2, seed=1)(pages()).boundaries)


def test_jitter_moves_the_sides_by_at_most_what_it_says_and_not_the_instances():
    polygons = [turned_box(64, 48, 60, height, angle) for height in (5, 20) for angle in (0, 70)]
    boundaries = polygons_to_boundaries(polygons)
    shift = np.linalg.norm(jittered(boundaries, 0.1, np.random.default_rng(0)) - boundaries, axis=-1).max((1, 2))
    assert (shift > 0).all()
    assert (shift <= 0.1 * (np.sqrt(2) + 1) * word_heights(boundaries) + 1e-4).all()
    page = sample(polygons=polygons)
    np.testing.assert_array_equal(Collate(CHARSET, jitter=0.3)([page]).instances[0].polygons[0], polygons[0])


def test_no_targets_when_not_asked_for():
    assert Collate(CHARSET, with_targets=False)(pages()).views[1.0].targets is None


@pytest.mark.parametrize(
    ("options", "message"),
    [({"scales": ()}, "data.scales"), ({"scales": (0.5, 0)}, "data.scales"), ({"stride": 7}, "data.stride")],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Collate(CHARSET, **options)


def test_what_cells_between_words_count_is_handed_on():
    page = sample(polygons=[box(2, 4, 60, 70), box(63, 8, 62, 80)])
    cares = [Collate(CHARSET, between=between)([page]).views[1.0].targets.care.max() for between in (1.0, 4.0)]
    assert cares == [1, 4]
