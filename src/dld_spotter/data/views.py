"""One image in several resolutions, all aligned with the reference."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dld_spotter.core.batches import Sample, SpottingBatch, View
from dld_spotter.data.photos import ReferenceSize, scaled_size

__all__ = [
    "ReferenceSize",
    "alike",
    "fill_frames",
    "make_frame",
    "make_thumbnails",
    "make_view",
    "resize",
    "scaled_size",
    "to_reference",
]

REFERENCE = 1.0
"""The scale of the reference view."""
WHOLE_NUMBERS = ("cpu",)
"""Kinds of device on which torch resizes uint8."""


def to_reference(sample: Sample, rule: ReferenceSize) -> Sample:
    """Resize a sample, its polygons included, to the reference."""
    height, width = sample.image.shape[:2]
    new_height, new_width = rule(height, width)
    if (new_height, new_width) == (height, width):
        return sample
    instances = sample.instances.scaled(new_width / width, new_height / height)
    return Sample(resize(sample.image, new_height, new_width), instances, sample.name)


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize ``(H, W, 3)`` uint8, bilinear and anti-aliased.

    The corners of the image stay in place, so that coordinates are multiplied by the ratio of sizes. Torch does it in a
    third of the time of OpenCV's area averaging.
    """
    if image.shape[:2] == (height, width):
        return image
    return _resize_pixels(_pixels(image), height, width)[0].permute(1, 2, 0).numpy()


def _pixels(image: np.ndarray) -> Tensor:
    """``(1, 3, H, W)`` in channels-last order of ``(H, W, 3)``, without a copy where it is contiguous and writable."""
    return torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)[None]


def make_view(images: Sequence[np.ndarray], scale: float, stride: int = 32) -> View:
    """Bring reference images ``(H, W, 3)`` to one scale, padded with zeros to a common multiple of ``stride``.

    The pixels of a batch lie in channels-last order.
    """
    frame = make_frame(images, scale, stride)
    canvas = np.zeros((len(images), *frame.images.shape[2:], 3), np.uint8)
    for row, image, (height, width) in zip(canvas, images, frame.sizes.tolist(), strict=True):
        row[:height, :width] = resize(image, height, width)
    return replace(frame, images=torch.from_numpy(canvas).permute(0, 3, 1, 2))


def make_frame(images: Sequence[np.ndarray], scale: float, stride: int = 32) -> View:
    """Lay out what :func:`make_view` makes, but for the pixels: ``images`` of the view is ``(B, 0, H, W)``."""
    sizes = [scaled_size(*image.shape[:2], scale) for image in images]
    height, width = (-(-max(side) // stride) * stride for side in zip(*sizes, strict=True))
    factors = [(w / image.shape[1], h / image.shape[0]) for image, (h, w) in zip(images, sizes, strict=True)]
    pixels = torch.empty((len(images), 0, height, width), dtype=torch.uint8)
    return View(pixels, torch.tensor(sizes), torch.tensor(factors, dtype=torch.float32))


def fill_frames(batch: SpottingBatch) -> SpottingBatch:
    """Resize the reference into every view that has no pixels yet, on the device where the batch lies.

    A reference that was sent for its pixels alone, without the targets that the other views have, is left out. On CPU the
    pixels are those of :func:`make_view`; elsewhere they may differ by one.
    """
    frames = {scale: view for scale, view in batch.views.items() if not view.images.shape[1]}
    if not frames:
        return batch
    reference = batch.views[REFERENCE]
    views = {scale: fill_frame(view, reference) if scale in frames else view for scale, view in batch.views.items()}
    if reference.targets is None and any(view.targets is not None for view in frames.values()):
        del views[REFERENCE]
    return replace(batch, views=views)


def fill_frame(frame: View, reference: View) -> View:
    """Resize the images of ``reference`` to a view without pixels, see :func:`make_frame`."""
    batch, _, height, width = frame.images.shape
    canvas = frame.images.new_zeros((batch, 3, height, width)).contiguous(memory_format=torch.channels_last)
    for images, (rows, columns, height, width) in alike(reference.sizes, frame.sizes):
        pixels = reference.images[images, :, :rows, :columns]
        canvas[images, :, :height, :width] = _resize_pixels(pixels, height, width)
    return replace(frame, images=canvas)


def alike(*sizes: Tensor) -> Iterator[tuple[slice | list[int], tuple[int, ...]]]:
    """Group images by their sizes ``(B, 2)`` in several views: what is the same for many takes one call rather than many.

    Yields:
        the images, a slice where it is all of them; the numbers that they have in common.
    """
    numbers = [tuple(row) for row in torch.cat(sizes, dim=1).tolist()]
    for key in dict.fromkeys(numbers):
        images = [place for place, other in enumerate(numbers) if other == key]
        yield slice(None) if len(images) == len(numbers) else images, key


def _resize_pixels(pixels: Tensor, height: int, width: int) -> Tensor:
    """Resize ``(B, 3, H, W)`` uint8."""
    if pixels.shape[2:] == (height, width):
        return pixels
    source = pixels if pixels.device.type in WHOLE_NUMBERS else pixels.float()
    resized = F.interpolate(source, (height, width), mode="bilinear", antialias=True)
    return resized if resized.dtype == torch.uint8 else resized.round().to(torch.uint8)


def make_thumbnails(images: Sequence[np.ndarray], size: int = 128) -> Tensor:
    """Squeeze whole images ``(H, W, 3)`` to ``(B, 3, size, size)`` uint8 in channels-last order."""
    thumbnails = torch.cat([_resize_pixels(_pixels(image), size, size) for image in images])
    return thumbnails.contiguous(memory_format=torch.channels_last)
