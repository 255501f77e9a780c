"""RapidOCR 3: PP-OCRv6 small on onnxruntime, with its own boxes of words; its wheel carries the models."""

import re
from collections.abc import Sequence
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from dld_spotter.core.errors import ConfigError
from dld_spotter.inference.engines.engine import Engine, Line
from dld_spotter.inference.engines.ppocr import absent, along_text, beginning_as, checked_score, padded, usable_threads
from dld_spotter.models.ppocr.weights import FILES

MODULES = ("rapidocr", "onnxruntime", "pyclipper", "colorlog")
REMEDY = 'pip install "dld-spotter[rapidocr]"'
MODELS = {"Det": FILES["detector"], "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx", "Rec": FILES["recognizer"]}
"""Files in the wheel of rapidocr 3.10, by their section in its options."""
AS_IT_IS = {
    "Global.use_preprocess_img": False,  # else sides are brought to 30..2000 (min_side_len, max_side_len)
    "Global.use_vertical_padding": False,  # else wide and low images are padded (width_height_ratio, min_height)
    "Det.limit_type": "min",
    "Det.limit_side_len": 0,  # 736 by default: what is lower is enlarged
}
"""Options of RapidOCR 3 that leave the size of an image alone; sides must be multiples of the stride as well."""
CHINESE = re.compile("[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")
"""Characters, signs and full-width forms: with one of these in a line, RapidOCR gives boxes of characters, none of words."""

Piece = tuple[str, float, Sequence[Sequence[float]]]
"""Part of a line as RapidOCR gives it: text, a score, and four corners."""


class RapidOCR(Engine):
    """Detector, direction classifier and recogniser of PP-OCRv6 small, with their own options but for the size.

    Images are padded with black to multiples of 32, as for our own models, since its detector would resize them to that.
    Nothing is loaded from anywhere but the wheel. A word's score is that of its line, which ``min_score`` is compared with:
    what RapidOCR 3.10 gives beside a word is the confidence of some single character of the line.

    Args:
        min_score: lines read with less confidence are dropped; 0.5 is the engine's own default.
        threads: how many it may use; None for as many as PyTorch uses for a spotter.
        own_size: let RapidOCR resize what it is given, as it does where nothing is said: sides below 736 pixels up, above
            2000 down.

    Raises:
        ConfigError: ``min_score`` does not lie in 0..1, or the files of the models are damaged.
    """

    name = "rapidocr"

    def __init__(self, min_score: float = 0.5, threads: int | None = None, own_size: bool = False) -> None:
        super().__init__(threads)
        self.min_score, self.own_size = checked_score(min_score), own_size
        Pipeline = import_module("rapidocr").RapidOCR  # no requirement of ours: see the extra in pyproject.toml

        options = {
            "Global.text_score": 0.0,  # the threshold is ours, so that what is doubtful can be read again
            "Global.return_word_box": True,
            "Global.log_level": "error",  # else it tells of every image without text
            "EngineConfig.onnxruntime.intra_op_num_threads": usable_threads(self.threads),
        }
        files = {f"{part}.model_path": str(path) for part, path in model_files().items()}  # else it may download them
        self.pipeline = Pipeline(params=({} if own_size else AS_IT_IS) | options | files)
        blank = np.zeros((self.stride, self.stride, 3), np.uint8)
        try:  # it loads a model when that is first used
            self.pipeline(blank, use_det=False)
            self.pipeline(blank, use_det=True)
        except Exception as error:  # onnxruntime has exceptions of its own
            reason = str(error).partition("\n")[0]
            raise ConfigError(f"engine=rapidocr cannot load the models in {models_folder()} ({reason}); {again()}") from error

    @classmethod
    def missing(cls) -> str | None:
        """See :meth:`Engine.missing`."""
        if reason := absent(MODULES, REMEDY):
            return reason
        gone = [path.name for path in model_files().values() if not path.is_file()]
        return f"{models_folder()} lacks {', '.join(gone)}; {again()}" if gone else None

    def settings(self) -> dict[str, str | int | float | bool]:
        """See :meth:`Engine.settings`."""
        return {"min_score": self.min_score, "own_size": self.own_size}

    def version(self) -> str:
        """See :meth:`Engine.version`."""
        return metadata.version("rapidocr")

    def read(self, image: np.ndarray) -> list[Line]:
        """See :meth:`Engine.read`; what it returns are words, but for lines for which the engine has none."""
        found = self.pipeline(image[..., ::-1] if self.own_size else padded(image, self.stride))
        if not found.txts:
            return []
        pieces = list(found.word_results) if len(found.word_results) == len(found.txts) else [None] * len(found.txts)
        lines = zip(found.boxes, found.txts, found.scores, pieces, strict=True)
        return [word for box, text, score, parts in lines for word in words_of(Line(along_text(box), text, score), parts)]


def words_of(line: Line, pieces: Sequence[Piece] | None) -> list[Line]:
    """The words of a line, each as a line of its own; the line itself where its pieces are not words or not all of it.

    >>> line = Line(np.array([[0, 0], [50, 0], [50, 9], [0, 9]]), "AB CD", 0.9)
    >>> pieces = [("AB", 1.0, [[0, 0], [18, 0], [18, 9], [0, 9]]), ("CD", 1.0, [[29, 0], [50, 0], [50, 9], [29, 9]])]
    >>> [(word.text, word.polygon[:2, 0].tolist()) for word in words_of(line, pieces)]
    [('AB', [0, 18]), ('CD', [29, 50])]
    >>> words_of(line, pieces[:1]) == words_of(line, None) == [line]
    True
    """
    pieces = pieces or []
    spelled = "".join(text for text, _, _ in pieces)
    if spelled != "".join(line.text.split()) or CHINESE.search(spelled):
        return [line]
    return [Line(beginning_as(np.array(box), line.polygon), text, line.score) for text, _, box in pieces]


def models_folder() -> Path:
    """Where the wheel keeps its models."""
    found = find_spec("rapidocr")
    if found is None or found.origin is None:
        raise ConfigError(f"engine=rapidocr is not installed; {REMEDY}")
    return Path(found.origin).parent / "models"


def model_files() -> dict[str, Path]:
    """The files of the models, whether they are there or not, by their section in RapidOCR's options."""
    return {part: models_folder() / name for part, name in MODELS.items()}


def again() -> str:
    """How to get the files of the models."""
    return 'they come with the wheel: pip install --force-reinstall --no-deps "rapidocr>=3.10"'
