"""PP-OCRv6 small as a checkpoint in memory, made of the files that the package rapidocr brings."""

from typing import Any

from torch import Tensor

from dld_spotter.core.charset import PRINTABLE_ASCII, Charset
from dld_spotter.models.ppocr.weights import detector_state, recognizer_state
from dld_spotter.models.ppocr.widths import NOMINAL_WIDTH

NAME = "ppocr_small"
"""What ``ckpt=`` and ``stages.teacher.checkpoint=`` call it."""
SCALES = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0]
THUMBNAIL = 128
"""Scales and thumbnail as of ``conf/train.yaml``."""


def configuration(charset: Charset) -> dict[str, Any]:
    """What ``conf/spotter/ppocr_small.yaml`` says, for a charset."""
    characters = {
        "_target_": "dld_spotter.core.charset.Charset",
        "characters": charset.characters,
        "fold_case": charset.fold_case,
    }
    return {
        "_target_": "dld_spotter.models.ppocr.spotter.PPOCRSpotter",
        "charset": characters,
        "stages": [48, 96, 192, 384],
        "channels": 96,
        "recognizer": {
            "_target_": "dld_spotter.models.ppocr.reading.PPOCRWordRecognizer",
            "charset": characters,
            "stages": [96, 192, 384],
            "channels": 120,
            "expansion": 2.0,
            "margin": 0.0,
            "halve_width": False,
            "width_ratio": 1.0,
            "counted_width": NOMINAL_WIDTH,
        },
        "postprocess": {
            "_target_": "dld_spotter.models.detector.TextMapDecoder",
            "stride": 1,
            "shrink": 0.5,
            "threshold": 0.3,
            "min_score": 0.3,
            "points": 2,
            "curved_below": 0.0,
            "turned_above": 1.5,
            "max_words": 2000,
        },
        "min_score": 0.5,
    }


def convert(charset: Charset | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Provenance and weights of a checkpoint whose student is PP-OCRv6 small.

    Args:
        charset: what it writes; None for printable ASCII.

    Raises:
        CheckpointError: rapidocr or onnx is missing, or another one than expected.
        ConfigError: the charset folds case.
    """
    charset = charset or Charset(PRINTABLE_ASCII)
    parts = {"detector": detector_state(), "recognizer.network": recognizer_state(charset)}
    state = {f"student.{part}.{name}": value for part, values in parts.items() for name, value in values.items()}
    model = {"student": configuration(charset)}
    return {"format": 1, "model": model, "scales": list(SCALES), "thumbnail": THUMBNAIL}, state
