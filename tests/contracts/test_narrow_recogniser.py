"""Study 30's way to a recogniser with fewer hidden channels."""

import sys
from pathlib import Path

import pytest
import torch

from dld_spotter.core.charset import PRINTABLE_ASCII, Charset
from dld_spotter.models.ppocr.reading import PPOCRWordRecognizer
from dld_spotter.models.ppocr.recognizer import STAGES

FOLDER = Path(__file__).parents[2] / "experiments" / "29_recogniser_on_own_regions"


@pytest.fixture
def narrowed(monkeypatch):
    """The function, imported as its script is run."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield __import__("narrow").narrowed
    for name in ("narrow", "words"):
        sys.modules.pop(name, None)


@pytest.mark.slow
def test_a_block_that_keeps_all_channels_gives_what_it_gave_and_fewer_come_near(narrowed):
    torch.manual_seed(0)
    wide = PPOCRWordRecognizer(Charset(PRINTABLE_ASCII), [stage.channels for stage in STAGES]).eval()
    crops = torch.rand(6, 3, 48, 64) * 255
    with torch.no_grad():
        expected = wide.network.encode(crops)
        apart = {}
        for expansion in (2.0, 1.0, 0.25):
            narrow = narrowed(wide, expansion, crops)
            hidden = narrow.network.trunk.stages[1][1].expand.out_channels
            assert hidden == round(expansion * 192)
            apart[expansion] = float((narrow.network.encode(crops) - expected).norm() / expected.norm())
    assert apart[2.0] < 0.02
    assert apart[2.0] < apart[1.0] < apart[0.25] < 1
