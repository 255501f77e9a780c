"""A very small spotter, and batches made up from drawn samples."""

import pytest
import torch

from dld_spotter.core.batches import Sample, SpottingBatch
from dld_spotter.core.charset import Charset
from dld_spotter.core.precision import computes_in_half
from dld_spotter.data.collate import Collate
from dld_spotter.models.backbone import Backbone
from dld_spotter.models.detector import TextMapDecoder
from dld_spotter.models.spotter import TextMapSpotter

needs_half_precision = pytest.mark.skipif(not computes_in_half("cpu"), reason="this processor does not compute in bfloat16")
CHARACTERS = "abcdefgot"
CHARSET = Charset(CHARACTERS)
SCALES = (0.3, 0.5, 1.0)
MAX_LENGTH = 4
THUMBNAIL = 32
# Not 8 channels: the backward pass of torch 2.13 on CPU corrupts memory in 1 x 1 convolutions of stride 2 with 8 channels last.
BACKBONE = {"embedding_size": 8, "hidden_sizes": [16, 16, 16, 24], "depths": [1, 1, 1, 1], "layer_type": "basic"}
SPOTTER = {
    "_target_": "dld_spotter.models.spotter.TextMapSpotter",
    "charset": {"_target_": "dld_spotter.core.charset.Charset", "characters": CHARACTERS},
    "backbone": {"_target_": "dld_spotter.models.backbone.Backbone", "name": "resnet", "settings": BACKBONE},
    "channels": 16,
    "head_channels": 8,
    "widths": [16, 16, 16],
    "hidden": 12,
    "max_length": MAX_LENGTH,
    "postprocess": {"_target_": "dld_spotter.models.detector.TextMapDecoder"},
}
"""Configuration of the same spotter."""
FINDS = {"threshold": 0.05, "min_score": 0.05}
"""What its decoder finds words with while it is untrained."""
LEVELS = (0.12, 0.13)
"""Above which some of them fall apart."""


def make_spotter(seed: int = 0, **options) -> TextMapSpotter:
    """Build the spotter that ``SPOTTER`` describes, from a seed."""
    torch.manual_seed(seed)
    settings = {key: SPOTTER[key] for key in ("channels", "head_channels", "widths", "hidden", "max_length")}
    return TextMapSpotter(CHARSET, Backbone("resnet", BACKBONE), postprocess=TextMapDecoder(**FINDS), **(settings | options))


def make_batch(samples: list[Sample], scales: tuple[float, ...] = SCALES) -> SpottingBatch:
    """Collate samples as training does."""
    return Collate(CHARSET, scales, thumbnail=THUMBNAIL, max_length=MAX_LENGTH)(samples)
