"""An engine that needs nothing: it reads the very images that :func:`tests.data.samples.sample` draws."""

import cv2
import numpy as np

from dld_spotter.inference.engines.engine import Engine, Line


class DrawnEngine(Engine):
    """Finds white boxes, and reads into each of them the text that it was given."""

    name = "drawn"

    def __init__(self, text: str = "cat dog", threads: int | None = None):
        super().__init__(threads)
        self.text = text
        self.seen = []

    @classmethod
    def missing(cls):
        return None

    def version(self):
        return "1.2"

    def read(self, image):
        self.seen.append(image)
        _, mask = cv2.threshold(image[..., 0], 128, 255, cv2.THRESH_BINARY)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        boxes = [cv2.boundingRect(outline) for outline in outlines]
        return [Line(np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]]), self.text, 0.9) for x, y, w, h in boxes]


WORDS = (("HELLO", 60), ("WORLD", 225))
"""What is written, and where it begins."""


def written() -> np.ndarray:
    """A light image ``(120, 600, 3)`` with dark text."""
    image = np.full((120, 600, 3), 235, np.uint8)
    for word, left in WORDS:
        cv2.putText(image, word, (left, 75), cv2.FONT_HERSHEY_SIMPLEX, 1.5, (20, 20, 20), 3, cv2.LINE_AA)
    return image


def written_spans() -> list[tuple[int, int]]:
    """First and last column of each word, taken from the pixels."""
    dark = np.flatnonzero((written() < 128).any(axis=(0, 2)))
    left, right = (dark[dark < WORDS[1][1]], dark[dark >= WORDS[1][1]])
    return [(left[0], left[-1]), (right[0], right[-1])]
