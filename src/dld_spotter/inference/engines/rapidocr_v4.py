"""RapidOCR 1.4: PP-OCRv4 mobile on onnxruntime; its wheel carries the models."""

from importlib import import_module, metadata

import numpy as np

from dld_spotter.inference.engines.engine import Engine, Line
from dld_spotter.inference.engines.ppocr import absent, along_text, checked_score, padded, usable_threads

MODULES = ("rapidocr_onnxruntime", "onnxruntime", "pyclipper", "yaml")
REMEDY = 'pip install "dld-spotter[rapidocr]" and then pip install --no-deps rapidocr-onnxruntime'
AS_IT_IS = {
    "det_limit_type": "min",
    "det_limit_side_len": 0,  # 736 by default: what is lower is enlarged
    "max_side_len": 10**9,  # 2000 by default: what is longer is reduced
    "min_side_len": 0,
    "width_height_ratio": -1,  # else wide images are padded
}
"""Options of RapidOCR 1.4 that leave the size of an image alone; sides must be multiples of the stride as well."""


class RapidOCRv4(Engine):
    """Detector, direction classifier and recogniser of PP-OCRv4 mobile (Chinese and English). It returns lines.

    Images are padded with black to multiples of 32, as for our own models, since its detector would resize them to that.

    Args:
        min_score: lines read with less confidence are dropped; 0.5 is the engine's own default.
        threads: how many it may use; None for as many as PyTorch uses for a spotter.

    Raises:
        ConfigError: ``min_score`` does not lie in 0..1.
    """

    name = "rapidocr_v4"

    def __init__(self, min_score: float = 0.5, threads: int | None = None) -> None:
        super().__init__(threads)
        Pipeline = import_module("rapidocr_onnxruntime").RapidOCR  # no requirement of ours: see the extra in pyproject.toml

        self.min_score = checked_score(min_score)
        options = {"text_score": 0.0, "intra_op_num_threads": usable_threads(self.threads)}
        self.pipeline = Pipeline(**AS_IT_IS, **options)

    @classmethod
    def missing(cls) -> str | None:
        """See :meth:`Engine.missing`."""
        return absent(MODULES, REMEDY)

    def version(self) -> str:
        """See :meth:`Engine.version`."""
        return metadata.version("rapidocr-onnxruntime")

    def read(self, image: np.ndarray) -> list[Line]:
        """See :meth:`Engine.read`."""
        found, _ = self.pipeline(padded(image, self.stride))
        return [Line(along_text(np.array(box)), text, float(score)) for box, text, score in found or []]
