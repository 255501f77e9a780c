"""From samples to a batch of aligned views."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from dld_spotter.core.batches import Sample, SpottingBatch, TextInstances, View
from dld_spotter.core.charset import Charset
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.geometry import polygons_to_boundaries, word_heights
from dld_spotter.data.targets import MAP_STRIDE, SHRINK_RATIO, TextRegions, detection_targets
from dld_spotter.data.views import REFERENCE, ReferenceSize, make_frame, make_thumbnails, make_view, to_reference
from dld_spotter.data.word_targets import word_targets

TARGETS = ("text_map", "words")
"""Kinds of detection targets."""


@dataclass(frozen=True)
class Collate:
    """Builds a :class:`~dld_spotter.core.batches.SpottingBatch` from samples.

    Words that are ignored, have no text, are too long or too low, or hold a character outside the charset are not read in
    training; they stay in ``instances`` and, where they count, in the detection targets.

    Args:
        charset: encodes the transcriptions.
        scales: the views' scales; 1.0 is the reference.
        reference: size of the reference view; None for the size of the file.
        stride: views are padded to a multiple of it.
        thumbnail: side of the thumbnails in pixels.
        max_length: characters of the longest word that is read; labels are one longer, for the END.
        points: points per side of a word.
        min_height: height in pixels below which a word is don't-care in a view, and not read if in all of them.
        with_targets: draw detection targets.
        targets: of which kind, as the spotter is taught: ``text_map``, or ``words`` for their places; None for text maps.
        between: what a cell between two words counts in them, see :func:`~dld_spotter.data.targets.detection_targets`.
        shrink: ratio by which they shrink words, as the spotter's text map is trained; None for the usual one.
        map_stride: pixels of a view per cell of the spotter's text map; None for the usual one.
        draw_one: make only one view per batch, at a scale drawn at random.
        jitter: move the corners of the words that are read by up to this fraction of their height.
        max_words: words read per image at most, drawn at random; None for all.
        multiple: leave out random words so that a multiple of this is read per batch: on CPU every new number of words
            costs the compilation of new kernels.
        on_device: resize the reference to the other scales where the batch is used, see
            :func:`~dld_spotter.data.views.fill_frames`, instead of here: less work for the loader and less to send.
        seed: of everything drawn, together with the images' names unless a generator is handed over.
    """

    charset: Charset
    scales: tuple[float, ...] = (1.0,)
    reference: ReferenceSize | None = None
    stride: int = 32
    thumbnail: int = 128
    max_length: int = 32
    points: int = 8
    min_height: float = 4.0
    with_targets: bool = True
    targets: str | None = None
    between: float = 1.0
    shrink: float | None = None
    map_stride: int | None = None
    draw_one: bool = False
    jitter: float = 0.0
    max_words: int | None = None
    multiple: int = 1
    on_device: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", tuple(float(scale) for scale in self.scales))
        if not self.scales or min(self.scales) <= 0:
            raise ConfigError(
                f"data.scales must be positive and at least one, found {list(self.scales)}; give for example [1.0]"
            )
        if self.targets not in (*TARGETS, None):
            raise ConfigError(f"data.train_collate.targets must be one of {', '.join(TARGETS)} or null, found {self.targets}")
        if not self.between >= 1:
            raise ConfigError(f"data.train_collate.between must be at least 1, found {self.between}")
        if self.stride < 1 or self.stride % 2:
            raise ConfigError(
                f"data.stride must be even and positive, found {self.stride}; use the stride of the model, such as 32"
            )

    def __call__(self, samples: Sequence[Sample], rng: np.random.Generator | None = None) -> SpottingBatch:
        """Build a batch of at least one sample."""
        if rng is None:
            rng = np.random.default_rng([self.seed, *(zlib.crc32(sample.name.encode()) for sample in samples)])
        original_sizes = torch.tensor([sample.image.shape[:2] for sample in samples])
        samples = [to_reference(sample, self.reference) if self.reference else sample for sample in samples]
        images = [sample.image for sample in samples]
        scales = (float(rng.choice(self.scales)),) if self.draw_one else self.scales
        views = {scale: self._make_view(images, scale) for scale in scales}
        instances = tuple(sample.instances for sample in samples)
        if self.with_targets:
            views = self._with_targets(views, instances)
        boundaries, image_index, texts = self._words_to_read(instances, views[max(scales)], rng)
        if self.on_device and REFERENCE not in views:
            views[REFERENCE] = make_view(images, REFERENCE, self.stride)
        return SpottingBatch(
            names=tuple(sample.name for sample in samples),
            views=views,
            thumbnails=make_thumbnails(images, self.thumbnail),
            instances=instances,
            boundaries=torch.from_numpy(boundaries),
            image_index=torch.from_numpy(image_index),
            labels=self.charset.encode(texts, self.max_length + 1),
            original_sizes=original_sizes,
        )

    def _make_view(self, images: Sequence[np.ndarray], scale: float) -> View:
        return (make_frame if self.on_device and scale != REFERENCE else make_view)(images, scale, self.stride)

    def _with_targets(self, views: dict[float, View], instances: Sequence[TextInstances]) -> dict[float, View]:
        if self.targets == "words":
            found = {scale: word_targets(view, instances, self.min_height, self.points) for scale, view in views.items()}
        else:
            shrink = SHRINK_RATIO if self.shrink is None else self.shrink
            regions = [TextRegions.of(words, shrink) for words in instances]
            drawn = (self.min_height, self.between, self.map_stride or MAP_STRIDE)
            found = {scale: detection_targets(view, regions, *drawn) for scale, view in views.items()}
        return {scale: replace(view, targets=found[scale]) for scale, view in views.items()}

    def _words_to_read(
        self, instances: Sequence[TextInstances], largest: View, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Choose the words that are read: their boundaries, their images and their texts."""
        boundaries = polygons_to_boundaries([polygon for words in instances for polygon in words.polygons], self.points)
        image_index = np.repeat(np.arange(len(instances)), [len(words) for words in instances])
        texts = [text for words in instances for text in words.transcriptions]
        heights = word_heights(boundaries)
        visible = heights * largest.factors.prod(1).sqrt().numpy()[image_index] >= self.min_height
        wanted = [not ignored for words in instances for ignored in words.ignore]
        readable = [self._can_write(text) for text in texts]
        chosen = np.flatnonzero(visible & np.array(wanted, bool) & np.array(readable, bool))
        if self.max_words is not None:
            chosen = _at_most(self.max_words, chosen, image_index, rng)
        surplus = len(chosen) % self.multiple if len(chosen) > self.multiple else 0
        if surplus:
            chosen = np.sort(rng.permutation(chosen)[surplus:])
        boundaries = boundaries[chosen]
        if self.jitter:
            boundaries = jittered(boundaries, self.jitter, rng)
        return boundaries, image_index[chosen], [texts[word] for word in chosen]

    def _can_write(self, text: str) -> bool:
        return 0 < len(self.charset.normalize(text)) <= self.max_length and not (text.isspace() or self.charset.unknown(text))


def jittered(boundaries: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Move words ``(N, 2, K, 2)`` as errors of a detector do.

    Every corner moves on its own, and the margin above and below grows or shrinks, each by up to ``amount`` heights.
    """
    words, _, points, _ = boundaries.shape
    height = word_heights(boundaries)[:, None, None, None]
    start, end = rng.uniform(-amount, amount, (2, words, 2, 1, 2)) * height
    along = np.linspace(0, 1, points)[:, None]
    margin = rng.uniform(-amount, amount, (words, 1, 1)) * (boundaries[:, 0] - boundaries[:, 1])
    moved = boundaries + start + along * (end - start) + np.stack([margin, -margin], axis=1)
    return moved.astype(np.float32)


def _at_most(count: int, words: np.ndarray, image_index: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Keep ``count`` random words of each image, in their order."""
    shuffled = rng.permutation(words)
    shuffled = shuffled[np.argsort(image_index[shuffled], kind="stable")]
    owners = image_index[shuffled]
    rank = np.arange(len(owners)) - np.searchsorted(owners, owners)
    return np.sort(shuffled[rank < count])
