"""Rectified crops of words, sampled along a word's two long boundaries.

One bilinear lookup per cell (`grid_sample`) serves quadrilaterals and curved words alike, is differentiable, and exports.
"""

from collections.abc import Sequence
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor


def crop_grid(boundaries: Tensor, height: int, width: int) -> Tensor:
    """Lay ``height`` x ``width`` cell centres between the boundaries.

    Args:
        boundaries: ``(N, 2, K, 2)`` pixels, upper and lower side in reading direction.
        height: rows.
        width: columns.

    Returns:
        ``(N, height, width, 2)`` pixels (x, y).
    """
    words, _, points, _ = boundaries.shape
    position = (torch.arange(width, device=boundaries.device, dtype=boundaries.dtype) + 0.5) / width * (points - 1)
    left = position.floor().long().clamp(max=points - 2)
    weight = (position - left).view(1, 1, width, 1)
    along = boundaries[:, :, left] * (1 - weight) + boundaries[:, :, left + 1] * weight
    down = ((torch.arange(height, device=boundaries.device, dtype=boundaries.dtype) + 0.5) / height).view(1, height, 1, 1)
    return along[:, 0].view(words, 1, width, 2) * (1 - down) + along[:, 1].view(words, 1, width, 2) * down


def word_heights(boundaries: Tensor) -> Tensor:
    """Mean distance ``(N,)`` in pixels between the two boundaries ``(N, 2, K, 2)``."""
    return (boundaries[:, 0] - boundaries[:, 1]).norm(dim=-1).mean(dim=-1)


PIXEL_STRIDES = (1, 2, 4)
"""Pixels of an image per cell of the levels that words' pixels are taken from: words taller than their crop are averaged."""


def sample_pixels(images: Tensor, boundaries: Tensor, image_index: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut the pixels of every word out of images, of large words out of a half or a quarter of them.

    The same as :func:`sample_crops` gives of the images and their averages, but only what lies around the words is averaged.

    Args:
        images: ``(B, 3, H, W)`` of any type.
        boundaries: ``(N, 2, K, 2)`` pixels of the images.
        image_index: ``(N,)`` int64.
        size: rows and columns of a crop.

    Returns:
        ``(N, 3, rows, columns)`` float.
    """
    if boundaries.is_meta or torch.compiler.is_compiling():  # what lies around words depends on values
        images = images.float()
        half = F.avg_pool2d(images, 2)
        return sample_crops((images, half, F.avg_pool2d(half, 2)), PIXEL_STRIDES, boundaries, image_index, size)
    level = _level(boundaries, size[0], PIXEL_STRIDES)
    grid = crop_grid(boundaries, *size)
    crops = grid.new_zeros(len(grid), images.shape[1], *size)
    for i, stride in enumerate(PIXEL_STRIDES):
        chosen = (level == i).nonzero()[:, 0]
        if len(chosen):
            region, corner = _around(images, grid[chosen], stride)
            crops[chosen] = lookup(region, (grid[chosen] - corner) / stride, image_index[chosen])
    return crops


def _around(images: Tensor, grid: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """What lies around pixels ``(N, rows, columns, 2)``, averaged by ``stride``, and its top left corner (x, y)."""
    limit = grid.new_tensor([images.shape[3], images.shape[2]])
    low = (grid.amin((0, 1, 2)) / stride - 1).floor().clamp(min=0) * stride  # a whole number of cells, and one to look up
    low = torch.minimum(low, ((limit - 1) / stride).floor().clamp(min=1) * stride - stride)
    high = torch.minimum((grid.amax((0, 1, 2)) / stride + 1).ceil() * stride, limit).clamp(min=stride)
    (left, top), (right, bottom) = low.long().tolist(), torch.maximum(high, low + stride).long().tolist()
    region = images[:, :, top:bottom, left:right].float()
    for _ in range(stride.bit_length() - 1):
        region = F.avg_pool2d(region, 2)
    return region, low


def sample_crops(
    maps: Sequence[Tensor], strides: Sequence[int], boundaries: Tensor, image_index: Tensor, size: tuple[int, int]
) -> Tensor:
    """Cut a crop of every word out of the pyramid level whose resolution suits it.

    A word comes from the finest level unless that has more than 1.4 times the crop's rows on it, so that large words
    are not undersampled.

    Args:
        maps: ``(B, C, H / s, W / s)`` per level, finest first.
        strides: the levels' strides s.
        boundaries: ``(N, 2, K, 2)`` pixels of the view.
        image_index: ``(N,)`` int64, the image of each word.
        size: rows and columns of a crop.

    Returns:
        ``(N, C, rows, columns)``.
    """
    rows, columns = size
    level = _level(boundaries, rows, strides)
    grid = crop_grid(boundaries, rows, columns)
    if boundaries.is_meta or torch.compiler.is_compiling():  # shapes must not depend on values
        return _gather(maps, strides, grid, level.long(), image_index)
    parts, places = [], []
    for i, (level_map, stride) in enumerate(zip(maps, strides, strict=True)):
        chosen = (level == i).nonzero()[:, 0]
        places.append(chosen)
        if len(chosen):
            parts.append(lookup(level_map, grid[chosen] / stride, image_index[chosen]))
        else:  # no word, but a place in the graph: data-parallel training wants a gradient of every parameter
            parts.append(level_map[:0, :, :1, :1].expand(-1, -1, rows, columns))
    return torch.cat(parts)[torch.cat(places).argsort()]


def _level(boundaries: Tensor, rows: int, strides: Sequence[int]) -> Tensor:
    """The pyramid level ``(N,)`` that each word is cut out of."""
    return torch.log2(word_heights(boundaries) / (rows * strides[0])).round().clamp(0, len(strides) - 1)


def lookup(level_map: Tensor, grid: Tensor, image_index: Tensor) -> Tensor:
    """Look up ``(N, rows, columns, 2)`` map coordinates in ``(B, C, H, W)``, the words of an image in one go, bilinearly."""
    batch, channels, height, width = level_map.shape
    words, rows, columns, _ = grid.shape
    member = image_index[:, None] == torch.arange(batch, device=grid.device)
    slot = member.long().cumsum(0).gather(1, image_index[:, None])[:, 0] - 1  # the word's number within its image
    slots = words if batch == 1 else int(slot.max()) + 1
    packed = grid.new_zeros(batch, slots, rows, columns, 2)
    packed[image_index, slot] = grid / grid.new_tensor([width, height]) * 2 - 1
    packed = packed.view(batch, slots * rows, columns, 2)
    # Half precision would round coordinates to a pixel and more: the map follows the grid's precision, not the reverse.
    sampled = F.grid_sample(level_map.to(packed.dtype), packed, padding_mode="border", align_corners=False)
    return sampled.to(level_map.dtype).view(batch, channels, slots, rows, columns).permute(0, 2, 1, 3, 4)[image_index, slot]


def _gather(maps: Sequence[Tensor], strides: Sequence[int], grid: Tensor, level: Tensor, image_index: Tensor) -> Tensor:
    """Look up pixels ``(N, rows, columns, 2)`` of the view, each word in its own level, without `grid_sample`.

    All levels lie behind each other in one table of cells, and a cell's four neighbours are rows of it. In ONNX Runtime,
    where one `grid_sample` per level is what most of the time goes to, this takes a third of it.
    """
    channels, areas = maps[0].shape[1], [level_map.shape[2] * level_map.shape[3] for level_map in maps]
    cells = torch.cat([level_map.flatten(2).transpose(1, 2) for level_map in maps], dim=1).flatten(0, 1)

    def of_level(values: Sequence[int]) -> Tensor:
        return level.new_tensor(list(values))[level].view(-1, 1, 1)

    width, height = of_level([m.shape[3] for m in maps]), of_level([m.shape[2] for m in maps])
    first = of_level([0, *accumulate(areas[:-1])]) + (image_index * level.new_tensor([sum(areas)])).view(-1, 1, 1)
    x, y = (grid / of_level(strides)[..., None] - 0.5).unbind(-1)
    x, y = torch.minimum(x.clamp(min=0), width - 1.0), torch.minimum(y.clamp(min=0), height - 1.0)  # the border goes on
    left, top = x.long(), y.long()
    right, bottom = torch.minimum(left + 1, width - 1), torch.minimum(top + 1, height - 1)
    upper, lower = first + top * width, first + bottom * width
    across, down = (x - left).flatten(), (y - top).flatten()

    def rows(index: Tensor) -> Tensor:
        return cells.index_select(0, index.flatten()).T

    above = rows(upper + left) * (1 - across) + rows(upper + right) * across
    below = rows(lower + left) * (1 - across) + rows(lower + right) * across
    crops = (above * (1 - down) + below * down).view(channels, -1, *grid.shape[1:3])
    return crops.transpose(0, 1).to(maps[0].dtype)
