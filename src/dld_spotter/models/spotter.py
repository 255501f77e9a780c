"""The spotter contract, and its first family: text map, straightened strips, attention reading."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dld_spotter.core.batches import DetectionMaps, Recognition, SpotterOutput, SpottingResult, View, Word, WordCrops
from dld_spotter.core.charset import PADDING, Charset
from dld_spotter.core.geometry import boundaries_to_polygon
from dld_spotter.models.backbone import STRIDES, Backbone
from dld_spotter.models.contours import Proposals
from dld_spotter.models.decoding import path_log_probability
from dld_spotter.models.detections import Detections
from dld_spotter.models.detector import TextMapDecoder, TextMapHead
from dld_spotter.models.neck import FeaturePyramid
from dld_spotter.models.recognizer import CropEncoder, Recognizer
from dld_spotter.models.vocabulary import Vocabulary, boost_known_words, least_score, rescore

PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)

Features = tuple[Tensor, ...]
"""What a family computes once per image and cuts words out of."""
FullResolution = tuple[Tensor, Tensor]
"""uint8 images ``(B, 3, H, W)`` and factors ``(B, 2)`` (x, y) that bring a view's pixels to theirs."""


def full_resolution(view: View) -> FullResolution | None:
    """What a view offers to take words' pixels from, if it is not itself of that resolution."""
    if view.full is None or torch.equal(view.full.factors, view.factors):
        return None
    return view.full.images, view.full.factors / view.factors


class Seen(NamedTuple):
    """What stays of B images that were looked at, for words to be cut out."""

    features: Features
    full: FullResolution | None

    def between(self, first: int, end: int) -> "Seen":
        """The images from one row to before another: what cutting costs follows the number of images."""
        full = self.full and (self.full[0][first:end], self.full[1][first:end])
        return Seen(tuple(level[first:end] for level in self.features), full)


class Spotter(nn.Module, ABC):
    """What a spotter family must be able to do; everything else is built on these methods.

    Attributes:
        charset: the characters it writes.
        stride: heights and widths of its inputs are multiples of this.
        vocabulary: words that it weighs what it reads against; None for none.
        min_score: words of a lower score are dropped; 0, and none is.
    """

    charset: Charset
    stride: int
    min_score: float = 0.0
    vocabulary: Vocabulary | None = None

    @abstractmethod
    def detect(self, images: Tensor) -> tuple[Features, DetectionMaps]:
        """Everything that costs per pixel: features and maps of uint8 images ``(B, 3, H, W)``."""

    @abstractmethod
    def cut(self, features: Features, boundaries: Tensor, image_index: Tensor, full: FullResolution | None = None) -> WordCrops:
        """Cut out N words.

        Args:
            features: what :meth:`detect` has found in a view.
            boundaries: ``(N, 2, K, 2)`` pixels of the view.
            image_index: ``(N,)`` int64.
            full: the same images at another resolution, for families that take the words' pixels from there.
        """

    @abstractmethod
    def recognize(self, crops: WordCrops, labels: Tensor) -> Recognition:
        """Everything that costs per word: recognise N words, ``labels`` ``(N, L)`` for teacher forcing."""

    @abstractmethod
    def find(self, view: View) -> list[Detections]:
        """Find where words of B images may be; nothing is read."""

    @abstractmethod
    def read(self, all_detections: Sequence[Detections], which: Sequence[np.ndarray]) -> list[list[Word]]:
        """Read what was found.

        Args:
            all_detections: of one view, not necessarily at all of its images.
            which: regions ``(M,)`` of each that are read, ascending, wholes with all of their parts.

        Returns:
            the words of each that are sure enough, polygons in pixels of the reference.
        """

    def read_all(self, all_detections: Sequence[Detections], most: Sequence[int] | None = None) -> list[SpottingResult]:
        """Read all that was found in images of one view, at most so many regions of each."""
        limits = [None] * len(all_detections) if most is None else most
        which = [detections.within(detections.all, limit) for detections, limit in zip(all_detections, limits, strict=True)]
        read = zip(self.read(all_detections, which), all_detections, which, strict=True)
        return [SpottingResult(words, (detections.size,), (len(proposals),)) for words, detections, proposals in read]

    def inspect(self, view: View, most: Sequence[int] | None = None) -> list[SpottingResult]:
        """Find and read the words of B images, at most so many regions of each."""
        return self.read_all(self.find(view), most)

    def spot(self, view: View) -> list[list[Word]]:
        """Find and read the words of B images; polygons in reference pixels."""
        return [look.words for look in self.inspect(view)]

    def look(self, view: View, boundaries: Tensor, image_index: Tensor) -> tuple[WordCrops, DetectionMaps]:
        """Detect in a view and cut given words out of it.

        Args:
            view: B images.
            boundaries: ``(N, 2, K, 2)`` reference pixels; the view's factors bring them into the view.
            image_index: ``(N,)`` int64.
        """
        features, maps = self.detect(view.images)
        return self.cut(
            features, boundaries * view.factors[image_index][:, None, None, :], image_index, full_resolution(view)
        ), maps

    def forward(self, view: View, boundaries: Tensor, image_index: Tensor, labels: Tensor) -> SpotterOutput:
        """Detect in a view and recognise given words in it, see :meth:`look` and :meth:`recognize`."""
        crops, maps = self.look(view, boundaries, image_index)
        return SpotterOutput(maps, self.recognize(crops, labels))

    @abstractmethod
    def force(self, context: Tensor, labels: Tensor) -> Tensor:
        """Logits ``(N, L, V)`` of other label sequences ``(N, L)`` for words already encoded as ``context``."""

    @abstractmethod
    def weigh(self, context: Tensor, words: Tensor, labels: Tensor) -> Tensor:
        """Log-probability ``(M,)`` of texts.

        Args:
            context: of N encoded words.
            words: ``(M,)`` int64, the word that each text is tried on.
            labels: ``(M, L)`` the texts, END included.
        """

    @abstractmethod
    def beams(self, context: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Likeliest label sequences ``(N, count, L)`` and log-probabilities ``(N, count)`` of encoded words."""


class TextMapSpotter(Spotter):
    """Backbone, FPN, text-map detector and strip recogniser.

    Args:
        charset: the characters to write.
        backbone: the backbone.
        channels: channels of the pyramid and of the RoI features.
        head_channels: channels of the detection head's hidden layer.
        widths: channels of the recogniser's three folding convolutions.
        hidden: hidden size of the BiLSTM per direction and of the attention decoder.
        layers: BiLSTM layers.
        max_length: most characters of a word.
        decoder: head that :meth:`spot` reads with, ``attention`` or ``ctc``.
        crop_size: rows and columns of the RoI features.
        postprocess: text map to words.
        min_score: words read with less confidence (detection score times reading score, more for words of a vocabulary) are
            dropped.
        blocks: residual blocks behind the recogniser's first and second folding convolution.
        full_resolution_crops: take the pixels of words from the reference images where a view offers them: words are found
            at the view's resolution and read at the full one, which costs per word what it cost before.
        vocabulary: ``english`` or a file of words, see :class:`~dld_spotter.models.vocabulary.Vocabulary`; what was read and is
            no word is weighed against the nearest of them. None for none.
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
    ) -> None:
        super().__init__()
        self.charset = charset
        self.stride = STRIDES[-1]
        self.backbone = backbone
        self.neck = FeaturePyramid(backbone.channels, channels)
        self.head = TextMapHead(channels, head_channels)
        encoder = CropEncoder(channels, channels, widths, hidden, layers, (crop_size[0], crop_size[1]), blocks)
        self.recognizer = Recognizer(encoder, len(charset), hidden, max_length, decoder)
        self.postprocess = postprocess
        self.min_score = min_score
        self.full_resolution_crops = full_resolution_crops
        self.vocabulary = Vocabulary.of(vocabulary)
        self.register_buffer("mean", 255 * torch.tensor(PIXEL_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(PIXEL_STD).view(1, 3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)  # as the images come: on CPU a third of the time of single precision

    def detect(self, images: Tensor) -> tuple[Features, DetectionMaps]:
        """See :meth:`Spotter.detect`; the features are the normalised images and pyramid levels at strides 4, 8 and 16."""
        normalized = self.normalize(images)
        pyramid = self.neck(self.backbone(normalized))
        return (normalized, *pyramid), self.head(pyramid[0])

    def normalize(self, images: Tensor) -> Tensor:
        """Bring uint8 images to mean 0 and deviation 1 per channel."""
        return (images.float() - self.mean) / self.std

    def cut(self, features: Features, boundaries: Tensor, image_index: Tensor, full: FullResolution | None = None) -> WordCrops:
        """See :meth:`Spotter.cut`."""
        images, *pyramid = features
        strides = STRIDES[: len(pyramid)]
        if not self.full_resolution_crops or full is None:
            return self.recognizer.encoder.cut(images, pyramid, strides, boundaries, image_index)
        image_boundaries = boundaries * full[1][image_index][:, None, None, :]
        crops = self.recognizer.encoder.cut(full[0].float(), pyramid, strides, boundaries, image_index, image_boundaries)
        return WordCrops(self.normalize(crops.pixels), crops.features)  # a few strips rather than the whole image

    def recognize(self, crops: WordCrops, labels: Tensor) -> Recognition:
        """See :meth:`Spotter.recognize`."""
        return self.recognizer(crops, labels)

    def force(self, context: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`Spotter.force`."""
        return self.recognizer.attention(context, labels)

    def weigh(self, context: Tensor, words: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`Spotter.weigh`."""
        return path_log_probability(self.recognizer.attention(context, labels, words), labels)

    def beams(self, context: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """See :meth:`Spotter.beams`."""
        return self.recognizer.beams(context, count)

    @torch.inference_mode()
    def find(self, view: View) -> list[Detections]:
        """See :meth:`Spotter.find`."""
        features, maps = self.detect(view.images)
        seen = Seen(features, full_resolution(view))
        probabilities = maps.text.float().sigmoid().cpu().numpy()
        least = least_score(self.min_score, self.vocabulary)
        all_detections = []
        for row, ((height, width), factors) in enumerate(zip(view.sizes.tolist(), view.factors.cpu().numpy(), strict=True)):
            proposals = self.postprocess(probabilities[row], height, width).promising(least)
            all_detections.append(Detections((height, width), probabilities[row], proposals, factors, (row, seen)))
        return all_detections

    @torch.inference_mode()
    def read(self, all_detections: Sequence[Detections], which: Sequence[np.ndarray]) -> list[list[Word]]:
        """See :meth:`Spotter.read`."""
        words: list[list[Word]] = [[] for _ in all_detections]
        counts = [len(proposals) for proposals in which]
        if not sum(counts):
            return words
        found = Proposals.joined(
            [detections.proposals.take(kept) for detections, kept in zip(all_detections, which, strict=True)]
        )
        rows, owners = (
            [detections.source[0] for detections in all_detections],
            np.repeat(np.arange(len(all_detections)), counts),
        )
        features, full = all_detections[0].source[1].between(min(rows), max(rows) + 1)
        boundaries = torch.from_numpy(found.boundaries).to(features[0].device)
        image_index = (torch.tensor(rows) - min(rows))[owners].to(features[0].device)
        _, context = self.recognizer.encoder(self.cut(features, boundaries, image_index, full))
        labels, scores = self.recognizer.read(context)
        scores = scores.float().cpu().numpy()
        texts = [self.charset.decode(indices) for indices in labels.tolist()]
        chosen = found.surest(scores, np.array([len(text) for text in texts]))
        scores = scores * found.scores
        sure = chosen[scores[chosen] >= least_score(self.min_score, self.vocabulary)]
        texts = self.rescore(context[sure], [texts[k] for k in sure])
        scores = boost_known_words(scores[sure], texts, self.vocabulary)
        for k, text, score in zip(sure.tolist(), texts, scores.tolist(), strict=True):
            if text and score >= self.min_score:
                polygon = boundaries_to_polygon(found.boundaries[k] / all_detections[owners[k]].factors)
                words[owners[k]].append(Word(polygon, text, score))
        return words

    @torch.inference_mode()
    def rescore(self, context: Tensor, texts: list[str]) -> list[str]:
        """Weigh what was read in N words against the vocabulary, where there is one."""
        if self.vocabulary is None:
            return texts

        def weigh(words: np.ndarray, labels: np.ndarray) -> np.ndarray:
            longest = int((labels != PADDING).sum(1).max())
            tried = (torch.from_numpy(part).to(context.device) for part in (words, labels[:, :longest]))
            return self.weigh(context, *tried).cpu().numpy()

        return rescore(texts, self.vocabulary, self.charset, self.recognizer.max_length + 1, weigh)
