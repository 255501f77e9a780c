import pytest
import torch

from dld_spotter.core.errors import ConfigError
from dld_spotter.models.folding import folded
from dld_spotter.selection.baselines import FixedScale, RandomScale
from dld_spotter.selection.gumbel import GumbelSelector

SCALES = (0.3, 0.5, 0.8, 1.0)
FACTORS = (0.3, 1.0, 3.0)
SIZES = torch.tensor([[480, 640], [1280, 720], [1, 1], [64, 64]])
COSTS = torch.tensor([[0.09, 0.25, 0.64, 1.0]]).expand(4, -1)


def thumbnails(seed=0, batch=4):
    return torch.randint(0, 256, (batch, 3, 32, 32), generator=torch.Generator().manual_seed(seed)).byte()


def gumbel(seed=0):
    torch.manual_seed(seed)
    return GumbelSelector(SCALES, 0.1, FACTORS, (4, 6, 8, 10), 12)


ALL = {
    "fixed": FixedScale(SCALES, 0.1, FACTORS, 0.8),
    "random": RandomScale(SCALES, 0.1, FACTORS, 3),
    "gumbel": gumbel(),
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("training", [True, False])
def test_one_decision_per_image_and_cost_weight(name, training):
    selector = ALL[name].train(training)
    assert selector.gammas == (0.03, 0.1, 0.3)
    choices = selector(thumbnails(), SIZES, COSTS)
    assert len(choices) == len(FACTORS)
    for choice in choices:
        assert choice.one_hot.shape == (4, 4)
        assert choice.index.shape == (4,)
        assert choice.index.dtype == torch.int64
        torch.testing.assert_close(choice.one_hot.detach(), torch.eye(4)[choice.index])


@pytest.mark.parametrize("name", ALL)
def test_decisions_outside_training_repeat_image_by_image(name):
    selector = ALL[name].eval()
    images = thumbnails()
    torch.manual_seed(0)
    first = [choice.index for choice in selector(images, SIZES, COSTS)]
    torch.manual_seed(1)
    assert [index.tolist() for index in first] == [choice.index.tolist() for choice in selector(images, SIZES, COSTS)]
    for i in range(4):
        alone = selector(images[i : i + 1], SIZES[i : i + 1], COSTS[i : i + 1])
        assert [int(choice.index[0]) for choice in alone] == [int(index[i]) for index in first]


def test_fixed_scale():
    assert {int(i) for choice in ALL["fixed"](thumbnails(), SIZES, COSTS) for i in choice.index} == {2}


def test_random_scales_are_spread_evenly_over_a_training_batch():
    selector = RandomScale(SCALES, 0.1, [1.0], 3).train()
    torch.manual_seed(0)
    for count in (1, 2, 3, 7, 12):
        images = torch.zeros((count, 3, 8, 8), dtype=torch.uint8)
        drawn = torch.stack([selector(images, SIZES, COSTS)[0].index for _ in range(400)])
        counts = torch.stack([(drawn == k).sum(1) for k in range(len(SCALES))])
        assert set(counts.unique().tolist()) <= {count // len(SCALES), -(-count // len(SCALES))}
        shares = torch.stack([(drawn == k).float().mean(0) for k in range(len(SCALES))])
        torch.testing.assert_close(shares, torch.full_like(shares, 1 / len(SCALES)), atol=0.1, rtol=0)


def test_random_scale_is_uniform_and_seeded():
    selector = RandomScale(SCALES, 0.1, [1.0], 3)
    images = thumbnails(batch=800)
    for training in (True, False):
        selector.train(training)
        torch.manual_seed(0)
        counts = torch.bincount(selector(images, SIZES, COSTS)[0].index, minlength=4)
        assert counts.min() > 140
    other = RandomScale(SCALES, 0.1, [1.0], 4).eval()(images, SIZES, COSTS)[0].index
    assert not torch.equal(other, selector(images, SIZES, COSTS)[0].index)
    selector.train()
    assert not torch.equal(selector(images, SIZES, COSTS)[0].index, selector(images, SIZES, COSTS)[0].index)


def test_gumbel_draws_follow_the_preferences():
    """Exact whatever the temperature: the largest of logits plus Gumbel noise is a draw of their softmax."""
    selector = gumbel().train()
    preferences = torch.tensor([0.1, 0.2, 0.3, 0.4])
    selector.logits = lambda images, sizes: preferences.log().expand(4000, 3, 4)
    for temperature in (0.1, 5.0):
        torch.manual_seed(0)
        counts = torch.bincount(selector(thumbnails(), SIZES, COSTS, temperature)[0].index, minlength=4) / 4000
        torch.testing.assert_close(counts, preferences, atol=0.03, rtol=0)


def test_gumbel_gradient_sharpens_as_it_cools():
    selector = gumbel().train()
    logits = torch.randn(200, 3, 4, requires_grad=True)
    selector.logits = lambda images, sizes: logits
    sizes = []
    for temperature in (10.0, 1.0):
        torch.manual_seed(0)
        one_hot = selector(thumbnails(), SIZES, COSTS, temperature)[0].one_hot
        sizes.append(torch.autograd.grad((one_hot * torch.arange(4.0)).sum(), logits)[0].abs().mean())
    assert 0 < sizes[0] < sizes[1]


def test_gumbel_without_training_takes_the_largest():
    selector = gumbel().eval()
    largest = selector.logits(thumbnails(), SIZES).argmax(2)
    for head, choice in enumerate(selector(thumbnails(), SIZES, COSTS, 99.0)):
        assert torch.equal(choice.index, largest[:, head])


def test_every_parameter_of_gumbel_receives_a_gradient():
    selector = gumbel().train()
    sum((choice.one_hot * torch.arange(4.0)).sum() for choice in selector(thumbnails(), SIZES, COSTS)).backward()
    for name, parameter in selector.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_gumbel_sees_the_size_that_the_thumbnail_hides():
    selector = gumbel().eval()
    same = thumbnails(batch=1).expand(2, -1, -1, -1)
    first, second = selector.logits(same, torch.tensor([[100, 100], [1000, 1000]]))
    assert not torch.allclose(first, second)


def test_half_precision():
    selector = gumbel().train()
    with torch.autocast("cpu", torch.bfloat16):
        choices = selector(thumbnails(), SIZES, COSTS)
        assert selector.logits(thumbnails(), SIZES).dtype == torch.float32
    for choice in choices:
        assert choice.one_hot.sum(1).tolist() == pytest.approx([1] * 4)


def test_a_folded_selector_decides_as_before():
    selector = gumbel().eval()
    for module in selector.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for values in (module.running_mean, module.running_var, module.weight, module.bias):
                torch.nn.init.uniform_(values, 0.5, 2.0)
    reader, images = folded(folded(selector)), thumbnails()
    torch.testing.assert_close(reader.network(images), selector.network(images), atol=1e-4, rtol=1e-4)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in reader.modules())
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in selector.modules()), "the original can still learn"
    pairs = zip(reader(images, SIZES, COSTS), selector(images, SIZES, COSTS), strict=True)
    assert all(torch.equal(ours.index, theirs.index) for ours, theirs in pairs)


def test_gumbel_decides_for_the_cost_weights_it_was_trained_with():
    selector = gumbel().eval()
    choices = selector(thumbnails(), SIZES, COSTS)
    assert torch.equal(selector.choose(thumbnails(), SIZES, COSTS), choices[1].index)
    for gamma, choice in zip((0.03, 0.1, 0.3), choices, strict=True):
        selector.check(gamma)
        assert torch.equal(selector.choose(thumbnails(), SIZES, COSTS, gamma), choice.index)
    for refuse in (selector.check, lambda gamma: selector.choose(thumbnails(), SIZES, COSTS, gamma)):
        with pytest.raises(ConfigError, match=r"gamma=0\.2 is none of .* choose one of 0\.03, 0\.1, 0\.3"):
            refuse(0.2)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FixedScale(SCALES, 0.1, [1.0], 0.4), r"selector.scale=0.4"),
        (lambda: FixedScale((), 0.1, [1.0], 0.4), "scales"),
        (lambda: RandomScale((1.0, 0.5), 0.1, [1.0]), "ascending"),
        (lambda: RandomScale(SCALES, 0.1, [1.0, 1.0]), "factors"),
        (lambda: RandomScale(SCALES, -0.1, [1.0]), "cost weight"),
        (lambda: RandomScale(SCALES, 0.1, []), "factors"),
        (lambda: GumbelSelector(SCALES, 0.1, [1.0], gumbel_temperature=0), r"gumbel_temperature.*found 0"),
    ],
)
def test_bad_settings_are_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()
