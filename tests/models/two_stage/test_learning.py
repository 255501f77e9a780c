"""What the detector proposes, what it is taught, and by which losses."""

import math

import pytest
import torch

from dld_spotter.core.batches import WordTargets
from dld_spotter.core.geometry import polygons_to_boundaries
from dld_spotter.models.two_stage.boxes import moved, offsets
from dld_spotter.models.two_stage.heads import OFFSET_SCALE, AnchorMaps, scaled
from dld_spotter.models.two_stage.loss import Regions, Sampling, draw_regions, proposal_loss, region_loss
from dld_spotter.models.two_stage.proposing import Proposing
from tests.data.samples import box
from tests.models.two_stage.test_boxes import boxes, drawn

PROPOSING = Proposing(4.0, (0.25, 1.0), before=50, most=20)
SIDE = 64


def targets(*polygons, images=1, index=None, care=None) -> WordTargets:
    boundaries = torch.from_numpy(polygons_to_boundaries(list(polygons)))
    index = torch.tensor([0] * len(polygons) if index is None else index, dtype=torch.int64)
    care = torch.ones(len(polygons), dtype=torch.bool) if care is None else torch.tensor(care)
    return WordTargets(boundaries, index, care, images)


def blank_maps(images: int = 1, logit: float = -9.0) -> AnchorMaps:
    """Two levels of an image of 64 x 64 pixels, on which nothing is text."""
    shapes = [SIDE // 4, SIDE // 8]
    logits = tuple(torch.full((images, 2, side, side), logit) for side in shapes)
    return AnchorMaps(logits, tuple(torch.zeros(images, 8, side, side) for side in shapes), (torch.zeros(images, 1, 16, 16),))


def test_maps_move_and_are_selected_level_by_level():
    maps = blank_maps(3)
    moved_away = maps.to("meta")
    assert all(level.is_meta for levels in (moved_away.logits, moved_away.offsets, moved_away.pyramid) for level in levels)
    assert [len(level) for level in maps.select(torch.tensor([2, 0])).offsets] == [2, 2]
    logits, moves = maps.flat()
    assert [level.shape for level in logits] == [(3, 16 * 16 * 2), (3, 8 * 8 * 2)]
    assert moves[1].shape == (3, 8 * 8 * 2, 4)


def test_proposals_are_the_likeliest_anchors_after_their_offsets():
    maps = blank_maps()
    maps.logits[0][0, 0, 5, 6] = 3.0  # 32 x 8 pixels around (26, 22)
    maps.logits[1][0, 1, 2, 3] = 2.0  # 32 x 32 pixels around (28, 20)
    maps.offsets[1][0, 4:, 2, 3] = torch.tensor([0.25, 0.0, math.log(0.5), 0.0])
    (found,) = PROPOSING.regions(maps, [(SIDE, SIDE)])
    assert found[0].tolist() == pytest.approx([10, 18, 42, 26])
    assert found[1].tolist() == pytest.approx([28, 4, 44, 36], abs=1e-4)
    assert len(found) == 20


def test_proposals_end_at_their_image_and_images_do_not_mix():
    maps = blank_maps(2)
    maps.logits[0][1, 0, 1, 1] = 5.0
    first, second = PROPOSING.regions(maps, [(30, 40), (SIDE, SIDE)])
    assert second[0].tolist() == pytest.approx([0, 2, 22, 10])
    assert (first[:, 2] <= 40).all()
    assert (first[:, 3] <= 30).all()
    assert ((first[:, 2:] - first[:, :2]) >= 1).all()


def test_proposals_of_one_level_that_overlap_are_one():
    maps = blank_maps()
    maps.logits[1][0, 1, 2, 3:5] = torch.tensor([2.0, 1.5])  # 32 pixels wide, 8 apart: 0.6 of the union
    few = Proposing(4.0, (0.25, 1.0), before=2, overlap=0.5, most=9)
    (found,) = few.regions(maps, [(SIDE, SIDE)])
    assert found[0].tolist() == [12, 4, 44, 36]
    assert [20, 4, 52, 36] not in found.tolist()


def test_the_loss_of_proposals_by_hand():
    """All anchors count; those that are text and none are as sure of the opposite as of the truth, and moves are zero."""
    word = box(10, 18, 32, 8)  # the anchor around (26, 22) at stride 4
    sampling = Sampling(anchors=10**6)
    ever = blank_maps(logit=0.0)
    loss = proposal_loss(ever, targets(word), PROPOSING, sampling)
    around = torch.cat(PROPOSING.anchors(ever))
    own = torch.tensor([[10.0, 18.0, 42.0, 26.0]])
    positives = (around == own).all(1)
    assert positives.sum() == 1
    moves = offsets(around, own.expand_as(around)).abs()
    assert moves[positives].max() == 0
    assert loss.item() == pytest.approx(math.log(2), rel=1e-2)
    sure = blank_maps(logit=-20.0)
    sure.logits[0][0, 0, 5, 6] = 20.0
    near = proposal_loss(sure, targets(word), PROPOSING, sampling)
    assert near.item() < 0.2  # the anchors near by that are text, too, are not sure of it
    wrong = blank_maps(logit=20.0)
    assert proposal_loss(wrong, targets(word), PROPOSING, sampling).item() > 10


def test_without_words_proposals_are_taught_that_there_is_none():
    assert proposal_loss(blank_maps(logit=-20.0), targets(), PROPOSING, Sampling()).item() == pytest.approx(0, abs=1e-6)
    assert proposal_loss(blank_maps(2, logit=0.0), targets(images=2), PROPOSING, Sampling()).tolist() == pytest.approx(
        [math.log(2)] * 2
    )


def test_regions_to_learn_from_hold_the_words_and_nothing_of_what_is_ignored():
    words = targets(box(10, 10, 20, 10), box(40, 40, 20, 10), images=2, index=[1, 1], care=[True, False])
    near, ignored, empty = [12.0, 10, 30, 20], [41.0, 41, 58, 49], [0.0, 50, 8, 58]
    found = [boxes(empty), boxes(near, ignored, empty)]
    torch.manual_seed(0)
    regions = draw_regions(found, words, Sampling(regions=8))
    assert regions.image_index.tolist() == [0, 1, 1, 1]
    assert regions.words.tolist() == [-1, 0, 0, -1]
    assert sorted(regions.boxes[1:3].tolist()) == [[10, 10, 30, 20], near]
    assert regions.boxes[3].tolist() == empty


def test_the_loss_of_regions_by_hand():
    words = targets(box(0, 0, 20, 10), images=2, index=[0])
    regions = Regions(
        boxes([0, 0, 20, 10], [2, 0, 20, 10], [30, 30, 40, 40], [0, 0, 9, 9]),
        torch.tensor([0, 0, 0, 1]),
        torch.tensor([0, 0, -1, -1]),
    )
    logits = torch.tensor([0.0, 1.0, -2.0, 3.0])

    def judge(found, images):
        assert (len(found), images.tolist()) == (4, [0, 0, 0, 1])
        return logits, torch.zeros(4, 4)

    def mask(found, images):
        assert (found.tolist(), images.tolist()) == ([[0, 0, 20, 10], [2, 0, 20, 10]], [0, 0])
        return torch.zeros(2, 28, 28)

    def entropy(value, text):
        return math.log(1 + math.exp(-value if text else value))

    # the second region is 18 wide and centred at 11: its word's centre is -1 / 18 of a width away, and 20 / 18 as wide
    moves = (1 / 18 / 0.1, math.log(20 / 18) / 0.2)
    smooth = sum(0.5 * move**2 if move < 1 else move - 0.5 for move in moves)
    expected = (entropy(0, True) + entropy(1, True) + entropy(-2, False) + smooth) / 3 + math.log(2)
    found = region_loss(regions, words, judge, mask)
    assert found.tolist() == pytest.approx([expected, entropy(3, False)], rel=1e-4)


def test_what_the_box_head_writes_leads_to_the_word():
    one, other = (drawn(seed, 20) + torch.tensor([0, 0, 9, 9]) for seed in (1, 2))
    written = offsets(one, other) / torch.tensor(OFFSET_SCALE)
    torch.testing.assert_close(moved(one, scaled(written)), other, atol=1e-2, rtol=1e-3)
