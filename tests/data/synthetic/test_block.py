"""Setting words in lines."""

import numpy as np
import pytest

from dld_spotter.core.errors import ConfigError
from dld_spotter.data.synthetic.block import Typesetter
from dld_spotter.data.synthetic.fonts import FontBook
from dld_spotter.data.synthetic.words import WordSource

EM = 40.0


def gaps(spacing: tuple[float, float], seed: int) -> np.ndarray:
    """Pixels between the words of a line."""
    typesetter = Typesetter(WordSource(mix={"word": 1}), FontBook(), spacing)
    block = typesetter.block(np.random.default_rng(seed), EM, 4000, EM, [5])
    return np.array([after.box[0] - before.box[2] for before, after in zip(block.words, block.words[1:], strict=False)])


@pytest.mark.parametrize("seed", range(5))
def test_words_stand_as_far_apart_as_asked(seed: int):
    narrow, wide = gaps((0.1, 0.1), seed), gaps((0.6, 0.6), seed)
    assert len(narrow) == 4
    np.testing.assert_allclose(wide - narrow, 0.5 * EM, atol=1e-6)
    drawn = gaps((0.1, 0.6), seed)
    assert (narrow <= drawn).all()
    assert (drawn <= wide).all()


@pytest.mark.parametrize("wrong", [(0.3, 0.1), (-0.1, 0.2), (0.1,)])
def test_spacing_out_of_range_is_refused(wrong: tuple[float, ...]):
    with pytest.raises(ConfigError, match=r"renderer\.spacing must be two lengths in em"):
        Typesetter(WordSource(), FontBook(), wrong)
