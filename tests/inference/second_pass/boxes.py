"""A backend that reads bright boxes and misses what is low in its view, and photos of such boxes."""

from collections.abc import Sequence
from math import ceil

import cv2
import numpy as np

from dld_spotter.budget.cap import CostCap
from dld_spotter.core.geometry import boundaries_to_polygon
from dld_spotter.core.words import Cost, SpottingResult, Word
from dld_spotter.data.photos import scaled_size
from dld_spotter.data.resizing import resize
from dld_spotter.inference.backend import Backend
from dld_spotter.inference.second_pass.two_pass import read_twice
from dld_spotter.models.detections import Detections
from dld_spotter.models.proposals import Proposals
from dld_spotter.selection.second_pass.rule import SecondPassRule
from tests.selection.second_pass.tables import area

LOW, HIGH = (30, 40, 90, 52), (200, 150, 320, 190)
"""Left, top, right and bottom of a word that is 12 and one that is 40 pixels high."""
STRIDE = 32


class BoxBackend(Backend):
    """Reads bright boxes of at least ``least`` pixels of its view, with a score that follows their height.

    Args:
        least: height of the lowest box that it finds.
        cost: of a view.

    Attributes:
        seen: heights and widths of the views so far.
    """

    def __init__(self, least: float = 10.0, cost: Cost = area) -> None:
        self.least, self._cost = least, cost
        self.seen: list[tuple[int, int]] = []

    def describe(self) -> str:
        """See :meth:`Backend.describe`."""
        return "boxes"

    def identity(self) -> tuple[str, str, int]:
        """See :meth:`Backend.identity`."""
        return "boxes", "cpu", 1

    def cost(self, height: int, width: int, words: float) -> float:
        """See :meth:`Backend.cost`."""
        return self._cost(height, width, words)

    def resize(self, image: np.ndarray, height: int, width: int) -> np.ndarray:
        """See :meth:`Backend.resize`."""
        return resize(image, height, width)

    def detect(self, images: Sequence[np.ndarray], scale: float, keep_all: bool = False) -> list[Detections]:
        """Bright boxes; probability 0.9 within these and 0.2 in dim ones, at half of the resolution."""
        return [self._detect(image, scale) for image in images]

    def _detect(self, image: np.ndarray, scale: float) -> Detections:
        height, width = scaled_size(*image.shape[:2], scale)
        self.seen.append((height, width))
        view = np.zeros([ceil(side / STRIDE) * STRIDE for side in (height, width)], np.uint8)
        view[:height, :width] = self.resize(image, height, width)[..., 0]
        count, _, stats, _ = cv2.connectedComponentsWithStats((view > 180).astype(np.uint8))
        boxes = [box for box in stats[1:count, :4].tolist() if box[3] >= self.least]
        boundaries = [[[[x, y], [x + w, y]], [[x, y + h], [x + w, y + h]]] for x, y, w, h in boxes]
        proposals = Proposals(
            np.array(boundaries, np.float32).reshape(-1, 2, 2, 2), np.ones(len(boxes)), np.full(len(boxes), -1)
        )
        values = view[::2, ::2]
        probability = np.where(values > 180, 0.9, np.where(values > 90, 0.2, 0.01)).astype(np.float32)
        factors = np.array([width / image.shape[1], height / image.shape[0]], np.float32)
        return Detections((height, width), probability, proposals, factors)

    def recognize(self, detections: Sequence[Detections], which: Sequence[np.ndarray]) -> list[list[Word]]:
        """All words are alike."""
        return [self._words(one, one.proposals.boundaries[kept]) for one, kept in zip(detections, which, strict=True)]

    @staticmethod
    def _words(detections: Detections, boundaries: np.ndarray) -> list[Word]:
        heights = np.ptp(boundaries[:, :, 0, 1], axis=1)
        polygons = [boundaries_to_polygon(one / detections.factors) for one in boundaries]
        return [Word(polygon, "word", min(h / 20, 1.0)) for polygon, h in zip(polygons, heights.tolist(), strict=True)]


def read_in_two_passes(
    backend: Backend, image: np.ndarray, scale: float, rule: SecondPassRule, cap: CostCap | None = None
) -> SpottingResult:
    """Read an image at a scale, and again what the rule finds worth it."""
    (detections,) = backend.detect([image], scale)
    return read_twice(detections, image, rule, rule.gain_threshold, backend, cap)


def photo(*boxes: tuple[int, int, int, int], dim: tuple[int, int, int, int] | None = None) -> np.ndarray:
    """Bright boxes on black, and one that is too dim to be detected."""
    image = np.zeros((256, 384, 3), np.uint8)
    for left, top, right, bottom in boxes:
        image[top:bottom, left:right] = 255
    if dim:
        image[dim[1] : dim[3], dim[0] : dim[2]] = 120
    return image


def boxes_of(words: Sequence[Word]) -> list[list[float]]:
    """Left, top, right and bottom of words, in order."""
    return sorted([*word.polygon.min(0).tolist(), *word.polygon.max(0).tolist()] for word in words)
