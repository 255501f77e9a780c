import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from dld_spotter.core.charset import Charset
from dld_spotter.core.geometry import polygons_to_boundaries
from dld_spotter.data.collate import Collate
from dld_spotter.data.readers.icdar2015 import ICDAR2015
from dld_spotter.models.roi import crop_grid, sample_crops, sample_pixels, word_heights
from tests.data.samples import box, turned_box

SIZE = (8, 32)
STRIDES = (4, 8, 16)


def ramps(batch=1, height=128, width=192, strides=(1,), image_gap=1000.0):
    """Maps that show their own coordinates: x, y (view pixels, plus a gap per image) and the level."""
    maps = []
    for level, stride in enumerate(strides):
        x = (torch.arange(width // stride) + 0.5) * stride
        y = (torch.arange(height // stride) + 0.5) * stride
        plane = torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, len(x)), torch.full((len(y), len(x)), float(level))])
        shift = torch.tensor([image_gap, image_gap, 0.0])[:, None, None]
        maps.append(torch.stack([plane + image * shift for image in range(batch)]))
    return maps


def sides_of(*polygons):
    return torch.from_numpy(polygons_to_boundaries(list(polygons)))


def curved(radius=60.0, height=16.0, points=7):
    """A word on an arc, over the top of a circle around (96, 100)."""
    angles = np.linspace(-2.5, -0.7, points)
    ring = np.stack([np.cos(angles), np.sin(angles)], 1)
    return np.concatenate([(radius + height) * ring + (96, 100), (radius * ring + (96, 100))[::-1]]).astype(np.float32)


WORDS = {
    "straight": box(20, 30, 64, 16),
    "turned": turned_box(96, 64, 80, 20, 25),
    "upside down": turned_box(96, 64, 80, 20, 170),
    "perspective": np.array([[20, 20], [120, 40], [118, 70], [24, 36]], np.float32),
    "curved": curved(),
}


def test_grid_of_a_straight_word():
    grid = crop_grid(sides_of(box(10, 20, 64, 16)), 8, 32)
    assert grid.shape == (1, 8, 32, 2)
    torch.testing.assert_close(grid[0, 0, :, 0], 10 + (torch.arange(32) + 0.5) * 2)
    torch.testing.assert_close(grid[0, :, 0, 1], 20 + (torch.arange(8) + 0.5) * 2)


def test_grid_of_a_turned_word_is_the_turned_grid():
    straight = crop_grid(sides_of(turned_box(0, 0, 64, 16, 0)), 8, 32)
    turn = np.deg2rad(33)
    rotation = torch.tensor([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]], dtype=torch.float32)
    expected = straight @ rotation.T + torch.tensor([50.0, 40.0])
    torch.testing.assert_close(crop_grid(sides_of(turned_box(50, 40, 64, 16, 33)), 8, 32), expected, atol=1e-4, rtol=0)


def test_grid_of_a_curved_word_lies_on_rings():
    grid = crop_grid(sides_of(curved(60, 16, points=15)), 8, 32)[0] - torch.tensor([96.0, 100.0])
    radii = grid.norm(dim=-1)
    expected = 76 - (torch.arange(8) + 0.5) * 2
    torch.testing.assert_close(radii, expected[:, None].expand(-1, 32), atol=0.7, rtol=0)  # chords of 8 points
    assert (grid[:, 1:, 0] > grid[:, :-1, 0]).all(), "from left to right"


@pytest.mark.parametrize("points", [2, 3, 8])
def test_grid_takes_any_number_of_points(points):
    boundaries = torch.from_numpy(polygons_to_boundaries([WORDS["turned"]], points))
    torch.testing.assert_close(crop_grid(boundaries, 4, 9), crop_grid(sides_of(WORDS["turned"]), 4, 9), atol=1e-4, rtol=0)


@pytest.mark.parametrize("word", WORDS)
def test_ramps_are_sampled_exactly(word):
    boundaries = sides_of(WORDS[word])
    crops = sample_crops(ramps(), (1,), boundaries, torch.tensor([0]), SIZE)
    assert crops.shape == (1, 3, *SIZE)
    torch.testing.assert_close(crops[0, :2].permute(1, 2, 0), crop_grid(boundaries, *SIZE)[0], atol=2e-3, rtol=0)


@pytest.mark.parametrize("height", [10, 32, 45, 46, 70, 90, 91, 100])
def test_level_follows_the_height_of_the_word(height):
    """The finest level holds 8 rows of up to 1.41 cells of 4 pixels: up to 45 pixels; the next one up to 90."""
    boundaries = sides_of(box(30, 14, 140, height))
    strip = sample_crops(ramps(strides=STRIDES), STRIDES, boundaries, torch.tensor([0]), SIZE)[0]
    assert strip[2].round().unique().tolist() == [0 if height <= 45 else 1 if height <= 90 else 2]
    torch.testing.assert_close(strip[:2].permute(1, 2, 0), crop_grid(boundaries, *SIZE)[0], atol=2e-3, rtol=0)


def mixed():
    """Words of every level in three images, in no order; one image has none."""
    polygons = [
        WORDS["straight"],
        box(30, 14, 140, 100),
        WORDS["curved"],
        box(30, 14, 140, 60),
        WORDS["turned"],
        WORDS["straight"],
    ]
    return sides_of(*polygons), torch.tensor([3, 0, 1, 3, 0, 0])


def test_words_come_from_their_own_images_in_any_order():
    boundaries, image_index = mixed()
    maps = ramps(4, strides=STRIDES)
    crops = sample_crops(maps, STRIDES, boundaries, image_index, SIZE)
    expected = crop_grid(boundaries, *SIZE) + 1000 * image_index.view(-1, 1, 1, 1)
    torch.testing.assert_close(crops[:, :2].permute(0, 2, 3, 1), expected, atol=5e-3, rtol=0)
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    torch.testing.assert_close(sample_crops(maps, STRIDES, boundaries[order], image_index[order], SIZE), crops[order])
    for word in range(len(boundaries)):
        alone = [level[image_index[word]][None] for level in maps]
        strip = sample_crops(alone, STRIDES, boundaries[word : word + 1], torch.tensor([0]), SIZE)[0]
        torch.testing.assert_close(strip, crops[word])


@pytest.mark.parametrize("batch", [1, 4])
def test_compiled_path_equals_the_eager_one(monkeypatch, batch):
    boundaries, image_index = mixed()
    image_index = image_index if batch > 1 else torch.zeros_like(image_index)
    maps = ramps(batch, strides=STRIDES)
    eager = sample_crops(maps, STRIDES, boundaries, image_index, SIZE)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    torch.testing.assert_close(sample_crops(maps, STRIDES, boundaries, image_index, SIZE), eager)


def test_meta_tensors_give_the_shape():
    boundaries, image_index = mixed()
    maps = [level.to("meta") for level in ramps(4, strides=STRIDES)]
    assert sample_crops(maps, STRIDES, boundaries.to("meta"), image_index.to("meta"), SIZE).shape == (6, 3, *SIZE)


def test_no_word():
    none = torch.zeros(0, dtype=torch.int64)
    assert sample_crops(ramps(2, strides=STRIDES), STRIDES, torch.zeros(0, 2, 8, 2), none, SIZE).shape == (0, 3, *SIZE)


def test_outside_the_image_the_border_goes_on():
    crops = sample_crops(ramps(), (1,), sides_of(box(-40, -40, 20, 10), box(300, 300, 50, 20)), torch.tensor([0, 0]), SIZE)
    assert crops[0, :2].unique().tolist() == [0.5]
    assert crops[1, 0].unique().tolist() == [191.5]
    assert crops[1, 1].unique().tolist() == [127.5]


def test_degenerate_words_are_finite():
    boundaries = torch.zeros(1, 2, 8, 2)
    assert sample_crops(ramps(strides=STRIDES), STRIDES, boundaries, torch.tensor([0]), SIZE).isfinite().all()


def test_half_precision_keeps_the_coordinates():
    """A step edge at x = 1201 must stay where it is: bfloat16 would place it up to four pixels off."""
    edge = (torch.arange(1280) >= 1201).bfloat16().expand(1, 1, 16, -1)
    boundaries = sides_of(box(1185, 4, 32, 8))
    strip = sample_crops([edge], (1,), boundaries, torch.tensor([0]), SIZE)
    assert strip.dtype == torch.bfloat16
    assert strip[0, 0, 0].tolist() == [0.0] * 16 + [1.0] * 16


def test_gradient_reaches_only_the_cells_looked_at():
    level = torch.randn(2, 3, 32, 48, requires_grad=True)
    sample_crops([level], (4,), sides_of(box(40, 40, 64, 16)), torch.tensor([1]), SIZE).sum().backward()
    assert not level.grad[0].any()
    touched = level.grad[1].abs().sum(0).nonzero()
    assert touched.amin(0).tolist() == [9, 9]
    assert touched.amax(0).tolist() == [14, 26]


def test_word_heights():
    torch.testing.assert_close(
        word_heights(sides_of(box(3, 4, 50, 12), turned_box(50, 50, 40, 9, 30))), torch.tensor([12.0, 9.0])
    )


@pytest.mark.parametrize("angle", [0, 30, 60, 90, 120, 180, -60, -90])
def test_the_ground_truth_says_which_way_a_word_is_read(tmp_path, angle):
    """A photo and its annotation are turned; read from files, the strip stays as it was, whatever side is the longer one."""
    side, quad = 160, box(48, 68, 64, 24)
    pattern = cv2.resize(np.random.default_rng(0).integers(0, 256, (4, 9, 3), dtype=np.uint8), (64, 24))
    photo = np.full((side, side, 3), 128, np.uint8)
    photo[68:92, 48:112] = pattern
    turn = cv2.getRotationMatrix2D((side / 2 - 0.5, side / 2 - 0.5), -angle, 1)
    corners = (quad - side / 2) @ turn[:, :2].T + side / 2
    for name in ("images", "gts"):
        (tmp_path / name).mkdir()
    turned = cv2.warpAffine(photo, turn, (side, side), flags=cv2.INTER_CUBIC, borderValue=(128, 128, 128))
    Image.fromarray(turned).save(tmp_path / "images" / "a.png")
    (tmp_path / "gts" / "gt_a.txt").write_text(",".join(f"{value:.3f}" for value in corners.ravel()) + ",cat\n")
    batch = Collate(Charset("act"))([ICDAR2015(tmp_path)[0]])
    images = batch.views[1.0].images.float()
    strip = sample_crops([images], (1,), batch.boundaries, batch.image_index, SIZE)[0]
    plain = torch.from_numpy(photo).permute(2, 0, 1)[None].float()
    upright = sample_crops([plain], (1,), sides_of(quad), torch.tensor([0]), SIZE)[0]
    assert (strip - upright).abs().mean() < 6, "of 255"


@pytest.mark.parametrize(("height", "width"), [(128, 192), (97, 131)])
def test_pixels_of_words_are_those_of_the_averaged_images(height, width):
    """Small and large words, some of them beyond the border: the crops that whole images and their averages give."""
    generator = np.random.default_rng(3)
    images = torch.from_numpy(generator.integers(0, 256, (3, 3, height, width), np.uint8))
    words = [
        turned_box(*generator.uniform((-20, -20), (width + 20, height + 20)), 3 * side, side, generator.uniform(-180, 180))
        for side in np.geomspace(3, 60, 24)
    ]
    boundaries, image_index = sides_of(*words), torch.arange(24) % 3
    half = F.avg_pool2d(images.float(), 2)
    levels = [images.float(), half, F.avg_pool2d(half, 2)]
    expected = sample_crops(levels, (1, 2, 4), boundaries, image_index, SIZE)
    torch.testing.assert_close(sample_pixels(images, boundaries, image_index, SIZE), expected, rtol=0, atol=5e-3)


def test_pixels_of_no_word():
    none = sample_pixels(torch.zeros(1, 3, 32, 32), torch.zeros(0, 2, 4, 2), torch.zeros(0, dtype=torch.int64), SIZE)
    assert none.shape == (0, 3, *SIZE)
