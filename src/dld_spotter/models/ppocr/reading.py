"""PP-OCR's recogniser behind any detector: rectified word crops as wide as the word, CTC."""

from collections.abc import Sequence
from math import ceil, inf

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dld_spotter.core.batches import Recognition, WordCrops
from dld_spotter.core.charset import BLANK, Charset
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.geometry import grown
from dld_spotter.core.threads import inference_threads, side_by_side
from dld_spotter.models.decoding import ctc_beam_search, ctc_greedy, ctc_log_probability
from dld_spotter.models.graphs import RecognizerGraphs
from dld_spotter.models.ppocr.blocks import EXPANSION
from dld_spotter.models.ppocr.graphs import crop_reader_graph
from dld_spotter.models.ppocr.recognizer import STAGES, PPOCRRecognizer
from dld_spotter.models.ppocr.widths import COLUMN, HEIGHT, NOMINAL_WIDTH, WIDTHS, crop_widths
from dld_spotter.models.roi import sample_pixels
from dld_spotter.models.word_recognizer import WordRecognizer

WIDEST_MARGIN = 1.0
"""Of a word's height."""
BEYOND = -1e4
"""Logit of every character behind the end of a word."""


class PPOCRWordRecognizer(WordRecognizer):
    """Reads word crops 48 pixels high with PP-OCRv6 small's network, of any widths of layers.

    Crops of one width go through the network together, so that a batch gives what its words give alone.

    Args:
        charset: the characters to write.
        stages: channels of the trunk's stages.
        channels: of the columns, a multiple of 8.
        expansion: hidden channels of the trunk's blocks per channel, above 0.
        margin: see :class:`WordRecognizer`.
        halve_width: see :class:`PPOCRRecognizer`.
        width_ratio: of a crop's width to that which keeps the word's proportions; 0.85 reads as well for fewer FLOPs.
        counted_width: columns of the crop that a word's FLOPs are counted for: the mean of what is read, 96 for words of 6
            letters, more where regions hold several words.
    """

    max_length = WIDTHS[-1] // COLUMN
    has_attention = False
    reads_features = False

    def __init__(
        self,
        charset: Charset,
        stages: Sequence[int] = (96, 192, 384),
        channels: int = 120,
        expansion: float = EXPANSION,
        margin: float = 0.0,
        halve_width: bool = False,
        counted_width: int = NOMINAL_WIDTH,
        width_ratio: float = 1.0,
    ) -> None:
        super().__init__()
        if len(stages) != len(STAGES) or channels % 8 or stages[0] % 4:
            raise ConfigError(
                f"recognizer.stages must be {len(STAGES)} numbers, the first a multiple of 4, and recognizer.channels a "
                f"multiple of 8, found {list(stages)} and {channels}"
            )
        if not 0 < expansion < inf:
            raise ConfigError(f"recognizer.expansion must be above 0, found {expansion}")
        if not 0 <= margin <= WIDEST_MARGIN:
            raise ConfigError(f"recognizer.margin must be from 0 to {WIDEST_MARGIN:g} of a word's height, found {margin}")
        if not COLUMN <= counted_width <= WIDTHS[-1] or counted_width % COLUMN:
            raise ConfigError(
                f"recognizer.counted_width must be a multiple of {COLUMN} up to {WIDTHS[-1]}, found {counted_width}"
            )
        if not 0 < width_ratio <= 1:
            raise ConfigError(f"recognizer.width_ratio must be above 0 and at most 1, found {width_ratio}")
        self.margin, self.counted_width, self.width_ratio = margin, counted_width, width_ratio
        widths = [stage._replace(channels=width, expansion=expansion) for stage, width in zip(STAGES, stages, strict=True)]
        self.network = PPOCRRecognizer(len(charset), widths, channels, halve_width)

    def crop(
        self,
        images: Tensor,
        boundaries: Tensor,
        image_index: Tensor,
        pyramid: Sequence[Tensor] = (),
        view_boundaries: Tensor | None = None,
    ) -> WordCrops:
        """See :meth:`WordRecognizer.crop`; the pyramid is not read."""
        if boundaries.is_meta:
            return WordCrops(sample_pixels(images, boundaries, image_index, (HEIGHT, self.counted_width)))
        places = grown(boundaries.detach().cpu().numpy(), self.margin)
        widths, boundaries = (
            torch.from_numpy(part).to(boundaries.device) for part in (crop_widths(places, self.width_ratio), places)
        )
        groups = _groups(widths)
        widest = max(groups, default=NOMINAL_WIDTH)
        pixels = boundaries.new_zeros((len(boundaries), 3, HEIGHT, widest))
        for width, words in groups.items():
            pixels[words, :, :, :width] = sample_pixels(images, boundaries[words], image_index[words], (HEIGHT, width))
        return WordCrops(pixels, widths=widths)

    def forward(self, crops: WordCrops, labels: Tensor) -> Recognition:
        """See :meth:`WordRecognizer.forward`; RoI features are the trunk's maps ``(N, C, 3, W / 4)``."""
        roi, context = self._encode(crops)
        return Recognition(roi, context, None, self.logits(context))

    def encode(self, crops: WordCrops) -> Tensor:
        """See :meth:`WordRecognizer.encode`."""
        return self._encode(crops)[1]

    def _encode(self, crops: WordCrops) -> tuple[Tensor, Tensor]:
        """RoI features and context, zeros behind the end of a word."""
        groups = {} if crops.widths is None else _groups(crops.widths)
        if not groups:  # one width; or no word, but what data-parallel training asks for: a gradient of every parameter
            return self.network.maps_and_context(crops.pixels)
        threads = inference_threads(crops.pixels.device)
        pieces = _divided(groups, threads)
        parts = side_by_side(lambda one: self.network.maps_and_context(crops.pixels[one[1], :, :, : one[0]]), pieces, threads)
        if len(parts) == 1:
            return parts[0]
        order = torch.cat([words for _, words in pieces]).argsort()
        maps = torch.cat([_padded(part, 3, max(m.shape[3] for m, _ in parts)) for part, _ in parts])
        context = torch.cat([_padded(part, 1, max(c.shape[1] for _, c in parts)) for _, part in parts])
        return maps[order], context[order]

    def logits(self, context: Tensor) -> Tensor:
        """CTC logits ``(N, T, V)``: behind the end of a word nothing but blanks, which changes no probability."""
        logits = self.network.output(context)
        behind = (context == 0).all(-1, keepdim=True)
        beyond = torch.full_like(logits[:1, :1], BEYOND)
        beyond[..., BLANK] = 0
        return torch.where(behind, beyond, logits)

    def read(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`WordRecognizer.read`."""
        labels, log_probability = ctc_greedy(self.logits(context))
        return labels, log_probability.exp()

    def paths(self, context: Tensor) -> list[np.ndarray]:
        """See :meth:`WordRecognizer.paths`."""
        columns = (context != 0).any(-1).sum(1).tolist()
        paths = self.logits(context).argmax(-1).cpu().numpy()
        return [path[:count] for path, count in zip(paths, columns, strict=True)]

    def weigh(self, context: Tensor, words: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`WordRecognizer.weigh`, by the forward algorithm."""
        return ctc_log_probability(self.logits(context)[words], labels)

    def graphs(self, images: Tensor, pyramid: Sequence[Tensor], boundaries: Tensor, stride: int) -> RecognizerGraphs:
        """See :meth:`WordRecognizer.graphs`; spellings are weighed by the columns that the graph gives."""
        return RecognizerGraphs(crop_reader_graph(self.network, self.max_length), None)

    def beams(self, context: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """See :meth:`WordRecognizer.beams`, by prefix beam search."""
        return ctc_beam_search(self.logits(context), count)


def _groups(widths: Tensor) -> dict[int, Tensor]:
    """Width -> the words ``(M,)`` int64 that have it."""
    return {width: (widths == width).nonzero()[:, 0] for width in widths.unique().tolist()}


def _divided(groups: dict[int, Tensor], parts: int) -> list[tuple[int, Tensor]]:
    """Widths and words of groups, none of more columns than a ``parts``-th of all where it can be divided; longest first."""
    share = sum(width * len(words) for width, words in groups.items()) / parts
    pieces = [(width, piece) for width, words in groups.items() for piece in words.split(ceil(share / width))]
    return sorted(pieces, key=lambda piece: -piece[0] * len(piece[1]))


def _padded(values: Tensor, dim: int, size: int) -> Tensor:
    """Zeros behind ``values`` along a dimension, until it has that size."""
    return F.pad(values, (0, 0) * (values.ndim - 1 - dim) + (0, size - values.shape[dim]))
