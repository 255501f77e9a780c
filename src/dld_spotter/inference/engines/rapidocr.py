"""RapidOCR: the PP-OCR models on onnxruntime, whose wheel carries them."""

from importlib import import_module, metadata
from importlib.util import find_spec

import cv2
import numpy as np

from dld_spotter.budget.cost import pad_to
from dld_spotter.inference.engines.engine import Engine, Line

MODULES = ("rapidocr_onnxruntime", "onnxruntime", "pyclipper", "yaml")
AS_IT_IS = {
    "det_limit_type": "min",
    "det_limit_side_len": 0,  # 736 by default: what is lower is enlarged
    "max_side_len": 10**9,  # 2000 by default: what is longer is reduced
    "min_side_len": 0,
    "width_height_ratio": -1,  # else wide images are padded
}
"""Options of RapidOCR 1.4 that leave the size of an image alone; sides must be multiples of the stride as well."""
UPRIGHT = 1.5
"""Boxes at least so many times as high as wide are turned by the engine before it reads them."""


class RapidOCR(Engine):
    """Detector, direction classifier and recogniser of PP-OCRv4 mobile (Chinese and English).

    Images are padded with black to multiples of 32, as for our own models, since its detector would resize them to that.

    Args:
        min_score: lines read with less confidence are dropped; 0.5 is the engine's own default.
        threads: how many it may use; None for as many as PyTorch uses for a spotter.
    """

    name = "rapidocr"

    def __init__(self, min_score: float = 0.5, threads: int | None = None) -> None:
        super().__init__(threads)
        Pipeline = import_module("rapidocr_onnxruntime").RapidOCR  # no requirement of ours: see the extra in pyproject.toml

        self.pipeline = Pipeline(**AS_IT_IS, text_score=min_score, intra_op_num_threads=self.threads)

    @classmethod
    def missing(cls) -> str | None:
        """See :meth:`Engine.missing`."""
        absent = [module for module in MODULES if find_spec(module) is None]
        if not absent:
            return None
        remedy = 'pip install "dld-spotter[rapidocr]" and then pip install --no-deps rapidocr-onnxruntime'
        return f"{', '.join(absent)} is not installed; {remedy}"

    def version(self) -> str:
        """See :meth:`Engine.version`."""
        return metadata.version("rapidocr-onnxruntime")

    def read(self, image: np.ndarray) -> list[Line]:
        """See :meth:`Engine.read`."""
        height, width = image.shape[:2]
        below, right = pad_to(height, self.stride) - height, pad_to(width, self.stride) - width
        padded = cv2.copyMakeBorder(image[..., ::-1], 0, below, 0, right, cv2.BORDER_CONSTANT)
        found, _ = self.pipeline(padded)
        return [Line(along_text(np.array(box)), text, float(score)) for box, text, score in found or []]


def along_text(box: np.ndarray) -> np.ndarray:
    """Let a box ``(4, 2)``, clockwise from its top left, begin where its text does: that of an upright box runs downwards.

    >>> along_text(np.array([[0, 0], [10, 0], [10, 40], [0, 40]])).tolist()
    [[10, 0], [10, 40], [0, 40], [0, 0]]
    """
    sides = np.linalg.norm(box - np.roll(box, -1, axis=0), axis=1)
    upright = sides[1::2].max() >= UPRIGHT * sides[0::2].max()
    return np.roll(box, -1, axis=0) if upright else box
