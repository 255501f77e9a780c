"""The trained networks as ONNX graphs, whose batch, height, width and number of words are free.

``detector.onnx`` finds words, ``recognizer.onnx`` reads those that were cut out of the text map in between, ``rescorer.onnx``
weighs other spellings of them, and ``selector.onnx`` judges the scales from a thumbnail. Which graphs a spotter has, its family
says (:meth:`dld_spotter.models.spotter.Spotter.graphs`).
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dld_spotter.inference.onnx_meta import DETECTOR, RECOGNIZER, RESCORER, SELECTOR
from dld_spotter.models.graphs import Graph
from dld_spotter.models.spotter import Spotter
from dld_spotter.selection.selector import Selector


class SelectorGraph(nn.Module):
    """Thumbnails and sizes to the losses of each scale ``(B, heads, K)``, see :meth:`Selector.judge`."""

    def __init__(self, selector: Selector) -> None:
        super().__init__()
        self.selector = selector

    def forward(self, thumbnails: Tensor, sizes: Tensor) -> Tensor:
        """Judge every scale."""
        return self.selector.judge(thumbnails, sizes)


EARLIER_NAMES = ("student.onnx", "speller.onnx")
"""Graphs of exports before format 9, which nothing reads any more."""


def export_spotter(spotter: Spotter, folder: Path) -> None:
    """Write ``detector.onnx``, ``recognizer.onnx`` and, where other spellings take a network, ``rescorer.onnx``.

    Raises:
        ConfigError: this family of spotters has no graphs.
    """
    graphs = spotter.graphs()
    for name in EARLIER_NAMES:
        (folder / name).unlink(missing_ok=True)
    _write(folder / DETECTOR, graphs.detector)
    _write(folder / RECOGNIZER, graphs.recognizer)
    if graphs.rescorer is None:
        (folder / RESCORER).unlink(missing_ok=True)  # of an earlier export
    else:
        _write(folder / RESCORER, graphs.rescorer)


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
    _write(folder / SELECTOR, Graph(graph, inputs, [{0: batch}, {0: batch}], ["losses"]))
    return {"continuous": selector.continuous, "scales": list(selector.scales), "gammas": list(selector.gammas)}


def _write(path: Path, graph: Graph) -> None:
    """Write one graph, whole or not at all, its weights inside."""
    inputs, shapes = tuple(graph.inputs.values()), tuple(graph.shapes)
    names, outputs = list(graph.inputs), list(graph.outputs)
    with _quiet(), torch.no_grad():
        captured = torch.export.export(graph.module, inputs, dynamic_shapes=shapes, strict=graph.strict)
        program: Any = torch.onnx.export(captured, input_names=names, output_names=outputs, dynamo=True, verbose=False)
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
