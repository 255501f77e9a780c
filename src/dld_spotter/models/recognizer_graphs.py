"""Graphs of the recogniser with an attention decoder: its greedy search is a loop in the graph."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim

from dld_spotter.core.charset import END, PADDING, START
from dld_spotter.models.backbone import STRIDES
from dld_spotter.models.decoding import ctc_greedy, path_log_probability
from dld_spotter.models.graphs import LEVELS, Graph, RecognizerGraphs, multiples_of

if TYPE_CHECKING:
    from dld_spotter.models.attention_recognizer import AttentionDecoder, Memory, Recognizer


class RecognizerGraph(nn.Module):
    """Images, the pyramid of a view and N >= 1 words, to labels ``(N, L)``, mean probability per character, and context."""

    def __init__(self, recognizer: "Recognizer") -> None:
        super().__init__()
        self.recognizer = recognizer
        self.decoder = GreedyDecoder(recognizer.attention, recognizer.max_length + 1)

    def forward(
        self,
        images: Tensor,
        fine: Tensor,
        middle: Tensor,
        coarse: Tensor,
        boundaries: Tensor,
        image_boundaries: Tensor,
        image_index: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """All that costs per word; see :meth:`dld_spotter.models.attention_recognizer.Recognizer.crop`."""
        recognizer = self.recognizer
        context = recognizer.encode(recognizer.crop(images, image_boundaries, image_index, (fine, middle, coarse), boundaries))
        if recognizer.decoder == "ctc":
            labels, log_probability = ctc_greedy(recognizer.ctc(context))
        else:
            labels, log_probability = self.decoder(recognizer.attention.memorize(context))
        return labels, log_probability.exp(), context


class SpellerGraph(nn.Module):
    """Contexts of N words ``(N, T, C)``, the word ``(M,)`` that each text is tried on, and texts ``(M, L)``, to ``(M,)``."""

    def __init__(self, recognizer: "Recognizer") -> None:
        super().__init__()
        self.attention = recognizer.attention

    def forward(self, context: Tensor, words: Tensor, labels: Tensor) -> Tensor:
        """Log-probabilities, see :meth:`dld_spotter.models.word_recognizer.WordRecognizer.weigh`."""
        return path_log_probability(self.attention(context, labels, words), labels)


class GreedyDecoder(nn.Module):
    """Greedy search as a loop in the graph, which ends with the longest word.

    Like :func:`dld_spotter.models.decoding.greedy_search`, which a test compares it with.
    """

    inputs: Tensor

    def __init__(self, attention: "AttentionDecoder", length: int) -> None:
        super().__init__()
        self.attention, self.length = attention, length
        cell: Any = attention.recurrent
        # What the LSTM makes of each character, before it looks at its state: a table, as there are few characters.
        inputs = F.linear(attention.embed.weight, cell.weight_ih_l0, cell.bias_ih_l0 + cell.bias_hh_l0)
        self.register_buffer("inputs", inputs.detach())

    def forward(self, memory: "Memory") -> tuple[Tensor, Tensor]:
        """Labels ``(N, L)`` and the mean log-probability per character ``(N,)``."""
        words = memory[0].shape[0]
        state = memory[0].new_zeros(words, self.attention.recurrent.hidden_size)
        carried = (
            torch.zeros((), dtype=torch.int64),
            torch.full((words,), START),
            state,
            state.clone(),
            torch.zeros(words, dtype=torch.bool),
            state.new_zeros(words),
            state.new_zeros(words),
            torch.full((words, self.length), PADDING),
        )

        def unfinished(step: Tensor, tokens: Tensor, h: Tensor, c: Tensor, ended: Tensor, *_: Tensor) -> Tensor:
            return (step < self.length) & ~ended.all()

        def write(
            step: Tensor, tokens: Tensor, h: Tensor, c: Tensor, ended: Tensor, total: Tensor, count: Tensor, labels: Tensor
        ) -> tuple[Tensor, ...]:
            cell: Any = self.attention.recurrent
            gates: Tensor = self.inputs[tokens] + h @ cell.weight_hh_l0.t()
            i, f, g, o = gates.chunk(4, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            logits = self.attention.attend(h[:, None], memory)[:, 0]
            best, tokens = (logits.log_softmax(dim=-1) + self.attention.never_written).max(dim=-1)
            tokens = torch.where(ended, PADDING, tokens)
            total, count = total + torch.where(ended, 0.0, best), count + (~ended).float()
            labels = torch.where(torch.arange(self.length)[None] == step, tokens[:, None], labels)
            return step + 1, tokens, h, c, ended | (tokens == END), total, count, labels

        *_, total, count, labels = torch.while_loop(unfinished, write, carried)  # type: ignore[no-untyped-call]
        return labels, total / count.clamp(min=1)


def recognizer_graphs(
    recognizer: "Recognizer", images: Tensor, pyramid: Sequence[Tensor], boundaries: Tensor, stride: int
) -> RecognizerGraphs:
    """See :meth:`dld_spotter.models.word_recognizer.WordRecognizer.graphs`; the images may be larger than the view."""
    words, texts = Dim("words", max=2**16), Dim("texts", max=2**16)
    inputs = {"images": F.pad(images, (0, 96, 0, 64))} | dict(zip(LEVELS, pyramid, strict=True))
    inputs |= {"boundaries": boundaries, "image_boundaries": 2 * boundaries, "image_index": torch.tensor([0, 1, 1])}
    levels = [multiples_of(stride, "rows", "columns", level) for level in STRIDES[: len(pyramid)]]
    shapes = [multiples_of(stride, "image_rows", "image_columns"), *levels, {0: words}, {0: words}, {0: words}]
    reader = Graph(RecognizerGraph(recognizer).eval(), inputs, shapes, ["labels", "scores", "context"], strict=True)
    labels = torch.full((5, recognizer.max_length + 1), END)
    context = torch.zeros(3, recognizer.encoder.size[1], recognizer.encoder.outputs)
    inputs = {"context": context, "words": torch.tensor([0, 0, 1, 2, 2]), "labels": labels}
    shapes = [{0: words}, {0: texts}, {0: texts}]
    return RecognizerGraphs(reader, Graph(SpellerGraph(recognizer).eval(), inputs, shapes, ["log_probability"], strict=True))
