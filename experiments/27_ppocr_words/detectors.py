"""The two kinds of detectors that train_detector.py trains: how they start, what they learn from, how they are judged."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from crops import WEIGHTS, Recipe
from evaluate import LONGEST, Figures, best_score, evaluate, overlap_shares, reader, start
from torch import Tensor, nn
from torch.utils.data import Dataset

from dld_spotter.core.batches import DetectionMaps, Sample, TextInstances, Word
from dld_spotter.core.errors import ConfigError
from dld_spotter.data.photos import ReferenceSize
from dld_spotter.data.views import make_view, to_reference
from dld_spotter.inference.checkpoint import load_checkpoint
from dld_spotter.models.ppocr.detector import PPOCRDetector
from dld_spotter.models.spotter import MapSpotter, TextMapSpotter

WIDE_EVERY = 4
"""Steps per step of the 7x7 kernels: their gradient takes a fifth of the time on CPU; they are a hundredth of the weights."""
PHOTOS = {"icdar2015": 0.46, "ic03_train": 0.11, "svt_train": 0.07, "street": 0.13, "sroie": 0.06, "rendered": 0.17}
"""How often a crop comes from each source where further photos are given, or our own detector is trained."""
LEAST = 0.05
"""Words below this score are no candidates in the evaluation."""


class Detector(ABC):
    """A kind of detector."""

    @abstractmethod
    def start(self) -> nn.Module:
        """The network that training begins with."""

    @abstractmethod
    def recipe(self) -> Recipe:
        """How its crops are drawn."""

    @abstractmethod
    def learning(self, network: nn.Module) -> list[nn.Parameter]:
        """The weights that are trained; the others are frozen."""

    @abstractmethod
    def prepare(self, network: nn.Module, step: int) -> None:
        """Bring the network into the state that a step needs."""

    @abstractmethod
    def maps(self, network: nn.Module, images: Tensor) -> DetectionMaps:
        """Maps of uint8 images ``(B, 3, H, W)``."""

    @abstractmethod
    def evaluate(self, network: nn.Module, photos: Dataset[Sample], count: int, scale: float) -> Figures:
        """What it finds in the first ``count`` photos, and what is read there."""


class PPOCR(Detector):
    """PP-OCRv6 small's.

    Args:
        begin: checkpoint whose detector training begins with; None for PP-OCR's as it comes.
        weights: how often a crop comes from each source.
        scale: smallest and largest factor of a photo's size.
    """

    def __init__(
        self, begin: str | None = None, weights: Mapping[str, float] = WEIGHTS, scale: tuple[float, float] = Recipe.scale
    ) -> None:
        self.recognizer, self.weights, self.scale = reader(), weights, scale
        self.checkpoint = load_checkpoint(begin, "none") if begin else None

    def start(self) -> PPOCRDetector:
        """See :class:`Detector`."""
        if self.checkpoint is None:
            return start()
        detector = self.checkpoint.spotter().detector
        if not isinstance(detector, PPOCRDetector):
            raise ConfigError(f"{self.checkpoint.path} holds a detector that is not PP-OCR's; give it as --spotter")
        return detector

    def recipe(self) -> Recipe:
        """See :class:`Detector`."""
        return Recipe(weights=self.weights, scale=self.scale)

    def learning(self, network: nn.Module) -> list[nn.Parameter]:
        """All but the stem's: a fifth of the time, and edges are those of lines and words alike."""
        assert isinstance(network, PPOCRDetector)
        network.trunk.stem.requires_grad_(False)
        return [weight for name, weight in network.named_parameters() if not name.startswith("trunk.stem.")]

    def prepare(self, network: nn.Module, step: int) -> None:
        """See :class:`Detector`."""
        assert isinstance(network, PPOCRDetector)
        for smooth in network.neck.smooth:
            smooth[0].weight.requires_grad_(step % WIDE_EVERY == 0)

    def maps(self, network: nn.Module, images: Tensor) -> DetectionMaps:
        """See :class:`Detector`."""
        return DetectionMaps(network(images)[1])

    def evaluate(self, network: nn.Module, photos: Dataset[Sample], count: int, scale: float) -> Figures:
        """See :class:`Detector`."""
        assert isinstance(network, PPOCRDetector)
        return evaluate(network, self.recognizer, photos, count, scale)


class OfSpotter(Detector):
    """That of a spotter of ours whose recogniser reads pixels alone, and stays as it is.

    Args:
        path: the spotter's checkpoint.

    Raises:
        ConfigError: its recogniser reads features, which would change beneath it.
    """

    def __init__(self, path: Path) -> None:
        self.checkpoint = load_checkpoint(path, "none")
        if self.start().recognizer.reads_features:
            raise ConfigError(f"{path} has a recogniser that reads features; give a spotter with PP-OCR's (spotter=tiny_ppocr)")

    def start(self) -> TextMapSpotter:
        """See :class:`Detector`."""
        spotter = self.checkpoint.spotter()
        assert isinstance(spotter, TextMapSpotter)
        spotter.min_score = LEAST
        return spotter

    def recipe(self) -> Recipe:
        """See :class:`Detector`."""
        spotter = self.start()
        return Recipe(stride=spotter.map_stride, shrink=spotter.target_shrink, weights=PHOTOS)

    def learning(self, network: nn.Module) -> list[nn.Parameter]:
        """See :class:`Detector`."""
        assert isinstance(network, TextMapSpotter)
        network.recognizer.requires_grad_(False)
        return [weight for weight in network.parameters() if weight.requires_grad]

    def prepare(self, network: nn.Module, step: int) -> None:
        """See :class:`Detector`."""
        assert isinstance(network, TextMapSpotter)
        network.train()
        network.recognizer.eval()

    def maps(self, network: nn.Module, images: Tensor) -> DetectionMaps:
        """See :class:`Detector`."""
        assert isinstance(network, TextMapSpotter)
        return network.detect_maps(images)[1]

    def evaluate(self, network: nn.Module, photos: Dataset[Sample], count: int, scale: float) -> Figures:
        """See :class:`Detector`."""
        assert isinstance(network, MapSpotter)
        network.eval()
        truths: list[TextInstances] = []
        words: list[list[Word]] = []
        seconds = 0.0
        for index in range(count):
            sample = to_reference(photos[index], ReferenceSize(long=LONGEST))
            truths.append(sample.instances)
            began = time.perf_counter()
            words.append(spot(network, sample, scale))
            seconds += time.perf_counter() - began
        detection, detection_score = best_score(truths, words, "detection")
        reading, reading_score = best_score(truths, words, "end_to_end")
        shares = overlap_shares(truths, words)
        return Figures(*shares, network.target_shrink, detection, detection_score, reading, reading_score, seconds / count)


@torch.inference_mode()
def spot(spotter: MapSpotter, sample: Sample, scale: float) -> list[Word]:
    """Find words in a view of a sample, and read them from the sample itself."""
    view, full = (make_view([sample.image], factor, spotter.stride) for factor in (scale, 1.0))
    return spotter.spot(replace(view, full=full))[0]
