"""The spotter contract, what families with a text map share, and the first of them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_spotter.core.batches import DetectionMaps, Recognition, SpotterOutput, View, Word, WordCrops
from dld_spotter.core.charset import PADDING, Charset
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.geometry import boundaries_to_polygon
from dld_spotter.models.attention_recognizer import CropEncoder, Recognizer
from dld_spotter.models.backbone import STRIDES, Backbone
from dld_spotter.models.detections import Detections
from dld_spotter.models.detector import TextMapDecoder, TextMapHead
from dld_spotter.models.graphs import SpotterGraphs, map_spotter_graphs
from dld_spotter.models.neck import FeaturePyramid
from dld_spotter.models.proposals import MAP_STRIDE, Proposals
from dld_spotter.models.spaces import apart
from dld_spotter.models.vocabulary import Vocabulary, boost_known_words, least_score, rescore
from dld_spotter.models.word_recognizer import WordRecognizer, pixel_statistics

Features = tuple[Tensor, ...]
"""What a family computes once per image and cuts words out of."""
FullResolution = tuple[Tensor, Tensor]
"""uint8 images ``(B, 3, H, W)`` and factors ``(B, 2)`` (x, y) that bring a view's pixels to theirs."""


def full_resolution(view: View) -> FullResolution | None:
    """What a view offers to take words' pixels from, if it is not itself of that resolution."""
    if view.full is None or torch.equal(view.full.factors, view.factors):
        return None
    return view.full.images, view.full.factors / view.factors


class Source(NamedTuple):
    """What the words of one image of a view are cut out of: its row in the view, and what the view's images share."""

    row: int
    features: Features
    full: FullResolution | None


class Spotter(nn.Module, ABC):
    """What a spotter family must be able to do; everything else is built on these methods.

    :meth:`detect` and :meth:`recognize` are the two steps of reading, as of a
    :class:`~dld_spotter.inference.backend.Backend`, which makes the view. Both run the networks, whose parts training, cost
    and export take one by one: :meth:`detect_maps` for every pixel, :meth:`cut` and :meth:`recognize_crops` for every word.

    Attributes:
        charset: the characters it writes.
        stride: heights and widths of its inputs are multiples of this.
        map_stride: pixels of a view per cell of its text map, which training draws targets for.
        target_shrink: ratio by which these targets shrink words.
        vocabulary: words that it weighs what it reads against; None for none.
        has_attention: whether ``Recognition`` has an attention decoder's logits; CTC logits it always has.
        min_score: words of a lower score are dropped; 0, and none is.
        full_resolution_crops: whether it takes the words' pixels from the full resolution where a view offers that.
    """

    charset: Charset
    stride: int
    map_stride: int = MAP_STRIDE
    target_shrink: float
    min_score: float = 0.0
    vocabulary: Vocabulary | None = None
    has_attention: bool = True
    full_resolution_crops: bool = False

    @abstractmethod
    def detect_maps(self, images: Tensor) -> tuple[Features, DetectionMaps]:
        """Everything that costs per pixel: features and maps of uint8 images ``(B, 3, H, W)``."""

    @abstractmethod
    def cut(self, features: Features, boundaries: Tensor, image_index: Tensor, full: FullResolution | None = None) -> WordCrops:
        """Cut out N words.

        Args:
            features: what :meth:`detect_maps` has computed of a view.
            boundaries: ``(N, 2, K, 2)`` pixels of the view.
            image_index: ``(N,)`` int64.
            full: the same images at another resolution, for families that take the words' pixels from there.
        """

    @abstractmethod
    def recognize_crops(self, crops: WordCrops, labels: Tensor) -> Recognition:
        """Everything that costs per word: recognise N words, ``labels`` ``(N, L)`` for teacher forcing."""

    @abstractmethod
    def detect(self, view: View, keep_all: bool = False) -> list[Detections]:
        """Find where words of B images may be; nothing is recognised.

        Args:
            view: B images.
            keep_all: whether words are kept whatever their score, in place of :attr:`min_score`.
        """

    @abstractmethod
    def recognize(self, detections: Sequence[Detections], which: Sequence[np.ndarray]) -> list[list[Word]]:
        """Recognise what was detected.

        Args:
            detections: of one call of :meth:`detect`, not necessarily of all of its images.
            which: proposals ``(M,)`` of each that are recognised, ascending, wholes with all of their parts.

        Returns:
            the words of each that are sure enough, polygons in pixels of the reference.
        """

    def spot(self, view: View) -> list[list[Word]]:
        """Detect and recognise all words of B images; polygons in pixels of the reference."""
        detections = self.detect(view)
        return self.recognize(detections, [one.all for one in detections])

    def detect_maps_and_cut(self, view: View, boundaries: Tensor, image_index: Tensor) -> tuple[WordCrops, DetectionMaps]:
        """Detect in a view and cut given words out of it.

        Args:
            view: B images.
            boundaries: ``(N, 2, K, 2)`` reference pixels; the view's factors bring them into the view.
            image_index: ``(N,)`` int64.
        """
        features, maps = self.detect_maps(view.images)
        return self.cut(
            features, boundaries * view.factors[image_index][:, None, None, :], image_index, full_resolution(view)
        ), maps

    def forward(self, view: View, boundaries: Tensor, image_index: Tensor, labels: Tensor) -> SpotterOutput:
        """Detect in a view and recognise given words in it, see :meth:`detect_maps_and_cut` and :meth:`recognize_crops`."""
        crops, maps = self.detect_maps_and_cut(view, boundaries, image_index)
        return SpotterOutput(maps, self.recognize_crops(crops, labels))

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

    def graphs(self) -> SpotterGraphs:
        """What is exported of it.

        Raises:
            ConfigError: this family, or its recogniser, has no graphs.
        """
        raise ConfigError(f"export knows no graphs of {type(self).__name__}; give the checkpoint of another spotter")


class MapSpotter(Spotter):
    """What families share that find words in a text map and read crops of them.

    Their features are the view's pixels ``(B, 3, H, W)`` in 0..255, then maps at strides 4, 8 and 16 for recognisers that read
    features.

    Attributes:
        recognizer: reads the word crops.
        postprocess: text map to words.
        min_score: words read with less confidence (detection score times reading score, more for words of a vocabulary) are
            dropped.
        full_resolution_crops: take the pixels of words from the reference images where a view offers them: words are found
            at the view's resolution and read at the full one, which costs per word what it cost before.
        split_at_spaces: words that were found as one region are told apart by the spaces that are read between them.
    """

    recognizer: WordRecognizer
    postprocess: TextMapDecoder
    min_score: float
    full_resolution_crops: bool
    split_at_spaces: bool = False

    @property
    def has_attention(self) -> bool:
        """See :class:`Spotter`."""
        return self.recognizer.has_attention

    def cut(self, features: Features, boundaries: Tensor, image_index: Tensor, full: FullResolution | None = None) -> WordCrops:
        """See :meth:`Spotter.cut`."""
        images, *pyramid = features
        if not self.full_resolution_crops or full is None:
            return self.recognizer.crop(images, boundaries, image_index, pyramid)
        image_boundaries = boundaries * full[1][image_index][:, None, None, :]
        return self.recognizer.crop(full[0], image_boundaries, image_index, pyramid, boundaries)

    def recognize_crops(self, crops: WordCrops, labels: Tensor) -> Recognition:
        """See :meth:`Spotter.recognize_crops`."""
        return self.recognizer(crops, labels)

    def weigh(self, context: Tensor, words: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`Spotter.weigh`."""
        return self.recognizer.weigh(context, words, labels)

    def beams(self, context: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """See :meth:`Spotter.beams`."""
        return self.recognizer.beams(context, count)

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

    @torch.inference_mode()
    def recognize(self, detections: Sequence[Detections], which: Sequence[np.ndarray]) -> list[list[Word]]:
        """See :meth:`Spotter.recognize`."""
        words: list[list[Word]] = [[] for _ in detections]
        counts = [len(kept) for kept in which]
        if not sum(counts):
            return words
        found = Proposals.joined([one.proposals.take(kept) for one, kept in zip(detections, which, strict=True)])
        owners = np.repeat(np.arange(len(detections)), counts)
        rows = torch.tensor([one.source.row for one in detections])
        _, features, full = detections[0].source
        min_score = detections[0].min_score
        images = slice(int(rows.min()), int(rows.max()) + 1)  # what cutting costs follows the number of images
        features = tuple(level[images].float() for level in features)  # detected in half precision, perhaps
        full = full and (full[0][images], full[1][images])
        boundaries = torch.from_numpy(found.boundaries).to(features[0].device)
        image_index = (rows - images.start)[owners].to(features[0].device)
        context = self.recognizer.encode(self.cut(features, boundaries, image_index, full)).float()
        with torch.autocast(context.device.type, enabled=False):  # what was encoded in half precision is decoded in single
            texts, scores = self._read(context)
            chosen = found.surest(scores, np.array([len(text) for text in texts]))
            regions = np.arange(len(found))
            if self.split_at_spaces:
                found, regions, context, texts, scores = self._apart(found, chosen, context, texts, scores)
                chosen = np.arange(len(found))
            scores = scores * found.scores
            sure = chosen[scores[chosen] >= least_score(min_score, self.vocabulary)]
            texts = self.rescore(context[sure], [texts[k] for k in sure])
        scores = boost_known_words(scores[sure], texts, self.vocabulary)
        proposals = np.concatenate(which)
        for k, text, score in zip(sure.tolist(), texts, scores.tolist(), strict=True):
            if text and score >= min_score:
                owner = owners[regions[k]]
                polygon = boundaries_to_polygon(found.boundaries[k] / detections[owner].factors)
                words[owner].append(Word(polygon, text, score, int(proposals[regions[k]])))
        return words

    def _read(self, context: Tensor) -> tuple[list[str], np.ndarray]:
        """Texts and scores ``(N,)`` of N encoded words."""
        labels, scores = self.recognizer.read(context)
        return [self.charset.decode(indices) for indices in labels.tolist()], scores.cpu().numpy()

    def _apart(
        self, found: Proposals, chosen: np.ndarray, context: Tensor, texts: list[str], scores: np.ndarray
    ) -> tuple[Proposals, np.ndarray, Tensor, list[str], np.ndarray]:
        """Tell the words of the ``chosen`` ``(M,)`` regions apart at spaces.

        Returns:
            places, the region ``(R,)`` that each is or is a part of, context, texts and scores ``(R,)``.
        """
        recognizer = self.recognizer
        told = apart(found, chosen, texts, lambda rows: recognizer.paths(context[rows]), self.charset, recognizer.margin)
        parts = context.new_zeros(len(told.parts), *context.shape[1:])
        for row, part in zip(parts, told.parts, strict=True):
            row[: part.end - part.start] = context[part.region, part.start : part.end]
        read, sure = self._read(parts) if len(parts) else ([], scores[:0])
        kept = [texts[k].strip() for k in told.rest]
        every = torch.cat([context[told.rest], parts])
        return told.places, told.regions, every, kept + read, np.concatenate([scores[told.rest], sure])

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
