"""Families that find words in a text map: what they share, and the first of them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dld_spotter.core.batches import DetectionMaps, DetectionTargets, View
from dld_spotter.core.charset import Charset
from dld_spotter.models.attention_recognizer import CropEncoder, Recognizer
from dld_spotter.models.backbone import STRIDES, Backbone
from dld_spotter.models.contract import Features as Features
from dld_spotter.models.contract import FullResolution as FullResolution
from dld_spotter.models.contract import Source as Source
from dld_spotter.models.contract import Spotter as Spotter
from dld_spotter.models.contract import full_resolution as full_resolution
from dld_spotter.models.crop_spotter import CropSpotter
from dld_spotter.models.detections import Detections
from dld_spotter.models.detector import TextMapDecoder, TextMapHead
from dld_spotter.models.graphs import SpotterGraphs, map_spotter_graphs
from dld_spotter.models.neck import FeaturePyramid
from dld_spotter.models.proposals import MAP_STRIDE
from dld_spotter.models.vocabulary import Vocabulary, least_score
from dld_spotter.models.word_recognizer import WordRecognizer, pixel_statistics


class MapSpotter(CropSpotter):
    """What families share that find words in a text map and read crops of them.

    Attributes:
        postprocess: text map to words.
        map_stride: pixels of a view per cell of its text map, which training draws targets for.
        target_shrink: ratio by which these targets shrink words.
    """

    postprocess: TextMapDecoder
    map_stride: int = MAP_STRIDE
    target_shrink: float
    has_text_map = True

    @property
    def target_settings(self) -> dict[str, Any]:
        """See :attr:`Spotter.target_settings`."""
        return {"shrink": self.target_shrink, "map_stride": self.map_stride}

    def detection_loss(self, maps: DetectionMaps, targets: DetectionTargets, text_map: Callable[..., Tensor]) -> Tensor:
        """See :meth:`Spotter.detection_loss`: the one that the run has configured."""
        return text_map(maps, targets)

    def graphs(self) -> SpotterGraphs:
        """See :meth:`Spotter.graphs`."""
        return map_spotter_graphs(self)

    @torch.inference_mode()
    def detect(self, view: View, keep_all: bool = False) -> list[Detections]:
        """See :meth:`Spotter.detect`."""
        min_score = 0.0 if keep_all else self.min_score
        features, maps = self.detect_maps(view.images)
        full = full_resolution(view)
        text = maps.text.float().sigmoid()
        probabilities = text.cpu().numpy()
        fine = self.map_stride < MAP_STRIDE  # what a second pass is decided on has the usual stride
        coarse = F.avg_pool2d(text, MAP_STRIDE // self.map_stride).cpu().numpy() if fine else probabilities
        least = least_score(min_score, self.vocabulary)
        detections = []
        for row, ((height, width), factors) in enumerate(zip(view.sizes.tolist(), view.factors.cpu().numpy(), strict=True)):
            proposals = self.postprocess(probabilities[row], height, width, least).promising(least)
            source = Source(row, features, full)
            detections.append(Detections((height, width), coarse[row], proposals, factors, source, min_score))
        return detections


class TextMapSpotter(MapSpotter):
    """Backbone, FPN, text-map detector and a recogniser.

    Args:
        charset: the characters to write.
        backbone: the backbone.
        channels: channels of the pyramid and of the RoI features.
        head_channels: channels of the detection head's hidden layer.
        widths: channels of its own recogniser's three folding convolutions.
        hidden: hidden size of the BiLSTM per direction and of the attention decoder.
        layers: BiLSTM layers.
        max_length: most characters of a word.
        decoder: head that :meth:`spot` reads with, ``attention`` or ``ctc``.
        crop_size: rows and columns of the RoI features.
        postprocess: text map to words.
        min_score: see :class:`MapSpotter`.
        blocks: residual blocks behind the recogniser's first and second folding convolution.
        full_resolution_crops: see :class:`MapSpotter`.
        vocabulary: ``english`` or a file of words, see :class:`~dld_spotter.models.vocabulary.Vocabulary`; what was read and is
            no word is weighed against the nearest of them. None for none.
        recognizer: another recogniser, which has no use for ``widths``, ``hidden``, ``layers``, ``decoder``, ``crop_size`` and
            ``blocks``; None for the family's own.
    """

    def __init__(
        self,
        charset: Charset,
        backbone: Backbone,
        channels: int,
        head_channels: int,
        widths: Sequence[int],
        hidden: int,
        postprocess: TextMapDecoder,
        layers: int = 1,
        max_length: int = 25,
        decoder: str = "attention",
        crop_size: Sequence[int] = (8, 32),
        min_score: float = 0.0,
        blocks: Sequence[int] = (0, 0),
        full_resolution_crops: bool = False,
        vocabulary: str | None = None,
        recognizer: WordRecognizer | None = None,
    ) -> None:
        super().__init__()
        self.charset = charset
        self.stride = STRIDES[-1]
        self.backbone = backbone
        levels = 3 if recognizer is None or recognizer.reads_features else 1  # the finest is what words are found in
        self.neck = FeaturePyramid(backbone.channels, channels, levels)
        self.head = TextMapHead(channels, head_channels)
        if recognizer is None:
            encoder = CropEncoder(channels, channels, widths, hidden, layers, (crop_size[0], crop_size[1]), blocks)
            recognizer = Recognizer(encoder, len(charset), hidden, max_length, decoder)
        self.recognizer = recognizer
        self.postprocess = postprocess
        self.map_stride, self.target_shrink = postprocess.stride, postprocess.shrink
        self.min_score = min_score
        self.full_resolution_crops = full_resolution_crops
        self.vocabulary = Vocabulary.of(vocabulary)
        for name, value in zip(("mean", "std"), pixel_statistics(), strict=True):
            self.register_buffer(name, value, persistent=False)
        self.to(memory_format=torch.channels_last)  # as the images come: on CPU a third of the time of single precision

    def detect_maps(self, images: Tensor) -> tuple[Features, DetectionMaps]:
        """See :meth:`Spotter.detect_maps`; the features are the pixels and levels of the pyramid, finest first."""
        pixels = images.float()
        pyramid = self.neck(self.backbone(self.normalize(pixels)))
        return (pixels, *pyramid), self.head(pyramid[0])

    def normalize(self, images: Tensor) -> Tensor:
        """Bring images in 0..255 to mean 0 and deviation 1 per channel."""
        return (images - self.mean) / self.std
