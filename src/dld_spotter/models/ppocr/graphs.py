"""The graph of PP-OCR's recogniser: one image and words of one width in it, to the columns of its CTC head."""

import torch
from torch import Tensor, nn
from torch.export import Dim

from dld_spotter.models.graphs import SIDE, Graph
from dld_spotter.models.ppocr.recognizer import PPOCRRecognizer
from dld_spotter.models.ppocr.widths import COLUMN, HEIGHT, NOMINAL_WIDTH
from dld_spotter.models.roi import sample_crops


class CropReaderGraph(nn.Module):
    """One image, N >= 1 words of one width in it, and as many positions as their crops have columns, to CTC columns."""

    def __init__(self, network: PPOCRRecognizer) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, boundaries: Tensor, positions: Tensor) -> Tensor:
        """Map ``(1, 3, H, W)``, ``(N, 2, K, 2)`` and ``(W',)`` of any values to log-probabilities ``(N, W' / 8, V)``."""
        index = torch.zeros_like(boundaries[:, 0, 0, 0], dtype=torch.int64)
        crops = sample_crops([image], (1,), boundaries, index, (HEIGHT, positions.shape[0]))
        columns: Tensor = self.network(crops).log_softmax(-1)
        return columns


def crop_reader_graph(network: PPOCRRecognizer, max_length: int) -> Graph:
    """The graph, for words of at most ``max_length`` columns."""
    words, points, steps = Dim("words", max=2**16), Dim("points", min=2, max=1024), Dim("steps", min=2, max=max_length)
    height, width = (Dim(name, min=8, max=SIDE) for name in ("height", "width"))
    inputs = {"image": torch.zeros(1, 3, 64, 96), "boundaries": torch.rand(3, 2, 8, 2) * 60}
    inputs["positions"] = torch.zeros(NOMINAL_WIDTH)
    shapes = [{2: height, 3: width}, {0: words, 2: points}, {0: COLUMN * steps}]
    return Graph(CropReaderGraph(network).eval(), inputs, shapes, ["log_probabilities"], strict=True)
