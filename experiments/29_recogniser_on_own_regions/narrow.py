"""PP-OCR's recogniser with fewer hidden channels."""

from torch import Tensor
from words import CHARSET

from dld_spotter.models.ppocr.narrowing import narrow_network
from dld_spotter.models.ppocr.reading import PPOCRWordRecognizer
from dld_spotter.models.ppocr.recognizer import GRAY, STAGES

SAMPLE = 384
"""Word crops by which hidden channels are chosen, at most."""


def narrowed(recognizer: PPOCRWordRecognizer, expansion: float, crops: Tensor) -> PPOCRWordRecognizer:
    """The recogniser with so many hidden channels per channel, by words ``(N, 3, 48, W)``."""
    network = recognizer.network.eval()
    narrow = PPOCRWordRecognizer(CHARSET, [stage.channels for stage in STAGES], network.outputs, expansion)
    narrow_network(network, narrow.network, crops.float() / GRAY - 1)
    return narrow
