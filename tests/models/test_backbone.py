"""Backbones of several families."""

import pytest
import torch

from dld_spotter.models.backbone import Backbone
from tests.small import BACKBONE


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("resnet", BACKBONE),
        ("convnextv2", {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}),
        ("textnet", {"stem_out_channels": 8, "hidden_sizes": [8, 8, 8, 16, 16]}),
    ],
)
def test_backbones_return_four_strides(name, settings):
    backbone = Backbone(name, settings).eval()
    maps = backbone(torch.zeros(2, 3, 64, 96))
    assert [tuple(level.shape) for level in maps] == [
        (2, channels, 64 // s, 96 // s) for channels, s in zip(backbone.channels, (4, 8, 16, 32), strict=True)
    ]
