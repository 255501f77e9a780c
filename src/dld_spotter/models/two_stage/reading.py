"""From regions with their scores and masks to words that may be read, on the processor."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dld_spotter.models.proposals import MAP_STRIDE, Proposals, TextMapDecoder
from dld_spotter.models.two_stage.masks import outline, paste


@dataclass(frozen=True)
class RegionDecoder:
    """Which regions are words, and where their sides are.

    Args:
        threshold: score from which on a region may be a word.
        unsure: score from which on it is shown to a second pass.
        overlap: of regions that overlap more, the likelier stays.
        max_words: regions per image at most, the likeliest.
        mask_threshold: probability above which a cell of a mask belongs to the word.
        min_height: words flatter than this many pixels of the view are dropped.
        points: points K per side.
        curved_below: a mask that fills less of its rectangle than this is followed as a curve.
        turned_above: what is more than so many times as tall as wide is a word turned by more than 45 degrees.
    """

    threshold: float = 0.5
    unsure: float = 0.1
    overlap: float = 0.3
    max_words: int = 100
    mask_threshold: float = 0.5
    min_height: float = 3.0
    points: int = 8
    curved_below: float = 0.7
    turned_above: float = 3.5

    @cached_property
    def _outlines(self) -> TextMapDecoder:
        """What finds the sides of an outline."""
        kept = {name: getattr(self, name) for name in ("min_height", "points", "curved_below", "turned_above")}
        return TextMapDecoder(stride=1, **kept)

    def __call__(self, boxes: np.ndarray, scores: np.ndarray, masks: np.ndarray, height: int, width: int) -> Proposals:
        """Find the words of one image.

        Args:
            boxes: ``(R, 4)`` pixels of the view.
            scores: ``(R,)``.
            masks: ``(R, S, S)`` probabilities within the boxes.
            height: rows of the view that are image, not padding.
            width: columns of the same.
        """
        found, sure = [], []
        for box, score, mask in zip(boxes, scores, masks, strict=True):
            sides = self._outlines.sides(outline(mask, box, self.mask_threshold)) if score >= self.threshold else None
            if sides is not None:
                found.append(sides)
                sure.append(score)
        boundaries = np.array(found, np.float32).reshape(-1, 2, self.points, 2).clip(0, np.array([width, height], np.float32))
        return Proposals(boundaries, np.array(sure, np.float32), np.full(len(found), -1))

    def text_map(self, boxes: np.ndarray, scores: np.ndarray, masks: np.ndarray, height: int, width: int) -> np.ndarray:
        """What a second pass is decided on: ``(height / 2, width / 2)`` where text is, as likely as its region and its mask."""
        shown = np.zeros((height // MAP_STRIDE, width // MAP_STRIDE), np.float32)
        for box, score, mask in zip(boxes, scores, masks, strict=True):
            paste(score * mask, box, shown, MAP_STRIDE)
        return shown
