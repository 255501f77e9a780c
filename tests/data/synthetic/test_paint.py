"""What each way to paint a word does to the pixels."""

import numpy as np
import pytest

from dld_spotter.data.synthetic import FontBook, WordSource, paint
from dld_spotter.data.synthetic.block import Typesetter
from dld_spotter.data.synthetic.layout import PlacedBlock
from dld_spotter.data.synthetic.paint import Style, paint_block
from dld_spotter.data.synthetic.surface import Plane

GROUND = np.array([40, 40, 40])
WHITE, RED = np.array([255.0, 255.0, 255.0]), np.array([255.0, 0.0, 0.0])


@pytest.fixture
def painted(monkeypatch):
    """Paint one large level word in a style on a grey image."""
    rng = np.random.default_rng(0)
    block = Typesetter(WordSource(mix={"word": 1}), FontBook()).word(rng, 60, 280, 60)
    placed = PlacedBlock(block, Plane.posed(0.0).moved(160, 60))

    def paint_in(style: Style) -> np.ndarray:
        monkeypatch.setattr(paint, "_draw_style", lambda *_: style)
        image = np.full((120, 320, 3), GROUND, np.uint8)
        paint_block(np.random.default_rng(0), image, placed)
        return image.astype(int)

    return paint_in


def inked(image: np.ndarray) -> np.ndarray:
    return (image != GROUND).any(axis=2)


def test_a_plain_word_has_one_colour(painted):
    image = painted(Style(WHITE))
    ink = inked(image)
    assert 0.02 < ink.mean() < 0.4
    assert (image[..., 0] == image[..., 2]).all()
    assert (image[ink] == 255).all(axis=1).mean() > 0.4


def test_an_outline_surrounds_the_ink(painted):
    plain, outlined = painted(Style(WHITE)), painted(Style(WHITE, rim=RED))
    assert inked(plain).sum() < 0.9 * inked(outlined).sum()
    assert not (inked(plain) & ~inked(outlined)).any()
    new = inked(outlined) & ~inked(plain)
    assert (outlined[new][:, 0] > outlined[new][:, 2]).mean() > 0.99, "red"
    full = (plain == 255).all(axis=2)
    assert (outlined[full] == 255).all(), "the fill stays"


@pytest.mark.parametrize("offset", [(3, 2), (1, 4)])
def test_a_shadow_lies_beside_the_ink(painted, offset):
    plain, shaded = painted(Style(WHITE)), painted(Style(WHITE, shadow=np.zeros(3), offset=offset))
    dark = shaded.sum(axis=2) < GROUND.sum() - 20
    assert 0.1 * inked(plain).sum() < dark.sum() < inked(plain).sum()
    centres = [np.array([x.mean(), y.mean()]) for y, x in (np.nonzero(mask) for mask in (dark, inked(plain)))]
    assert (centres[0] - centres[1] > -0.5).all(), "right of it and below"
    assert (shaded[(plain == 255).all(axis=2)] == 255).all()


def test_a_gradient_runs_from_top_to_bottom(painted):
    image, full = painted(Style(WHITE, fade=RED)), (painted(Style(WHITE)) == 255).all(axis=2)
    rows = np.flatnonzero(full.any(axis=1))
    blues = [image[row, full[row], 2].mean() for row in rows]
    assert blues[0] > blues[len(rows) // 2] > blues[-1]
    assert np.ptp(blues) > 80
    assert (image[full][:, 0] >= 254).all()


def test_a_translucent_word_mixes_with_what_is_behind_it(painted):
    full = (painted(Style(WHITE)) == 255).all(axis=2)
    image = painted(Style(WHITE, opacity=0.75))
    np.testing.assert_allclose(image[full], 0.75 * 255 + 0.25 * 40, atol=2)
