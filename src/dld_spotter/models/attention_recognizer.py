"""Reading words from rectified crops: convolutions, BiLSTM, attention decoder, CTC as auxiliary head.

A crop joins two sources: features of the pyramid, as in the paper, and the view's own pixels along the same grid.
Pixels cost per word, not per image, and keep strokes apart that a stride-4 map of a small view has already merged.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_spotter.core.batches import Recognition, WordCrops
from dld_spotter.core.charset import PADDING, START
from dld_spotter.core.errors import ConfigError
from dld_spotter.models.backbone import STRIDES
from dld_spotter.models.decoding import State, beam_search, ctc_greedy, greedy_search, path_log_probability
from dld_spotter.models.graphs import RecognizerGraphs
from dld_spotter.models.neck import conv_block
from dld_spotter.models.recognizer_graphs import recognizer_graphs
from dld_spotter.models.roi import sample_crops, sample_pixels
from dld_spotter.models.word_recognizer import WordRecognizer, pixel_statistics

Memory = tuple[Tensor, Tensor]
"""Keys and values ``(N, T, hidden)`` that a decoder attends to."""


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside the identity (ResNet, arXiv 1512.03385); untrained, it changes nothing.

    So a trained encoder can be given further blocks and go on from what it knows.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv_block(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        nn.init.zeros_(self.second[1].weight)

    def forward(self, maps: Tensor) -> Tensor:
        """Refine ``(N, C, h, w)`` maps that are nowhere negative."""
        return F.relu(maps + self.second(self.first(maps)))


class CropEncoder(nn.Module):
    """From a view and its words to RoI features ``(N, C, 8, 32)`` and their context ``(N, 32, 2 * hidden)``.

    Args:
        inputs: channels of the pyramid.
        channels: channels C of the RoI features.
        widths: channels of the three convolutions that fold the rows into one.
        hidden: hidden size per direction of the BiLSTM.
        layers: BiLSTM layers.
        size: rows and columns of the RoI features.
        blocks: residual blocks behind the first and the second of the three convolutions.
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        widths: Sequence[int],
        hidden: int,
        layers: int = 1,
        size: tuple[int, int] = (8, 32),
        blocks: Sequence[int] = (0, 0),
    ) -> None:
        super().__init__()
        self.size = tuple(size)
        if self.size[0] != 8 or len(widths) != 3 or len(blocks) != 2 or min(blocks) < 0:
            raise ConfigError(
                "a word crop must have 8 rows, spotter.widths 3 numbers and spotter.blocks 2 of at least 0, "
                f"found {tuple(size)}, {list(widths)} and {list(blocks)}"
            )
        self.pixels = nn.Sequential(conv_block(3, channels // 2, stride=2), conv_block(channels // 2, channels, stride=2))
        self.features = nn.Sequential(nn.Conv2d(inputs, channels, 1, bias=False), nn.BatchNorm2d(channels))
        first, second, third = widths
        self.fold = nn.Sequential(
            conv_block(channels, first, stride=(2, 1)),
            conv_block(first, second, stride=(2, 1)),
            conv_block(second, third, kernel=(2, 3)),
        )
        self.refine = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(width) for _ in range(count)))
            for width, count in zip((first, second), blocks, strict=True)
        )
        self.sequence = nn.LSTM(third, hidden, layers, batch_first=True, bidirectional=True)
        self.outputs = 2 * hidden

    def cut(
        self,
        images: Tensor,
        pyramid: Sequence[Tensor],
        strides: Sequence[int],
        boundaries: Tensor,
        image_index: Tensor,
        image_boundaries: Tensor | None = None,
    ) -> WordCrops:
        """Cut N words out of images, and out of the pyramid of a view of them.

        Args:
            images: ``(B, 3, H, W)`` what the words' pixels are taken from.
            pyramid: maps at ``strides``.
            strides: pixels of the view per cell of the maps.
            boundaries: ``(N, 2, K, 2)`` pixels of the view.
            image_index: ``(N,)`` int64.
            image_boundaries: the same sides in pixels of ``images``, where these have another resolution than the view.
        """
        rows, columns = self.size
        image_boundaries = boundaries if image_boundaries is None else image_boundaries
        pixels = sample_pixels(images, image_boundaries, image_index, (4 * rows, 4 * columns))
        return WordCrops(pixels, sample_crops(pyramid, strides, boundaries, image_index, self.size))

    def forward(self, crops: WordCrops) -> tuple[Tensor, Tensor]:
        """Encode N words."""
        roi = F.relu(self.pixels(crops.pixels) + self.features(crops.features))
        maps = roi
        for fold, refine in zip(self.fold, (*self.refine, nn.Identity()), strict=True):
            maps = refine(fold(maps))
        columns_first = maps.squeeze(2).transpose(1, 2)
        context, _ = self.sequence(columns_first)
        return roi, context


class AttentionDecoder(nn.Module):
    """LSTM over the characters so far, attention over the columns (Luong et al., arXiv 1508.04025).

    The recurrence does not read the attended context, so all steps of training run as one LSTM call and one matrix product.

    Args:
        inputs: channels of the context.
        hidden: size of the LSTM.
        classes: size of the charset.
        columns: columns of the context.
    """

    never_written: Tensor

    def __init__(self, inputs: int, hidden: int, classes: int, columns: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(classes, hidden)
        self.recurrent = nn.LSTM(hidden, hidden, batch_first=True)
        self.position = nn.Parameter(torch.randn(columns, hidden) * 0.02)
        self.key = nn.Linear(inputs, hidden)
        self.value = nn.Linear(inputs, hidden)
        self.output = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, classes))
        self.scale = 1 / math.sqrt(hidden)
        never_written = torch.zeros(classes)
        never_written[[PADDING, START]] = float("-inf")
        self.register_buffer("never_written", never_written, persistent=False)

    def memorize(self, context: Tensor) -> Memory:
        """Keys and values ``(N, T, hidden)`` of a context ``(N, T, C)``; the same at every step, so computed once."""
        return self.key(context) + self.position, self.value(context)

    def attend(self, queries: Tensor, memory: Memory) -> Tensor:
        """Map queries ``(N, L, hidden)`` and what is attended to, to logits ``(N, L, V)``."""
        keys, values = memory
        weights = (queries @ keys.transpose(1, 2) * self.scale).softmax(dim=-1)
        return self.output(torch.cat([queries, weights @ values], dim=-1))

    def forward(self, context: Tensor, labels: Tensor, words: Tensor | None = None) -> Tensor:
        """Teacher forcing: logits ``(M, L, V)`` of ``labels`` ``(M, L)`` given the characters before each.

        Args:
            context: ``(N, T, C)``.
            labels: of M texts.
            words: ``(M,)`` int64, the word that each text is tried on; None where there is one text for each word.
        """
        previous = F.pad(labels[:, :-1], (1, 0), value=START)
        queries, _ = self.recurrent(self.embed(previous))
        keys, values = self.memorize(context)
        return self.attend(queries, (keys, values) if words is None else (keys[words], values[words]))

    def start(self, words: int, device: torch.device) -> State:
        """State before the first character."""
        zeros = torch.zeros(1, words, self.recurrent.hidden_size, device=device)
        return zeros, zeros

    def step(self, memory: Memory, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """One character further: log-probabilities ``(M, V)`` and the next state."""
        queries, state = self.recurrent(self.embed(tokens)[:, None], state)
        return F.log_softmax(self.attend(queries, memory)[:, 0].float(), dim=-1) + self.never_written, state


class Recognizer(WordRecognizer):
    """Crop encoder with an attention decoder and a CTC head over the same context.

    Args:
        encoder: the crop encoder.
        classes: size of the charset.
        hidden: size of the attention decoder.
        max_length: most characters of a word.
        decoder: which head :meth:`read` trusts, ``attention`` or ``ctc``.
    """

    def __init__(
        self, encoder: CropEncoder, classes: int, hidden: int, max_length: int = 25, decoder: str = "attention"
    ) -> None:
        super().__init__()
        if decoder not in ("attention", "ctc"):
            raise ConfigError(f"recognizer.decoder must be attention or ctc, found {decoder}")
        self.encoder = encoder
        self.attention = AttentionDecoder(encoder.outputs, hidden, classes, encoder.size[1])
        self.ctc = nn.Linear(encoder.outputs, classes)
        self.max_length = max_length
        self.decoder = decoder
        for name, value in zip(("mean", "std"), pixel_statistics(), strict=True):
            self.register_buffer(name, value, persistent=False)

    def crop(
        self,
        images: Tensor,
        boundaries: Tensor,
        image_index: Tensor,
        pyramid: Sequence[Tensor] = (),
        view_boundaries: Tensor | None = None,
    ) -> WordCrops:
        """See :meth:`WordRecognizer.crop`."""
        own = boundaries if view_boundaries is None else view_boundaries
        crops = self.encoder.cut(images, pyramid, STRIDES[: len(pyramid)], own, image_index, boundaries)
        # Normalising commutes with averages: rather a few word crops than the whole image.
        return WordCrops((crops.pixels - self.mean) / self.std, crops.features)

    def forward(self, crops: WordCrops, labels: Tensor) -> Recognition:
        """Recognise words whose text ``labels`` ``(N, L)`` is given (teacher forcing)."""
        roi, context = self.encoder(crops)
        return Recognition(roi, context, self.attention(context, labels), self.ctc(context))

    def encode(self, crops: WordCrops) -> Tensor:
        """See :meth:`WordRecognizer.encode`."""
        return self.encoder(crops)[1]

    def weigh(self, context: Tensor, words: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`WordRecognizer.weigh`."""
        return path_log_probability(self.attention(context, labels, words), labels)

    def graphs(self, images: Tensor, pyramid: Sequence[Tensor], boundaries: Tensor, stride: int) -> RecognizerGraphs:
        """See :meth:`WordRecognizer.graphs`."""
        return recognizer_graphs(self, images, pyramid, boundaries, stride)

    def read(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`WordRecognizer.read`."""
        if self.decoder == "ctc":
            labels, log_probability = ctc_greedy(self.ctc(context))
        else:
            memory = self.attention.memorize(context)
            labels, log_probability = greedy_search(
                lambda tokens, state, _: self.attention.step(memory, tokens, state),
                self.attention.start(len(context), context.device),
                len(context),
                self.max_length + 1,
                context.device,
            )
        return labels, log_probability.exp()

    def beams(self, context: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Likeliest ``count`` sequences of every word, see :func:`dld_spotter.models.decoding.beam_search`."""
        keys, values = (part.repeat_interleave(count, dim=0) for part in self.attention.memorize(context))
        return beam_search(
            lambda tokens, state, _: self.attention.step((keys, values), tokens, state),
            self.attention.start(len(context), context.device),
            len(context),
            self.max_length + 1,
            count,
            context.device,
        )
