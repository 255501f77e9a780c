"""What a family exports: its networks with what an exporter must know of them. Batch, sizes and number of words are free."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim

if TYPE_CHECKING:
    from dld_spotter.models.spotter import MapSpotter

SIDE = 2**14
"""Most rows and columns of an image."""
LEVELS = ("fine", "middle", "coarse")
"""Names of a pyramid's maps, at strides 4, 8 and 16."""


@dataclass(frozen=True, eq=False)
class Graph:
    """One network to be exported.

    Args:
        module: the network, in evaluation mode.
        inputs: an example of each input, by name.
        shapes: of each input the free dimensions.
        outputs: names.
        strict: whether it has to be captured strictly, as what holds a loop has.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    shapes: list[dict[int, Dim]]
    outputs: Sequence[str]
    strict: bool = False


class RecognizerGraphs(NamedTuple):
    """Reads words that are cut out of a view; and weighs other spellings of them, None where that takes no network."""

    recognizer: Graph
    rescorer: Graph | None


class SpotterGraphs(NamedTuple):
    """Finds words; and, with the text map decoded in between, reads them, see :class:`RecognizerGraphs`."""

    detector: Graph
    recognizer: Graph
    rescorer: Graph | None


class DetectorGraph(nn.Module):
    """uint8 images ``(B, 3, H, W)`` to their text map ``(B, H/s, W/s)`` in 0..1 and, for recognisers that read it, pyramid."""

    def __init__(self, spotter: "MapSpotter") -> None:
        super().__init__()
        self.spotter = spotter

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """All that costs per pixel."""
        (_, *pyramid), maps = self.spotter.detect_maps(images)
        return (maps.text.sigmoid(), *pyramid) if self.spotter.recognizer.reads_features else (maps.text.sigmoid(),)


def map_spotter_graphs(spotter: "MapSpotter") -> SpotterGraphs:
    """The detector, by examples of two images, and what the recogniser says of itself, by three words in them."""
    images = torch.zeros(2, 3, 64, 96, dtype=torch.uint8)
    detector = DetectorGraph(spotter).eval()
    with torch.no_grad():
        _, *pyramid = detector(images)
    shape = multiples_of(spotter.stride, "rows", "columns")
    graph = Graph(detector, {"images": images}, [shape], ["text", *LEVELS[: len(pyramid)]])
    boundaries = torch.rand(3, 2, spotter.postprocess.points, 2) * 60
    return SpotterGraphs(graph, *spotter.recognizer.graphs(images, pyramid, boundaries, spotter.stride))


def multiples_of(stride: int, rows: str, columns: str, level: int = 1) -> dict[int, Dim]:
    """Free dimensions of maps ``(B, C, H, W)`` at stride ``level`` of images whose sides are multiples of a stride.

    Args:
        stride: of the images.
        rows: name of their number of strides down; maps of one name are of the same images.
        columns: the same across.
        level: pixels of the images per cell.
    """
    down, across = (Dim(name, min=1, max=SIDE // stride) for name in (rows, columns))
    return {0: Dim("batch", max=2**12), 2: stride // level * down, 3: stride // level * across}
