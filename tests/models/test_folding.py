import pytest
import torch
from torch import nn

from dld_spotter.models.backbone import Backbone
from dld_spotter.models.folding import folded
from tests.small import make_spotter


def stirred(module):
    """Statistics and weights of normalisation that are not those of the beginning."""
    generator = torch.Generator().manual_seed(5)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for values in (part.weight.data, part.bias.data, part.running_mean):
                values.copy_(torch.randn(values.shape, generator=generator))
            part.running_var.copy_(torch.rand(part.running_var.shape, generator=generator) + 0.5)
    return module


def test_a_folded_spotter_has_no_normalisation_left_and_computes_the_same():
    spotter = stirred(make_spotter()).eval()
    images = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    faster = folded(spotter)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in faster.modules())
    with torch.inference_mode():
        (expected_features, expected_maps), (features, maps) = spotter.detect_maps(images), faster.detect_maps(images)
    pairs = [*zip(features, expected_features, strict=True), (maps.text, expected_maps.text)]
    for found, expected in [*pairs, (maps.threshold, expected_maps.threshold)]:
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_what_is_folded_stays_as_it_was():
    spotter = stirred(make_spotter()).train()
    before = {name: value.clone() for name, value in spotter.state_dict().items()}
    assert not folded(spotter).training
    assert spotter.training
    assert all(torch.equal(value, before[name]) for name, value in spotter.state_dict().items())


@pytest.mark.parametrize("parts", [[nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)], [nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3)]])
def test_normalisation_that_follows_no_convolution_stays(parts):
    module = stirred(nn.Sequential(*parts)).eval()
    images = torch.randn(1, 3, 5, 5)
    assert any(isinstance(part, nn.BatchNorm2d) for part in folded(module))
    torch.testing.assert_close(folded(module)(images), module(images))


@pytest.mark.parametrize("name", ["resnet", "textnet", "hgnet_v2", "rt_detr_resnet"])
def test_backbones_compute_the_same_once_they_are_folded(name):
    settings = {"hidden_sizes": [16, 16, 16, 24], "depths": [1, 1, 1, 1]} if name in ("resnet", "rt_detr_resnet") else {}
    backbone = stirred(Backbone(name, settings)).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        for found, expected in zip(folded(backbone)(images), backbone(images), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_normalisation_of_another_kind_or_of_the_batch_alone_stays():
    alone = nn.BatchNorm2d(3, track_running_stats=False)
    wide = nn.BatchNorm2d(4)
    for parts in ([nn.Conv2d(3, 3, 1), alone], [nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 4, 1), nn.ReLU(), wide]):
        assert any(isinstance(part, nn.BatchNorm2d) for part in folded(nn.Sequential(*parts)).modules())
