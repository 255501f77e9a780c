"""The two networks themselves, without weights."""

import pytest
import torch
import torch.nn.functional as F

from dld_spotter.models.ppocr.blocks import _largest_of_four
from dld_spotter.models.ppocr.detector import Head, PPOCRDetector
from dld_spotter.models.ppocr.recognizer import STAGES, PPOCRRecognizer


def gradients_reach_all(network: torch.nn.Module) -> bool:
    return all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())


@pytest.mark.parametrize("size", [(32, 32), (64, 160), (96, 32)])
def test_detector_gives_features_and_a_map_of_full_size(size):
    images = torch.randint(256, (2, 3, *size), dtype=torch.uint8)
    features, logits = PPOCRDetector()(images)
    assert features.shape == (2, 96, size[0] // 4, size[1] // 4)
    assert logits.shape == (2, *size)


@pytest.mark.parametrize("width", [8, 50, 96, 333])
def test_recognizer_gives_a_step_for_every_eight_columns(width):
    logits = PPOCRRecognizer(20)(torch.randint(256, (3, 3, 48, width), dtype=torch.uint8))
    steps = (width + 3) // 4 // 2  # strides of 2 round up, pooling rounds down
    assert logits.shape == (3, steps, 20)


def test_half_the_width_gives_as_many_steps_of_maps_that_are_not_pooled_along_the_word():
    torch.manual_seed(0)
    half, whole = PPOCRRecognizer(20, halve_width=True).eval(), PPOCRRecognizer(20).eval()
    whole.load_state_dict(half.state_dict())
    crops = torch.randint(256, (3, 3, 48, 96), dtype=torch.uint8)
    assert half(crops).shape == whole(crops).shape == (3, 12, 20)
    narrow = F.avg_pool2d(crops.float(), (1, 2))
    maps = whole.trunk(narrow / 127.5 - 1)[-1]
    assert maps.shape[2:] == (3, 12)
    torch.testing.assert_close(half(crops), whole.output(whole.encoder(maps.mean(2, keepdim=True))))


def test_gradients_reach_every_parameter_of_the_detector():
    torch.manual_seed(0)
    detector = PPOCRDetector()
    _, logits = detector(torch.rand(2, 3, 64, 96) * 255)
    logits.square().mean().backward()
    assert gradients_reach_all(detector)


def test_gradients_reach_every_parameter_of_the_recognizer():
    torch.manual_seed(0)
    recognizer = PPOCRRecognizer(20)
    recognizer(torch.rand(2, 3, 48, 96) * 255).log_softmax(-1)[..., 5].mean().backward()
    assert gradients_reach_all(recognizer)


def test_sizes_of_the_networks():
    assert sum(parameter.numel() for parameter in PPOCRDetector().parameters()) == 2_453_353
    assert sum(parameter.numel() for parameter in PPOCRRecognizer(97).parameters()) == 3_014_377


def test_expansion_is_the_width_of_hidden_layers_alone():
    """Two 1x1 convolutions, of C to H and of H to C channels, in each of 3, 6 and 2 blocks."""
    sizes = {}
    for expansion in (2.0, 0.5):
        stages = [stage._replace(expansion=expansion) for stage in STAGES]
        sizes[expansion] = sum(weight.numel() for weight in PPOCRRecognizer(97, stages).parameters())
    fewer = {channels: round(1.5 * channels) for channels in (96, 192, 384)}
    expected = sum(blocks * fewer[c] * (2 * c + 1) for blocks, c in ((3, 96), (6, 192), (2, 384)))
    assert sizes[2.0] - sizes[0.5] == expected


@pytest.mark.parametrize("network", [PPOCRDetector(), PPOCRRecognizer(20)], ids=["detector", "recognizer"])
def test_graphs_are_exported_with_sides_left_open(network):
    height = {} if isinstance(network, PPOCRRecognizer) else {2: 32 * torch.export.Dim("rows", min=2, max=64)}
    shapes = {0: torch.export.Dim("batch", min=1, max=64), 3: 32 * torch.export.Dim("columns", min=2, max=64), **height}
    images = torch.rand(2, 3, 48 if isinstance(network, PPOCRRecognizer) else 64, 96) * 255
    program = torch.export.export(network.eval(), (images,), dynamic_shapes=(shapes,)).module()
    other = torch.rand(3, 3, images.shape[2], 160) * 255
    torch.testing.assert_close(program(other), network(other))


def test_context_read_twice_is_the_same_as_forward():
    recognizer = PPOCRRecognizer(20).eval()
    strips = torch.rand(2, 3, 48, 64) * 255
    context = recognizer.encode(strips)
    assert context.shape == (2, 8, recognizer.outputs)
    labels, scores = recognizer.read(context)
    assert labels.shape == (2, 8)
    assert ((scores > 0) & (scores <= 1)).all()


def test_the_head_is_its_transposed_convolutions():
    torch.manual_seed(0)
    head, maps = Head(16, 4).double(), torch.randn(2, 16, 5, 7, dtype=torch.float64)
    expected = head.output(head.enlarge(head.hidden(maps).relu()).relu())[:, 0]
    torch.testing.assert_close(head(maps), expected)
    assert head(maps).shape == (2, 20, 28)


def test_the_stem_takes_the_largest_of_four():
    maps = torch.randn(2, 3, 6, 9)
    torch.testing.assert_close(_largest_of_four(maps), F.max_pool2d(maps, 2, stride=1), rtol=0, atol=0)
