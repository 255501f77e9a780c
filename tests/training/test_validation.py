"""What an epoch ends in: validation, losses that are not finite, and what checkpoints say."""

import pytest
import torch

from dld_spotter.core.batches import Word
from dld_spotter.core.errors import TrainingError
from dld_spotter.selection.baselines import FixedScale
from dld_spotter.training.modules import mean_or_zero
from tests.small import SCALES
from tests.training.test_modules import make_module


def test_validation_scores_every_image(batch):
    module = make_module().eval()
    module.student.spot = lambda view: [[] for _ in view.sizes]
    module.validation_step(batch, 0)
    module.on_validation_epoch_end()
    assert module.logged["val/hmean"] == 0


def test_an_epoch_is_worth_what_it_reads_less_what_it_spends(batch):
    module = make_module(FixedScale(SCALES, 0.2, [0.5, 1.0, 2.0], scale=0.5)).eval()
    words = [
        [Word(polygon, text, 1.0) for polygon, text in zip(i.polygons, i.transcriptions, strict=True)] for i in batch.instances
    ]

    def spot(view):
        return [words[int((batch.views[0.5].images == image).flatten(1).all(1).nonzero()[0])] for image in view.images]

    module.student.spot = spot
    module.validation_step(batch, 0)
    module.on_validation_epoch_end()
    costs = module.cost_model.relative(batch.views[1.0].sizes, SCALES)[:, 1]
    assert module.logged["val/hmean"] == 1
    assert module.logged["val/relative_cost"] == pytest.approx(float(costs.mean()))
    assert module.logged["val/value"] == pytest.approx(1 - 0.2 * float(costs.mean()))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_training(batch, value):
    module = make_module()
    module.detection_loss.forward = lambda maps, targets: torch.full((len(maps.text),), value)
    with pytest.raises(TrainingError, match=rf"the loss is {value:g} at step 0 \(detection={value:g}\) on images such as"):
        module.training_step(batch, 0)


def test_checkpoints_say_what_they_hold():
    checkpoint = {}
    make_module().on_save_checkpoint(checkpoint)
    assert checkpoint == {"dld_spotter": {"format": 1}}


def test_mean_of_nothing_is_a_zero_with_a_gradient():
    values = torch.ones(0, requires_grad=True)
    mean_or_zero(values).backward()
    assert mean_or_zero(values) == 0
    assert mean_or_zero(torch.tensor([1.0, 3.0])) == 2
