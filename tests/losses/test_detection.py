import math

import pytest
import torch

from dld_spotter.core.batches import DetectionMaps, DetectionTargets
from dld_spotter.losses.detection import DetectionLoss, ShrunkTextLoss


def targets(text, care=None, border=None, border_care=None):
    text = torch.as_tensor(text, dtype=torch.float32)
    maps = [torch.ones_like(text) if care is None else torch.as_tensor(care, dtype=torch.float32)]
    maps += [torch.zeros_like(text) if m is None else torch.as_tensor(m, dtype=torch.float32) for m in (border, border_care)]
    return DetectionTargets(text, *maps)


def random_maps(batch=3, height=40, width=48, seed=0):
    generator = torch.Generator().manual_seed(seed)
    text, threshold = torch.randn(2, batch, height, width, generator=generator)
    wanted, care, border_care = (torch.rand(3, batch, height, width, generator=generator) > 0.3).float()
    border = torch.rand(batch, height, width, generator=generator)
    return DetectionMaps(text, threshold), DetectionTargets(wanted, care, border, border_care)


def entropy(logit, target):
    p = 1 / (1 + math.exp(-logit))
    return -math.log(p if target else 1 - p)


def test_cross_entropy_by_hand():
    """One text cell, all eight others: fewer than the fixed number of a map without text."""
    logits = torch.tensor([[[1.0, -1.0, 0.5], [-2.0, 0.0, 3.0], [-1.5, 0.2, -0.3]]])
    wanted = torch.zeros(1, 3, 3)
    wanted[0, 1, 1] = 1
    found = DetectionLoss(dice=0, border=0)(DetectionMaps(logits, logits), targets(wanted))
    cells = [entropy(x, t) for x, t in zip(logits.flatten().tolist(), wanted.flatten().tolist(), strict=True)]
    # Nine negatives are wanted, eight exist: the text cell's own zero is the ninth.
    assert found.shape == (1,)
    assert float(found) == pytest.approx(sum(cells) / 10, rel=1e-5)


def test_only_the_hardest_others_count():
    logits = torch.full((1, 100, 100), -5.0)
    wanted = torch.zeros(1, 100, 100)
    wanted[0, :20, :20] = 1
    logits[0, :20, :20] = 2.0
    logits[0, 50, :] = 4.0
    found = DetectionLoss(negative_ratio=3, dice=0, border=0)(DetectionMaps(logits, logits), targets(wanted))
    expected = (400 * entropy(2, 1) + 100 * entropy(4, 0) + 1100 * entropy(-5, 0)) / 1600
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_without_text_a_fixed_number_counts():
    logits = torch.full((1, 50, 50), -3.0)
    logits[0, 0, :10] = 1.0
    found = DetectionLoss(dice=0, border=0)(DetectionMaps(logits, logits), targets(torch.zeros(1, 50, 50)))
    assert float(found) == pytest.approx((10 * entropy(1, 0) + 990 * entropy(-3, 0)) / 1000, rel=1e-5)


def test_threshold_and_dice_by_hand():
    text, threshold = torch.tensor([[[2.0, -2.0]]]), torch.tensor([[[0.0, 1.0]]])
    wanted, border, border_care = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[1.0, 0.5]]]), torch.tensor([[[1.0, 0.0]]])
    maps, truth = DetectionMaps(text, threshold), targets(wanted, None, border, border_care)
    plain = DetectionLoss(dice=0, border=0)(maps, truth)
    only_border = DetectionLoss(dice=0, border=2)(maps, truth) - plain
    assert float(only_border) == pytest.approx(2 * abs(0.5 - 0.7), rel=1e-5)

    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    binary = [sigmoid(10 * (sigmoid(2) - 0.5)), sigmoid(10 * (sigmoid(-2) - (0.3 + 0.4 * sigmoid(1))))]
    dice = 1 - (2 * binary[0] + 1) / (binary[0] ** 2 + binary[1] ** 2 + 1 + 1)
    only_dice = DetectionLoss(dice=1, border=0)(maps, truth) - plain
    assert float(only_dice) == pytest.approx(dice, rel=1e-4)


def test_perfect_maps_cost_nothing():
    wanted = torch.zeros(1, 8, 8)
    wanted[0, 2:5, 2:6] = 1
    maps = DetectionMaps(60 * (wanted - 0.5), torch.full_like(wanted, 30.0))
    found = DetectionLoss()(maps, targets(wanted, None, torch.ones_like(wanted), torch.ones_like(wanted)))
    assert float(found) == pytest.approx(0, abs=2e-3)


def test_an_image_does_not_depend_on_its_batch():
    maps, truth = random_maps()
    truth.text[1] = 0
    together = DetectionLoss()(maps, truth)
    for i in range(3):
        one = DetectionMaps(maps.text[i : i + 1], maps.threshold[i : i + 1])
        alone = DetectionTargets(*(getattr(truth, n)[i : i + 1] for n in ("text", "care", "border", "border_care")))
        torch.testing.assert_close(DetectionLoss()(one, alone)[0], together[i])


def test_gradient_keeps_out_of_ignored_cells_and_other_images():
    maps, truth = random_maps()
    text = maps.text.requires_grad_()
    DetectionLoss(border=0)(maps, truth)[0].backward()
    assert not text.grad[1:].any()
    assert not text.grad[0][truth.care[0] == 0].any()
    assert text.grad[0][truth.care[0] == 1].any()


def test_nothing_to_care_about_is_finite():
    maps, truth = random_maps(1, 1, 1)
    nothing = targets(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1))
    assert DetectionLoss()(maps, nothing).isfinite().all()
    assert DetectionLoss()(maps, truth).isfinite().all()


def test_half_precision_maps():
    maps, truth = random_maps()
    half = DetectionMaps(maps.text.bfloat16(), maps.threshold.bfloat16())
    found = DetectionLoss()(half, truth)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, DetectionLoss()(maps, truth), rtol=0.02, atol=0.02)


def test_a_cell_that_counts_more_weighs_in_the_cross_entropy_alone():
    logits = torch.tensor([[[1.0, -1.0, 0.5]]])
    wanted, care = torch.tensor([[[1.0, 0.0, 0.0]]]), torch.tensor([[[1.0, 4.0, 1.0]]])
    maps = DetectionMaps(logits, logits)
    found = DetectionLoss(dice=0, border=0)(maps, targets(wanted, care))
    assert float(found) == pytest.approx((entropy(1, 1) + 4 * entropy(-1, 0) + entropy(0.5, 0)) / 4, rel=1e-5)
    plain, weighted = targets(wanted), targets(wanted, care)
    dice = [DetectionLoss()(maps, truth) - DetectionLoss(dice=0)(maps, truth) for truth in (plain, weighted)]
    torch.testing.assert_close(*dice)


def test_shrunk_text_by_hand():
    logits = torch.tensor([[[1.0, -1.0, 0.5], [-2.0, 0.0, 3.0]]])
    text = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    care = torch.tensor([[[1.0, 3.0, 0.0], [1.0, 1.0, 1.0]]])
    probability = logits[0].sigmoid().flatten().tolist()
    cells = [entropy(x, t) for x, t in zip(logits.flatten().tolist(), text.flatten().tolist(), strict=True)]
    counted = [c * w for c, w in zip(cells, care.flatten().tolist(), strict=True)]
    weights, wanted = care.flatten().tolist(), text.flatten().tolist()
    overlap = 2 * sum(p * t * w for p, t, w in zip(probability, wanted, weights, strict=True)) + 1
    union = sum((p * p + t) * w for p, t, w in zip(probability, wanted, weights, strict=True)) + 1
    expected = 5 * sum(counted) / (2 + 6) + 1 - overlap / union
    assert float(ShrunkTextLoss()(logits, text, care)) == pytest.approx(expected, rel=1e-5)


def test_shrunk_text_that_is_right_costs_nothing():
    text = (torch.rand(2, 20, 20, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    loss = ShrunkTextLoss()(60 * text - 30, text, torch.ones_like(text))
    assert loss.shape == (2,)
    assert loss.max() < 1e-5


def test_shrunk_text_keeps_out_of_ignored_cells_and_takes_half_precision():
    maps, wanted = random_maps()
    logits = maps.text.bfloat16().requires_grad_()
    loss = ShrunkTextLoss()(logits, wanted.text, wanted.care)
    assert loss.dtype == torch.float32
    loss.sum().backward()
    assert (logits.grad[wanted.care == 0] == 0).all()
    assert torch.isfinite(ShrunkTextLoss()(maps.text, wanted.text, torch.zeros_like(wanted.care))).all()
