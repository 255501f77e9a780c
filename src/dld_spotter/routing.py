"""Routes the images of a batch to the scales that were chosen for them."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from dld_spotter.models.spotter import Spotter
from dld_spotter.structures import SpottingBatch, Word


def same_scale(index: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Group images ``(B,)`` by their scale into ``(scale, images)``, at most a power of two at a time.

    On CPU every new batch shape costs the compilation of new kernels; powers of two keep the shapes few.
    """
    for k in index.unique().tolist():
        images = (index == k).nonzero()[:, 0]
        while len(images):
            size = 2 ** (len(images).bit_length() - 1)
            yield k, images[:size]
            images = images[size:]


def read_at(spotter: Spotter, scales: Sequence[float], index: Tensor, batch: SpottingBatch) -> list[list[Word]]:
    """Read every image at its own scale; ``index`` ``(B,)`` points into ``scales``, polygons are in reference pixels."""
    words: list[list[Word]] = [[] for _ in batch.names]
    for k, images in same_scale(index):
        for i, found in zip(images.tolist(), spotter.spot(batch.view(scales[k]).select(images)), strict=True):
            words[i] = found
    return words
