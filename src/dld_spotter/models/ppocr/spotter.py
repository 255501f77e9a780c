"""PP-OCRv6 small as a spotter: finds words in a text map at full size, reads crops of them from the full resolution."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dld_spotter.core.batches import DetectionMaps
from dld_spotter.core.charset import Charset
from dld_spotter.core.errors import ConfigError
from dld_spotter.models.detector import TextMapDecoder
from dld_spotter.models.ppocr.detector import SHRINK_RATIO, STAGES, PPOCRDetector
from dld_spotter.models.spaces import SPACE
from dld_spotter.models.spotter import Features, MapSpotter
from dld_spotter.models.vocabulary import Vocabulary
from dld_spotter.models.word_recognizer import WordRecognizer


class PPOCRSpotter(MapSpotter):
    """PP-OCR's detector and a recogniser.

    Words are read from the reference images where a view offers them, however small the view is that they are found in.

    Args:
        charset: the characters to write.
        recognizer: reads crops of pixels.
        postprocess: text map to words; its ``shrink`` may differ from that of the targets where boxes fit better so.
        stages: channels of the detector's stages.
        channels: of its neck, a multiple of 16.
        min_score: see :class:`MapSpotter`.
        vocabulary: see :class:`~dld_spotter.models.spotter.TextMapSpotter`.
        split_at_spaces: see :class:`MapSpotter`; without a space in the charset there is nothing to split at.
    """

    full_resolution_crops = True
    target_shrink = SHRINK_RATIO

    def __init__(
        self,
        charset: Charset,
        recognizer: WordRecognizer,
        postprocess: TextMapDecoder,
        stages: Sequence[int] = (48, 96, 192, 384),
        channels: int = 96,
        min_score: float = 0.5,
        vocabulary: str | None = None,
        split_at_spaces: bool = False,
    ) -> None:
        super().__init__()
        if len(stages) != len(STAGES) or channels % 16 or stages[0] % 4:
            raise ConfigError(
                f"spotter.stages must be {len(STAGES)} numbers, the first a multiple of 4, and spotter.channels a multiple of "
                f"16, found {list(stages)} and {channels}"
            )
        self.charset = charset
        self.detector = PPOCRDetector(
            [stage._replace(channels=width) for stage, width in zip(STAGES, stages, strict=True)], channels
        )
        self.recognizer = recognizer
        self.postprocess = postprocess
        self.stride, self.map_stride = self.detector.stride, postprocess.stride
        if self.map_stride != 1:
            raise ConfigError(f"spotter.postprocess.stride must be 1, as of PP-OCR's text map, found {self.map_stride}")
        self.min_score = min_score
        self.vocabulary = Vocabulary.of(vocabulary)
        self.split_at_spaces = split_at_spaces and SPACE in charset.characters
        self.to(memory_format=torch.channels_last)

    def detect_maps(self, images: Tensor) -> tuple[Features, DetectionMaps]:
        """See :meth:`Spotter.detect_maps`; the features are the pixels alone."""
        pixels = images.float()
        return (pixels,), DetectionMaps(self.detector(pixels)[1])
