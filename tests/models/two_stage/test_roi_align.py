import math

import pytest
import torch

from dld_spotter.models.two_stage.roi_align import FINEST, cell_centres, level_of, roi_align
from tests.models.two_stage.test_boxes import boxes

STRIDES = (4, 8, 16, 32)


def ramp(stride: int, size: int = 256, batch: int = 1) -> torch.Tensor:
    """Maps that show x and y in pixels of the view, and the number of the image."""
    line = (torch.arange(size // stride) + 0.5) * stride
    x, y = line.expand(len(line), -1), line[:, None].expand(-1, len(line))
    return torch.stack([torch.stack([x, y, torch.full_like(x, float(image))]) for image in range(batch)])


def bilinear(level: torch.Tensor, x: float, y: float) -> torch.Tensor:
    """Lookup ``(C,)`` at a place in cells whose centres are at a half, as it is written in textbooks."""
    height, width = level.shape[1:]
    x, y = min(max(x - 0.5, 0), width - 1), min(max(y - 0.5, 0), height - 1)
    left, top = math.floor(x), math.floor(y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    above = level[:, top, left] * (1 - (x - left)) + level[:, top, right] * (x - left)
    below = level[:, bottom, left] * (1 - (x - left)) + level[:, bottom, right] * (x - left)
    return above * (1 - (y - top)) + below * (y - top)


def test_cells_of_a_box_by_hand():
    found = cell_centres(boxes([10, 20, 30, 28]), 2, 4)[0]
    assert found[0].tolist() == [[12.5, 22], [17.5, 22], [22.5, 22], [27.5, 22]]
    assert found[1, 0].tolist() == [12.5, 26]


def test_a_ramp_shows_where_it_was_looked_up():
    found = roi_align([ramp(stride) for stride in STRIDES], STRIDES, boxes([40, 60, 96, 116]), torch.tensor([0]), 7)
    assert found.shape == (1, 3, 7, 7)
    expected = 44 + 8 * torch.arange(7.0)
    torch.testing.assert_close(found[0, 0], expected.expand(7, -1))
    torch.testing.assert_close(found[0, 1], (expected + 20)[:, None].expand(-1, 7))


def test_every_cell_is_the_mean_of_four_lookups():
    torch.manual_seed(0)
    level = torch.randn(1, 5, 24, 40)
    box = [13.0, 7.5, 91.0, 55.0]
    found = roi_align([level], (4,), boxes(box), torch.tensor([0]), 3)[0]
    for row in range(3):
        for column in range(3):
            places = [
                (box[0] + (2 * column + i + 0.5) / 6 * (box[2] - box[0]), box[1] + (2 * row + j + 0.5) / 6 * (box[3] - box[1]))
                for i in range(2)
                for j in range(2)
            ]
            expected = torch.stack([bilinear(level[0], x / 4, y / 4) for x, y in places]).mean(0)
            torch.testing.assert_close(found[:, row, column], expected, atol=1e-5, rtol=1e-5)


def test_larger_boxes_come_from_coarser_levels():
    squares = boxes(*([0, 0, side, side] for side in (5, 111, 112, 223, 224, 448, 2000)))
    assert level_of(squares, 4).tolist() == [0, 0, 1, 1, 2, 3, 3]
    assert level_of(boxes([0, 0, 1000, 12], [0, 0, 0, 0]), 4).tolist() == [0, 0]
    levels = [torch.full((1, 1, 256 // s, 256 // s), float(i)) for i, s in enumerate(STRIDES)]
    found = roi_align(levels, STRIDES, squares[[3, 0, 5]], torch.zeros(3, dtype=torch.int64), 7)
    assert found[:, 0, 0, 0].tolist() == [1, 0, 3], "in the order of the boxes"
    assert FINEST == 112


def test_boxes_come_from_their_own_image():
    maps, index = [ramp(stride, batch=3) for stride in STRIDES], torch.tensor([2, 0, 1, 2])
    found = roi_align(maps, STRIDES, boxes([8, 8, 40, 24]).expand(4, 4), index, 7)
    assert found[:, 2, 0, 0].tolist() == [2, 0, 1, 2]


def test_no_box_gives_nothing_and_a_gradient_of_nothing():
    level = torch.randn(1, 4, 8, 8, requires_grad=True)
    found = roi_align([level], (4,), boxes(), torch.zeros(0, dtype=torch.int64), 7)
    assert found.shape == (0, 4, 7, 7)
    found.sum().backward()
    assert not level.grad.any()


@pytest.mark.parametrize("side", [7, 14])
def test_gradients_reach_the_map_where_it_was_looked_up(side):
    level = torch.zeros(1, 1, 32, 32, requires_grad=True)
    roi_align([level], (4,), boxes([16, 16, 48, 48]), torch.tensor([0]), side).sum().backward()
    assert level.grad.sum().item() == pytest.approx(side**2, rel=1e-4)
    assert not level.grad[..., :3].any()
    assert not level.grad[..., 13:].any()
