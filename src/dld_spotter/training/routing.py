"""Routes the images of a batch to the scales that were chosen for them."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from dld_spotter.core.batches import SpottingBatch, Word
from dld_spotter.models.spotter import Spotter


def same_scale(index: Tensor, powers: bool | None = None) -> Iterator[tuple[int, Tensor]]:
    """Group images by their scale into ``(scale, images)``.

    Args:
        index: ``(B,)`` scale of each image.
        powers: at most a power of two at a time; None: on CPU, where every new batch shape costs the compilation of new
            kernels, and not on a GPU, which would rather have few groups.
    """
    powers = index.device.type == "cpu" if powers is None else powers
    for k, images in enumerate(sorted_by(index)):
        while len(images):
            size = 2 ** (len(images).bit_length() - 1) if powers else len(images)
            yield k, images[:size]
            images = images[size:]


def sorted_by(owner: Tensor, owners: int = 0) -> tuple[Tensor, ...]:
    """Places of what belongs to each of ``owners``, at least as many as there are, by the owner ``(N,)`` of each.

    How often a GPU is waited for does not grow with the number of owners.
    """
    return owner.argsort(stable=True).split(owner.bincount(minlength=owners).tolist())


def spot_at(spotter: Spotter, scales: Sequence[float], index: Tensor, batch: SpottingBatch) -> list[list[Word]]:
    """Read every image at its own scale, polygons in pixels of the reference.

    Args:
        spotter: reads.
        scales: the scales.
        index: ``(B,)`` points into them.
        batch: the images.
    """
    words: dict[int, list[Word]] = {}
    for k, images in same_scale(index):
        words |= zip(images.tolist(), spotter.spot(batch.view(scales[k]).select(images)), strict=True)
    return [words[i] for i in range(len(batch))]
