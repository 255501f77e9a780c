"""The two-stage spotter: how words are cut out, and how what is detected becomes words."""

import numpy as np
import pytest
import torch

from dld_spotter.core.charset import Charset
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.geometry import polygons_to_boundaries
from dld_spotter.data.views import make_view
from dld_spotter.models.backbone import Backbone
from dld_spotter.models.two_stage.detector import RegionDetector
from dld_spotter.models.two_stage.loss import Sampling
from dld_spotter.models.two_stage.proposing import Proposing
from dld_spotter.models.two_stage.reading import RegionDecoder
from dld_spotter.models.two_stage.recognizer import SIZE, MaskedRecognizer, word_boxes
from dld_spotter.models.two_stage.spotter import TwoStageSpotter
from tests.data.samples import box, turned_box
from tests.models.two_stage.test_roi_align import ramp
from tests.small import BACKBONE, CHARACTERS, MAX_LENGTH

FIRST = torch.tensor([0])


def make_two_stage(seed: int = 0, levels: int = 4, **options) -> TwoStageSpotter:
    """The family with few channels."""
    torch.manual_seed(seed)
    charset = Charset(CHARACTERS)
    detector = RegionDetector(16, 16, 16, Proposing(4.0, before=40, most=30), Sampling(64, 32), levels)
    recognizer = MaskedRecognizer(charset, 16, 16, 12, MAX_LENGTH)
    return TwoStageSpotter(charset, Backbone("resnet", BACKBONE), 16, detector, recognizer, RegionDecoder(), **options)


def sides(*polygons) -> torch.Tensor:
    return torch.from_numpy(polygons_to_boundaries(list(polygons)))


def cut(word: np.ndarray) -> torch.Tensor:
    """Features ``(2, 8, 32)`` of a word, which show x and y in pixels, and 0 outside of the word."""
    recognizer = MaskedRecognizer(Charset(CHARACTERS), 3, 16, 12)
    crops = recognizer.crop(torch.zeros(1, 3, 256, 256), sides(word), FIRST, (ramp(4), ramp(8)))
    assert crops.pixels is None
    assert crops.features.shape == (1, 3, *SIZE)
    return crops.features[0, :2]


def test_a_word_is_cut_out_with_a_margin_of_one_cell_and_nothing_around_it():
    found = cut(box(40, 60, 120, 24))
    x, y = 36 + (torch.arange(32) + 0.5) * 128 / 32, 56 + (torch.arange(8) + 0.5) * 32 / 8
    inside = ((x > 40) & (x < 160))[None] & ((y > 60) & (y < 84))[:, None]
    assert inside.sum() == 30 * 6
    torch.testing.assert_close(found[0], torch.where(inside, x.expand(8, -1), 0.0))
    torch.testing.assert_close(found[1], torch.where(inside, y[:, None].expand(-1, 32), 0.0))


def test_an_upright_word_is_transposed():
    found = cut(box(60, 40, 24, 120))
    x, y = found
    shown = x > 0
    assert (y[:, 1:] >= y[:, :-1])[shown[:, 1:] & shown[:, :-1]].all(), "its columns run down"
    assert y[4, 4] == pytest.approx(36 + 4.5 * 4)
    assert x[4, 4] == pytest.approx(56 + 4.5 * 4)


@pytest.mark.parametrize(("height", "upright"), [(40, False), (48, False), (50, True)])
def test_upright_is_more_than_one_and_a_half_times_as_high_as_wide(height, upright):
    ((upper, lower),) = word_boxes(sides(box(100, 100, 32, height)))  # with its margin 40 wide
    assert upper.tolist() == ([[96, 96], [96, 104 + height]] if upright else [[96, 96], [136, 96]])
    assert lower[1].tolist() == [136, 104 + height]


def test_of_a_turned_word_only_the_word_is_seen():
    word = turned_box(120, 120, 120, 20, 30)
    low, high = word.min(0) - 4, word.max(0) + 4
    shown = (cut(word)[0] > 0).float().mean().item()
    assert shown == pytest.approx(120 * 20 / (high - low).prod(), rel=0.1)


def test_what_is_found_becomes_words_in_pixels_of_the_reference(monkeypatch):
    spotter = make_two_stage().eval()
    view = make_view([np.zeros((128, 256, 3), np.uint8)] * 2, 0.5)
    place = torch.tensor([[20.0, 10.0, 84.0, 26.0], [30.0, 40.0, 62.0, 56.0], [4.0, 4.0, 40.0, 20.0]])
    scores, owners = torch.tensor([0.9, 0.2, 0.7]), torch.tensor([0, 0, 1])
    monkeypatch.setattr(spotter.detector, "find", lambda *_: (place, scores, owners))
    monkeypatch.setattr(spotter.detector, "mask", lambda *_: torch.full((3, 28, 28), 9.0))
    first, second = spotter.detect(view)
    assert first.size == second.size == (64, 128)
    assert first.proposals.scores.tolist() == pytest.approx([0.9]), "0.2 is unsure"
    (polygon,) = first.polygons()
    np.testing.assert_allclose([polygon.min(0), polygon.max(0)], [[40, 20], [168, 52]], atol=1)
    assert first.probability.shape == (32, 64)
    assert first.probability[22:27, 17:30].min() == pytest.approx(0.2, abs=0.01), "but shown to a second pass"
    assert second.probability[3:9, 3:19].min() == pytest.approx(0.7, abs=0.01)
    words = spotter.recognize([first, second], [first.all, second.all])
    assert all(len(read) <= 1 for read in words)


def test_half_precision_judges_nearly_the_same():
    spotter = make_two_stage().eval()
    view = make_view([np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)], 1.0)
    places, index = torch.tensor([[8.0, 8.0, 60.0, 30.0], [0.0, 0.0, 128.0, 96.0]]), torch.zeros(2, dtype=torch.int64)
    judged = []
    for half in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=half), torch.no_grad():
            _, maps = spotter.detect_maps(view.images)
            judged.append(
                [*maps.flat()[0], *spotter.detector.judge(maps, places, index), spotter.detector.mask(maps, places, index)]
            )
            (found,) = spotter.detect(view, keep_all=True)
        assert found.probability.dtype == np.float32
        assert np.isfinite(found.probability).all()
    for single, double in zip(*judged, strict=True):
        torch.testing.assert_close(double.float(), single, atol=0.05, rtol=0.05)


def test_a_fifth_level_is_every_second_cell_of_the_fourth():
    spotter = make_two_stage(levels=5).eval()
    _, maps = spotter.detect_maps(torch.zeros(1, 3, 96, 160, dtype=torch.uint8))
    assert [tuple(level.shape[2:]) for level in maps.logits] == [(24, 40), (12, 20), (6, 10), (3, 5), (2, 3)]
    with pytest.raises(ConfigError, match=r"spotter\.detector\.levels must be 4 or 5, found 3"):
        make_two_stage(levels=3)


def test_a_vocabulary_weighs_what_was_read():
    spotter = make_two_stage(vocabulary="english").eval()
    context = torch.randn(3, 32, 12)
    assert len(spotter.rescore(context, ["cot", "tag", "a"])) == 3
