"""Recognition from masked features of a word's upright box, as the paper's spotter has it (DLD, arXiv 2207.06694)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_spotter.core.batches import WordCrops
from dld_spotter.core.charset import Charset
from dld_spotter.models.attention_recognizer import Recognizer
from dld_spotter.models.neck import conv_block
from dld_spotter.models.roi import crop_grid, sample_crops
from dld_spotter.models.two_stage.masks import inside, outlines

SIZE = (8, 32)
"""Rows and columns of a word's features."""
STRIDE = 4
"""Pixels per cell of the map that words are cut out of."""
UPRIGHT = 1.5
"""Height over width from which on a word is transposed."""


def word_boxes(boundaries: Tensor) -> Tensor:
    """Upper and lower side ``(N, 2, 2, 2)`` of the upright boxes around words ``(N, 2, K, 2)``, one cell larger at every side.

    What is more than 1.5 times as high as wide is transposed: its sides run down, along the left and the right of the box.
    """
    low, high = boundaries.amin((1, 2)), boundaries.amax((1, 2))
    width, height = (high - low).unbind(1)
    (left, top), (right, bottom) = (low - STRIDE).unbind(1), (high + STRIDE).unbind(1)
    corners = [torch.stack(corner, dim=1) for corner in ((left, top), (right, top), (left, bottom), (right, bottom))]
    level = torch.stack(corners, dim=1).view(-1, 2, 2, 2)
    upright = (height > UPRIGHT * width).view(-1, 1, 1, 1)
    return torch.where(upright, level.transpose(1, 2), level)


class WordFeatures(nn.Module):
    """The map that words are cut out of: a 3x3 convolution on the finest level of the pyramid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = conv_block(channels, channels)

    def forward(self, finest: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` to the same size."""
        return self.convolution(finest)


class SequenceLayer(nn.Module):
    """A bidirectional LSTM and a linear layer that joins both directions (CRNN, arXiv 1507.05717)."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(inputs, hidden, batch_first=True, bidirectional=True)
        self.join = nn.Linear(2 * hidden, outputs)

    def forward(self, columns: Tensor) -> Tensor:
        """Map ``(N, T, inputs)`` to ``(N, T, outputs)``."""
        return self.join(self.recurrent(columns)[0])


class MaskedEncoder(nn.Module):
    """From masked features of words ``(N, C, 8, 32)`` to their context ``(N, 32, hidden)``.

    Args:
        channels: C, of the map that they are cut out of.
        width: of the convolutions.
        hidden: hidden size per direction of both BiLSTMs.
    """

    size = SIZE

    def __init__(self, channels: int, width: int, hidden: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(*(conv_block(width if k else channels, width) for k in range(4)))
        self.fold = nn.ModuleList(conv_block(width, width, kernel=2, stride=(2, 1)) for _ in range(2))
        self.sequence = nn.Sequential(SequenceLayer(width, hidden, hidden), SequenceLayer(hidden, hidden, hidden))
        self.outputs = hidden

    def forward(self, crops: WordCrops) -> tuple[Tensor, Tensor]:
        """Encode N words: their masked features, and context."""
        maps = F.max_pool2d(self.convolutions(crops.features), (2, 1))
        for fold in self.fold:
            maps = fold(F.pad(maps, (0, 1)))  # so that there stay as many columns
        return crops.features, self.sequence(maps.squeeze(2).transpose(1, 2))


class MaskedRecognizer(Recognizer):
    """Reads the features of words from one map at stride 4, with nothing of what lies outside of their polygons.

    Args:
        charset: the characters to write.
        channels: of that map.
        width: of the convolutions.
        hidden: hidden size per direction of both BiLSTMs, and of the attention decoder.
        max_length: most characters of a word.
        decoder: which head reads, ``attention`` or ``ctc``.
    """

    encoder: MaskedEncoder

    def __init__(
        self, charset: Charset, channels: int, width: int, hidden: int, max_length: int = 32, decoder: str = "attention"
    ) -> None:
        super().__init__(MaskedEncoder(channels, width, hidden), len(charset), hidden, max_length, decoder)

    def crop(
        self,
        images: Tensor,
        boundaries: Tensor,
        image_index: Tensor,
        pyramid: Sequence[Tensor] = (),
        view_boundaries: Tensor | None = None,
    ) -> WordCrops:
        """See :meth:`WordRecognizer.crop`; the first map of ``pyramid`` is what words are cut out of, and no pixels are."""
        own = boundaries if view_boundaries is None else view_boundaries
        boxes = word_boxes(own)
        features = sample_crops(pyramid[:1], (STRIDE,), boxes, image_index, SIZE)
        points = crop_grid(boxes, *SIZE).flatten(1, 2)
        shown = inside(points, outlines(own)).view(len(own), 1, *SIZE)
        return WordCrops(None, features * shown)
