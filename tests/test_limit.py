"""A hard limit on what an image may cost: by hand, and as a user sets it."""

from pathlib import Path

import numpy as np
import pytest

import dld_spotter
from dld_spotter.errors import ConfigError
from dld_spotter.evaluation import Rules, score_at
from dld_spotter.limit import Limit
from dld_spotter.models.contours import promising
from dld_spotter.models.selector import FixedScale
from dld_spotter.word import Look
from tests.data.samples import box, sample
from tests.small import SCALES, make_batch
from tests.trained import make_checkpoint

WORDS = [box(10, 10 + 30 * row, 60 + 9 * row, 20) for row in range(4)]
IMAGES = [sample(160, 192, WORDS, ["cat"] * 4), sample(160, 192, WORDS[:1], ["cat"])]


def cost(height: int, width: int, words: int) -> float:
    return height * width / 100 + 5 * words


def test_what_is_left_by_hand():
    limit = Limit.of(0.5, (100, 100), cost, choosing=1.0)
    assert limit.left == 49
    assert limit.words((20, 100)) == 5  # 20 of 49, and 29 for words of 5
    assert limit.words((100, 100)) == 0
    assert limit.affords((44, 100))
    assert not limit.affords((45, 100))  # no word could be read
    assert limit.after(Look([], ((20, 100),), (3,))).left == 49 - 20 - 15
    assert limit.scale(1.0, (0.3, 0.6, 1.0), (100, 100)) == 0.6
    assert limit.scale(0.5, (0.3, 0.6, 1.0), (100, 100)) == 0.5
    with pytest.raises(ConfigError, match=r"max_cost=0\.5 cannot be met: an image of 100 x 100 pixels takes 0\.69 at"):
        limit.scale(1.0, (0.8,), (100, 100))


def test_a_look_costs_what_it_saw_and_read():
    twice = Look([], ((20, 100), (30, 50)), (3, 7))
    assert twice.spent(cost) == 20 + 15 + 15 + 35
    assert twice.full((100, 100), cost) == 100 + 35  # as many words as the look that read most


def test_the_surest_words_are_read():
    sides, scores = np.arange(4.0)[:, None], np.array([0.6, 0.9, 0.4, 0.7])
    assert promising(sides, scores, 0.5, 2)[0][:, 0].tolist() == [1, 3]
    assert promising(sides, scores, 0.5)[0][:, 0].tolist() == [0, 1, 3]


@pytest.mark.parametrize("ladder", [True, False])
def test_no_photo_costs_more(ladder: bool, tmp_path: Path):
    path = make_checkpoint(tmp_path / "student.ckpt", selector=not ladder, ladder=ladder)
    reader = dld_spotter.load(path, device="cpu")
    free = [reading.relative_cost for reading in reader.read_all([one.image for one in IMAGES], gamma=0.05)]
    assert max(free) > 0.5 or not ladder
    for max_cost in (0.6, 0.4, 0.2):
        readings = reader.read_all([one.image for one in IMAGES], gamma=0.05, max_cost=max_cost)
        assert max(reading.relative_cost for reading in readings) <= max_cost
    readings = reader.read_all([one.image for one in IMAGES], gamma=0.05, max_cost=9.0)
    assert [reading.relative_cost for reading in readings] == free  # what it need not take, the limit leaves
    with pytest.raises(ConfigError, match=r"max_cost=0\.01 cannot be met"):
        reader.read(IMAGES[0].image, max_cost=0.01)
    with pytest.raises(ConfigError, match="cannot be met"):
        reader.read(IMAGES[0].image, scale=1.0, max_cost=0.5)  # a scale that was asked for is not lowered
    with pytest.raises(ConfigError, match=r"max_cost=0 must be above 0; give such as max_cost=0\.8"):
        reader.read(IMAGES[0].image, max_cost=0)


def test_no_image_of_an_evaluation_costs_more(tmp_path: Path):
    reader = dld_spotter.load(make_checkpoint(tmp_path / "student.ckpt", selector=False, ladder=True), device="cpu")
    spent = {}
    for max_cost in (None, 0.5):
        point, _ = score_at(reader.reader, reader.selector, 0.05, [make_batch(IMAGES)], Rules(), 10, max_cost=max_cost)
        spent[max_cost] = point.relative_cost
    assert spent[0.5] <= 0.5 < spent[None]
    with pytest.raises(ConfigError, match="cannot be met"):
        score_at(reader.reader, FixedScale(SCALES, 0.0, [1.0], 1.0), None, [make_batch(IMAGES)], Rules(), 10, max_cost=0.5)
