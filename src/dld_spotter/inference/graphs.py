"""The trained networks as ONNX graphs, whose batch, height, width and number of words are free.

``student.onnx`` finds words, ``recognizer.onnx`` reads those that were cut out of the text map in between, ``speller.onnx``
weighs other spellings of them, and ``selector.onnx`` judges the scales from a thumbnail. Recognisers that read pixels alone
give the probabilities of their CTC columns, and need no speller.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_spotter.core.charset import END, PADDING, START
from dld_spotter.core.errors import ConfigError
from dld_spotter.inference.onnx_meta import DETECTOR, RECOGNIZER, SELECTOR, SPELLER
from dld_spotter.models.decoding import ctc_greedy, path_log_probability
from dld_spotter.models.ppocr.reading import PPOCRWordRecognizer
from dld_spotter.models.ppocr.widths import COLUMN, HEIGHT, NOMINAL_WIDTH
from dld_spotter.models.recognizer import AttentionDecoder, Memory
from dld_spotter.models.roi import sample_crops
from dld_spotter.models.spotter import MapSpotter, Spotter, TextMapSpotter
from dld_spotter.selection.selector import Selector

_SIDE = 2**14
"""Most rows and columns of an image."""


class DetectorGraph(nn.Module):
    """uint8 images ``(B, 3, H, W)`` to their text map ``(B, H/s, W/s)`` in 0..1 and, for recognisers that read it, pyramid."""

    def __init__(self, spotter: MapSpotter) -> None:
        super().__init__()
        self.spotter = spotter

    def forward(self, images: Tensor) -> tuple[Tensor, ...] | Tensor:
        """All that costs per pixel."""
        (_, *pyramid), maps = self.spotter.detect_maps(images)
        return (maps.text.sigmoid(), *pyramid) if self.spotter.recognizer.reads_features else maps.text.sigmoid()


class RecognizerGraph(nn.Module):
    """Images, the pyramid of a view and N >= 1 words, to labels ``(N, L)``, mean probability per character, and context."""

    def __init__(self, spotter: TextMapSpotter) -> None:
        super().__init__()
        self.spotter = spotter
        recognizer: Any = spotter.recognizer  # here and below: to a type checker a part of a module may be anything
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
        """All that costs per word; see :meth:`dld_spotter.models.recognizer.Recognizer.crop`."""
        recognizer: Any = self.spotter.recognizer
        context = recognizer.encode(recognizer.crop(images, image_boundaries, image_index, (fine, middle, coarse), boundaries))
        if recognizer.decoder == "ctc":
            labels, log_probability = ctc_greedy(recognizer.ctc(context))
        else:
            labels, log_probability = self.decoder(recognizer.attention.memorize(context))
        return labels, log_probability.exp(), context


class CropReaderGraph(nn.Module):
    """One image, N >= 1 words of one width in it, and as many positions as their crops have columns, to CTC columns."""

    def __init__(self, recognizer: PPOCRWordRecognizer) -> None:
        super().__init__()
        self.network = recognizer.network

    def forward(self, image: Tensor, boundaries: Tensor, positions: Tensor) -> Tensor:
        """Map ``(1, 3, H, W)``, ``(N, 2, K, 2)`` and ``(W',)`` of any values to log-probabilities ``(N, W' / 8, V)``."""
        index = torch.zeros_like(boundaries[:, 0, 0, 0], dtype=torch.int64)
        crops = sample_crops([image], (1,), boundaries, index, (HEIGHT, positions.shape[0]))
        columns: Tensor = self.network(crops).log_softmax(-1)
        return columns


class SpellerGraph(nn.Module):
    """Contexts of N words ``(N, T, C)``, the word ``(M,)`` that each text is tried on, and texts ``(M, L)``, to ``(M,)``."""

    def __init__(self, spotter: TextMapSpotter) -> None:
        super().__init__()
        recognizer: Any = spotter.recognizer
        self.attention: AttentionDecoder = recognizer.attention

    def forward(self, context: Tensor, words: Tensor, labels: Tensor) -> Tensor:
        """Log-probabilities, see :meth:`dld_spotter.models.spotter.Spotter.weigh`."""
        return path_log_probability(self.attention(context, labels, words), labels)


class GreedyDecoder(nn.Module):
    """Greedy search as a loop in the graph, which ends with the longest word.

    Like :func:`dld_spotter.models.decoding.greedy_search`, which a test compares it with.
    """

    inputs: Tensor

    def __init__(self, attention: AttentionDecoder, length: int) -> None:
        super().__init__()
        self.attention, self.length = attention, length
        cell: Any = attention.recurrent
        # What the LSTM makes of each character, before it looks at its state: a table, as there are few characters.
        inputs = F.linear(attention.embed.weight, cell.weight_ih_l0, cell.bias_ih_l0 + cell.bias_hh_l0)
        self.register_buffer("inputs", inputs.detach())

    def forward(self, memory: Memory) -> tuple[Tensor, Tensor]:
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


class SelectorGraph(nn.Module):
    """Thumbnails and sizes to the losses of each scale ``(B, heads, K)``, see :meth:`Selector.judge`."""

    def __init__(self, selector: Selector) -> None:
        super().__init__()
        self.selector = selector

    def forward(self, thumbnails: Tensor, sizes: Tensor) -> Tensor:
        """Judge every scale."""
        return self.selector.judge(thumbnails, sizes)


def export_spotter(spotter: Spotter, folder: Path) -> None:
    """Write ``student.onnx``, ``recognizer.onnx`` and, for recognisers that read features, ``speller.onnx``.

    Raises:
        ConfigError: this family of spotters has no graphs.
    """
    if isinstance(spotter, MapSpotter) and isinstance(spotter.recognizer, PPOCRWordRecognizer):
        _export_crop_reader(spotter, spotter.recognizer, folder)
        return
    if not isinstance(spotter, TextMapSpotter):
        raise ConfigError(f"export knows no graphs of {type(spotter).__name__}; give the checkpoint of a TextMapSpotter")
    detector = DetectorGraph(spotter).eval()
    images = torch.zeros(2, 3, 64, 96, dtype=torch.uint8)
    with torch.no_grad():
        _, *pyramid = detector(images)
    batch, words = torch.export.Dim("batch", max=2**12), torch.export.Dim("words", max=2**16)
    rows, columns = (torch.export.Dim(name, min=1, max=_SIDE // spotter.stride) for name in ("rows", "columns"))

    def shape(stride: int) -> dict[int, torch.export.Dim]:
        cells = spotter.stride // stride
        return {0: batch, 2: cells * rows, 3: cells * columns}

    levels = [shape(stride) for stride in (4, 8, 16)]
    _write(folder / DETECTOR, detector, {"images": images}, [shape(1)], ["text", "fine", "middle", "coarse"])
    boundaries = torch.rand(3, 2, spotter.postprocess.points, 2) * 60
    inputs = dict(zip(("fine", "middle", "coarse"), pyramid, strict=True))
    inputs |= {"boundaries": boundaries, "image_boundaries": 2 * boundaries, "image_index": torch.tensor([0, 1, 1])}
    own: Any = spotter.recognizer
    recognizer, encoder = RecognizerGraph(spotter).eval(), own.encoder
    tall, wide = (torch.export.Dim(name, min=1, max=_SIDE // spotter.stride) for name in ("image_rows", "image_columns"))
    full = {0: batch, 2: spotter.stride * tall, 3: spotter.stride * wide}
    shapes = [full, *levels, {0: words}, {0: words}, {0: words}]
    _write(
        folder / RECOGNIZER,
        recognizer,
        {"images": F.pad(images, (0, 96, 0, 64))} | inputs,
        shapes,
        ["labels", "scores", "context"],
        strict=True,
    )
    context = torch.zeros(3, encoder.size[1], encoder.outputs)
    labels = torch.full((5, spotter.recognizer.max_length + 1), END)
    tried = {"context": context, "words": torch.tensor([0, 0, 1, 2, 2]), "labels": labels}
    texts = torch.export.Dim("texts", max=2**16)
    shapes = [{0: words}, {0: texts}, {0: texts}]
    _write(folder / SPELLER, SpellerGraph(spotter).eval(), tried, shapes, ["log_probability"], strict=True)


def _export_crop_reader(spotter: MapSpotter, recognizer: PPOCRWordRecognizer, folder: Path) -> None:
    """The graphs of a spotter whose recogniser reads pixels alone."""
    (folder / SPELLER).unlink(missing_ok=True)  # of an earlier export
    batch, words = torch.export.Dim("batch", max=2**12), torch.export.Dim("words", max=2**16)
    rows, columns = (torch.export.Dim(name, min=1, max=_SIDE // spotter.stride) for name in ("rows", "columns"))
    images = torch.zeros(2, 3, 64, 96, dtype=torch.uint8)
    shape = {0: batch, 2: spotter.stride * rows, 3: spotter.stride * columns}
    _write(folder / DETECTOR, DetectorGraph(spotter).eval(), {"images": images}, [shape], ["text"])
    steps = torch.export.Dim("steps", min=2, max=recognizer.max_length)
    height, width = (torch.export.Dim(name, min=8, max=_SIDE) for name in ("height", "width"))
    points = torch.export.Dim("points", min=2, max=1024)
    boundaries = torch.rand(3, 2, 8, 2) * 60
    inputs = {"image": torch.zeros(1, 3, 64, 96), "boundaries": boundaries, "positions": torch.zeros(NOMINAL_WIDTH)}
    shapes = [{2: height, 3: width}, {0: words, 2: points}, {0: COLUMN * steps}]
    reader = CropReaderGraph(recognizer).eval()
    _write(folder / RECOGNIZER, reader, inputs, shapes, ["log_probabilities"], strict=True)


def export_selector(selector: Selector, folder: Path) -> dict[str, Any]:
    """Write ``selector.onnx``.

    Returns:
        what must be known to choose by it.

    Raises:
        ConfigError: this family of selectors has no graph.
    """
    graph = SelectorGraph(selector).eval()
    batch, side = torch.export.Dim("batch", max=2**12), selector.thumbnail
    inputs = {
        "thumbnails": torch.zeros(2, 3, side, side, dtype=torch.uint8),
        "sizes": torch.tensor([[480, 640], [64, 96]]),
    }
    with torch.no_grad():
        graph(*inputs.values())
    _write(folder / SELECTOR, graph, inputs, [{0: batch}, {0: batch}], ["losses"])
    return {"continuous": selector.continuous, "scales": list(selector.scales), "gammas": list(selector.gammas)}


def _write(
    path: Path,
    module: nn.Module,
    inputs: dict[str, Tensor],
    shapes: list[dict[int, torch.export.Dim]],
    outputs: list[str],
    strict: bool = False,
) -> None:
    """Write one graph, whole or not at all, its weights inside; loops have to be captured strictly."""
    with _quiet(), torch.no_grad():
        captured = torch.export.export(module, tuple(inputs.values()), dynamic_shapes=tuple(shapes), strict=strict)
        program: Any = torch.onnx.export(captured, input_names=list(inputs), output_names=outputs, dynamo=True, verbose=False)
    partial = path.with_suffix(".partial")
    program.save(partial, external_data=False)
    partial.replace(path)


def quantize(path: Path) -> None:
    """Replace a graph by one whose weights are 8-bit integers; what flows through it is quantised as it comes."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    partial = path.with_suffix(".partial")
    with _quiet():
        quantize_dynamic(path, partial, weight_type=QuantType.QUInt8)
    partial.replace(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what exporters tell about each of hundreds of nodes, and what one part of torch deprecates in another."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
