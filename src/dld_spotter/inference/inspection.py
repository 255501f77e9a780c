"""Everything that is found in an image and what is read in given boxes, whatever the score; words are lost knowingly then."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dld_spotter.core.words import Word
from dld_spotter.inference.backend import Backend
from dld_spotter.inference.predictor import Predictor
from dld_spotter.models.detections import Detections


@dataclass(frozen=True)
class Inspection:
    """What a single pass finds and reads.

    Args:
        regions: every region that is read as a word, polygons in pixels of the original image; of score 0 and without text
            where nothing is read.
        boxes: what is read in each box that was given, polygons likewise; None where none were.
    """

    regions: tuple[Word, ...]
    boxes: tuple[Word, ...] | None


def inspect(predictor: Predictor, pixels: np.ndarray, scale: float, boxes: Sequence[np.ndarray] | None = None) -> Inspection:
    """Find and read in a single pass, whatever the score.

    Args:
        predictor: reads; its policy is not asked.
        pixels: ``(H, W, 3)`` uint8 RGB, the original image.
        scale: of the pass; 1.0 is the reference resolution.
        boxes: polygons ``(P, 2)`` in pixels of the original image, P even and at least 4, clockwise from the text's top left.

    Raises:
        ConfigError: boxes are given to a backend that finds its words itself.
    """
    reference, backend = predictor.reference_of(pixels), predictor.backend
    grow = np.array([pixels.shape[1] / reference.shape[1], pixels.shape[0] / reference.shape[0]], np.float32)
    (detections,) = backend.detect([reference], scale, keep_all=True)
    regions = _regions(backend, detections)
    read = None if boxes is None else backend.read_boxes(detections, [polygon / grow for polygon in boxes])
    return Inspection(_enlarged(regions, grow), None if read is None else _enlarged(read, grow))


def _regions(backend: Backend, detections: Detections) -> list[Word]:
    """Each region with its parts on its own, so that it is known of which of them nothing is read."""
    roots = detections.proposals.roots()
    groups = [np.flatnonzero(roots == root) for root in np.unique(roots)]
    outlines = detections.polygons()
    read = backend.recognize([detections] * len(groups), groups)
    return [word for group, words in zip(groups, read, strict=True) for word in words or [Word(outlines[group[0]], "", 0.0)]]


def _enlarged(words: Sequence[Word], grow: np.ndarray) -> tuple[Word, ...]:
    return tuple(Word(word.polygon * grow, word.text, word.score) for word in words)
