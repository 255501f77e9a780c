"""The two-stage spotter of the paper's tables: Mask R-CNN with a recogniser of masked features (DLD, arXiv 2207.06694)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dld_spotter.core.batches import Recognition, View, WordTargets
from dld_spotter.core.charset import Charset
from dld_spotter.models.backbone import STRIDES, Backbone
from dld_spotter.models.contract import Features, Source
from dld_spotter.models.crop_spotter import CropSpotter
from dld_spotter.models.detections import Detections
from dld_spotter.models.neck import FeaturePyramid
from dld_spotter.models.two_stage.detector import RegionDetector
from dld_spotter.models.two_stage.heads import AnchorMaps
from dld_spotter.models.two_stage.reading import RegionDecoder
from dld_spotter.models.two_stage.recognizer import MaskedRecognizer, WordFeatures
from dld_spotter.models.vocabulary import Vocabulary, least_score
from dld_spotter.models.word_recognizer import pixel_statistics


class TwoStageSpotter(CropSpotter):
    """Backbone, FPN, region proposals, a box and a mask for each region, and a recogniser of the masked features.

    Its features are the pixels, and a map at stride 4 that words are cut out of; what regions are judged by is a part of the
    maps that it detects in. Words are never read from another view: ``full_resolution_crops`` is not for it.

    Args:
        charset: the characters to write.
        backbone: the backbone.
        channels: channels of the pyramid and of the words' features.
        detector: finds regions with words.
        recognizer: reads them.
        postprocess: regions to words.
        min_score: see :class:`~dld_spotter.models.crop_spotter.CropSpotter`.
        vocabulary: see :class:`~dld_spotter.models.spotter.TextMapSpotter`.
    """

    def __init__(
        self,
        charset: Charset,
        backbone: Backbone,
        channels: int,
        detector: RegionDetector,
        recognizer: MaskedRecognizer,
        postprocess: RegionDecoder,
        min_score: float = 0.0,
        vocabulary: str | None = None,
    ) -> None:
        super().__init__()
        self.charset, self.stride = charset, STRIDES[-1]
        self.backbone = backbone
        self.neck = FeaturePyramid(backbone.channels, channels, len(STRIDES))
        self.detector = detector
        self.word_features = WordFeatures(channels)
        self.recognizer = recognizer
        self.postprocess = postprocess
        self.min_score = min_score
        self.vocabulary = Vocabulary.of(vocabulary)
        for name, value in zip(("mean", "std"), pixel_statistics(), strict=True):
            self.register_buffer(name, value, persistent=False)
        self.to(memory_format=torch.channels_last)

    @property
    def target_settings(self) -> dict[str, Any]:
        """See :attr:`Spotter.target_settings`."""
        return {"targets": "words"}

    def detect_maps(self, images: Tensor) -> tuple[Features, AnchorMaps]:
        """See :meth:`Spotter.detect_maps`: what costs per pixel; regions are judged where they are needed."""
        pixels = images.float()
        pyramid = self.neck(self.backbone((pixels - self.mean) / self.std))
        return (pixels, self.word_features(pyramid[0])), self.detector.propose(pyramid)

    def detection_loss(self, maps: AnchorMaps, targets: WordTargets, text_map: Callable[..., Tensor]) -> Tensor:
        """See :meth:`Spotter.detection_loss`: those of proposals, boxes and masks."""
        return self.detector.loss(maps, targets)

    @torch.inference_mode()
    def detect(self, view: View, keep_all: bool = False) -> list[Detections]:
        """See :meth:`Spotter.detect`."""
        min_score, decoder = 0.0 if keep_all else self.min_score, self.postprocess
        least = least_score(min_score, self.vocabulary)
        features, maps = self.detect_maps(view.images)
        sizes, padded = view.sizes.tolist(), view.images.shape[2:]
        found = self.detector.find(maps, sizes, min(decoder.unsure, decoder.threshold), decoder.overlap, decoder.max_words)
        masks = self.detector.mask(maps, found[0], found[2]).float().sigmoid()
        boxes, scores, owners, masks = (values.cpu().numpy() for values in (*found, masks))
        detections = []
        for row, (size, factors) in enumerate(zip(sizes, view.factors.cpu().numpy(), strict=True)):
            regions = [values[owners == row] for values in (boxes, scores, masks)]
            proposals = decoder(*regions, *size).promising(least)
            shown = decoder.text_map(*regions, *padded)
            source = Source(row, features, None)
            detections.append(Detections((size[0], size[1]), shown, proposals, factors, source, min_score))
        return detections

    def run_per_image(self, images: Tensor) -> Features:
        """See :meth:`Spotter.run_per_image`: the box head judges as many regions as it may at most."""
        features, _ = self.detect_maps(images)
        self.detector.run_box_head(self.detector.proposing.most, features[1])
        return features

    def run_per_word(self, features: Features, boundaries: Tensor, image_index: Tensor, labels: Tensor) -> Recognition:
        """See :meth:`Spotter.run_per_word`: a word has a mask, too."""
        self.detector.run_mask_head(len(boundaries), features[1])
        return super().run_per_word(features, boundaries, image_index, labels)
