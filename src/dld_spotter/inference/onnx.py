"""Read photos with what ``python -m dld_spotter.export`` left: ONNX Runtime, NumPy, OpenCV, Shapely, Pillow, and no torch."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from dld_spotter.budget.cap import CostCap
from dld_spotter.budget.controller import Calibration
from dld_spotter.budget.operating_points import OperatingPoints
from dld_spotter.core.charset import Charset
from dld_spotter.core.errors import CheckpointError, ConfigError
from dld_spotter.core.geometry import boundaries_to_polygon
from dld_spotter.core.words import SpottingResult, Word
from dld_spotter.data.photos import ReferenceSize, scaled_size
from dld_spotter.data.resizing import resize
from dld_spotter.inference.predictor import PhotoReader
from dld_spotter.inference.provenance import (
    ARGUMENTS,
    CHARSET,
    NOTHING,
    PARTS,
    SCALES,
    THUMBNAIL,
    Rule,
    check_fields,
    check_plain,
    either,
    number,
    one_of,
    several,
    shown,
    text,
    whole,
)
from dld_spotter.inference.provenance import DECODER as TEXT_MAP_DECODER
from dld_spotter.inference.second_pass.two_pass import read_in_two_passes
from dld_spotter.models.contours import TextMapDecoder
from dld_spotter.models.detections import Detections
from dld_spotter.models.vocabulary import Vocabulary, boost_known_words, least_score, rescore
from dld_spotter.selection.second_pass.rule import SecondPassRule

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

FORMAT = 7
META, DETECTOR, RECOGNIZER, SPELLER, SELECTOR = "meta.json", "student.onnx", "recognizer.onnx", "speller.onnx", "selector.onnx"
VOCABULARY = "vocabulary.txt"
LARGEST = 16 * 2**20
"""Bytes of ``meta.json``."""
GROUP = Rule("values by name", lambda value: type(value) is dict)
RULES = {
    "charset": GROUP,
    "stride": whole(1, 1024),
    "scales": SCALES,
    "postprocess": GROUP,
    "full_resolution_crops": one_of(True, False),
    "min_score": number(0, 1),
    "max_length": whole(1, 4096),
    "vocabulary": either(NOTHING, text(4096)),
    "thumbnail": whole(1, THUMBNAIL),
    "gflops": GROUP,
    "provenance": GROUP,
    "selector": either(NOTHING, GROUP),
}
"""Entry of ``meta.json`` -> what it may be."""
SELECTOR_RULES = {
    "rule": one_of("heads", "losses", "steps"),
    "scales": SCALES,
    "gammas": several(number(0, 1e18), 1, 64),
}


class OnnxSpotter(PhotoReader):
    """An exported spotter with its selector; reads as :class:`dld_spotter.DynamicSpotter` does.

    Args:
        folder: what the export left.
        reference: rule for the reference resolution; the longest side is limited, so that large photos stay affordable.
        threads: threads of ONNX Runtime; None for one per core.
        providers: where ONNX Runtime computes, best first, such as ``CUDAExecutionProvider``.
        escalation: when and where to look again; None leaves it to the selector, of which most know one look alone.
        vocabulary: ``english``, a file of words, or ``none``; None takes the one that was exported.

    Raises:
        CheckpointError: a file is missing, damaged, or of another format.
        ConfigError: ONNX Runtime is not installed, or the vocabulary cannot be read.
    """

    ladder: OperatingPoints | None = None

    def __init__(
        self,
        folder: str | Path,
        reference: ReferenceSize | None = None,
        threads: int | None = None,
        providers: tuple[str, ...] = ("CPUExecutionProvider",),
        escalation: SecondPassRule | None = None,
        vocabulary: str | Path | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.meta = read_meta(self.folder)
        self.reference = reference or ReferenceSize(long=1280)
        try:
            self.charset = Charset(**self.meta["charset"])
            self.postprocess = TextMapDecoder(**self.meta["postprocess"])
        except ConfigError as error:
            raise CheckpointError(f"{self.folder / META} cannot be used: {error}") from error
        self.has_selector = self.meta["selector"] is not None
        self.scales = self.meta["selector"]["scales"] if self.has_selector else ()
        self.selector_gflops = self.meta["gflops"]["selector"]
        self.threads, self.providers = threads, providers
        training, origin = self.meta["provenance"]["training"], str(self.folder / META)
        own = SecondPassRule.read(training.get("escalation"), origin) if "ladder" in training else SecondPassRule()
        self.rule = escalation.taught_by(own) if escalation else own
        self.price = escalation.price if escalation else inf
        if "ladder" in training:
            self.ladder = OperatingPoints.read(training["ladder"], origin)
            self.calibration = self.ladder.calibration
        elif "calibration" in training:
            self.calibration = Calibration.read(training["calibration"], origin)
        self._detector = _open(self.folder / DETECTOR, threads, providers)
        self._recognizer = _open(self.folder / RECOGNIZER, threads, providers)
        self._speller = _open(self.folder / SPELLER, threads, providers)
        if vocabulary is None and self.meta["vocabulary"]:
            vocabulary = self.folder / VOCABULARY
        self.vocabulary = Vocabulary.of(vocabulary)
        learned = self.has_selector and self.ladder is None
        self._selector = _open(self.folder / SELECTOR, threads, providers) if learned else None

    def check_gamma(self, gamma: float) -> None:
        """See :meth:`PhotoReader.check_gamma`."""
        if self.meta["selector"]["rule"] == "heads":
            self._head(gamma)
        elif not gamma >= 0:
            raise ConfigError(f"gamma={gamma:g} must be at least 0")

    def identity(self) -> tuple[str, str, int]:
        """See :meth:`PhotoReader.identity`."""
        weights = hashlib.sha256((self.folder / DETECTOR).read_bytes() + repr(self.vocabulary).encode()).hexdigest()[:16]
        return weights, f"ONNX Runtime {'/'.join(self.providers)}", self.threads or os.cpu_count() or 1

    def resize(self, image: np.ndarray, height: int, width: int) -> np.ndarray:
        """See :meth:`PhotoReader.resize`."""
        return resize(image, height, width)

    def choose(self, reference: np.ndarray, gamma: float | None = None) -> float:
        """See :meth:`PhotoReader.choose`."""
        if self.ladder is not None:
            return self.ladder.at(self._weight(gamma)).scale
        rule = self.meta["selector"]
        side = self.meta["thumbnail"]
        thumbnail = _planes([self.resize(reference, side, side)], side, side)
        sizes = np.array([reference.shape[:2]], np.int64)
        ((losses,),) = self._selector.run(None, {"thumbnails": thumbnail, "sizes": sizes})
        if rule["rule"] == "heads":
            index = losses[self._head(gamma)].argmin()
        else:
            height, width = reference.shape[:2]
            costs = np.array([self.gflops(*scaled_size(height, width, scale), 0) for scale in rule["scales"]])
            index = (losses[0] + self._weight(gamma) * costs / self.gflops(height, width, 0)).argmin()
        return rule["scales"][int(index)]

    def price_for(self, gamma: float | None = None) -> float:
        """See :meth:`PhotoReader.price_for`."""
        return self.price if self.ladder is None else self.ladder.at(self._weight(gamma)).price

    def spot(
        self, references: Sequence[np.ndarray], scale: float, prices: Sequence[float], limit: CostCap | None = None
    ) -> list[SpottingResult]:
        """See :meth:`PhotoReader.spot`."""
        whole = references[0].shape[:2]
        size = scaled_size(*whole, scale)
        prices = [inf] * len(references) if size == whole else prices
        asked = zip(self._glances(references, size), references, prices, strict=True)
        return [
            read_in_two_passes(detections, reference, self.rule, price, self.gflops, self._find, self._read, limit)
            for detections, reference, price in asked
        ]

    def _find(self, image: np.ndarray, scale: float) -> Detections:
        return self._glances([image], scaled_size(*image.shape[:2], scale))[0]

    def _glances(self, references: Sequence[np.ndarray], size: tuple[int, int]) -> list[Detections]:
        """Look at images of one size."""
        height, width = references[0].shape[:2]
        images = self._batch_of([self.resize(reference, *size) for reference in references])
        text, *pyramid = self._detector.run(None, {"images": images})
        factors = np.array([size[1] / width, size[0] / height], np.float32)
        least = least_score(self.meta["min_score"], self.vocabulary)
        all_detections = []
        for row, probability in enumerate(text):
            proposals = self.postprocess(probability, *size).promising(least)
            view, *maps = (level[row : row + 1] for level in (images, *pyramid))
            full = (
                self._batch_of(references[row : row + 1])
                if self.meta["full_resolution_crops"] and size != (height, width)
                else None
            )
            all_detections.append(Detections(size, probability, proposals, factors, (view, full, *maps)))
        return all_detections

    def _read(self, detections: Detections, which: np.ndarray) -> list[Word]:
        if not len(which):
            return []
        found = detections.proposals.take(which)
        view, full, *pyramid = detections.source
        reference_boundaries = found.boundaries / detections.factors
        inputs = dict(zip(("fine", "middle", "coarse"), pyramid, strict=True))
        inputs |= {"boundaries": found.boundaries, "image_index": np.zeros(len(found), np.int64)}
        inputs |= {
            "images": view if full is None else full,
            "image_boundaries": found.boundaries if full is None else reference_boundaries,
        }
        labels, scores, context = self._recognizer.run(["labels", "scores", "context"], inputs)
        texts = [self.charset.decode(indices) for indices in labels.tolist()]
        chosen = found.surest(scores, np.array([len(text) for text in texts]))
        scores = scores * found.scores
        sure = chosen[scores[chosen] >= least_score(self.meta["min_score"], self.vocabulary)]
        texts = self._proofread(context[sure], [texts[k] for k in sure])
        scores = boost_known_words(scores[sure], texts, self.vocabulary)
        return [
            Word(boundaries_to_polygon(reference_boundaries[k]), text, score)
            for k, text, score in zip(sure.tolist(), texts, scores.tolist(), strict=True)
            if text and score >= self.meta["min_score"]
        ]

    def _proofread(self, context: np.ndarray, texts: list[str]) -> list[str]:
        """See :meth:`dld_spotter.models.spotter.TextMapSpotter.rescore`."""
        if self.vocabulary is None:
            return texts

        def weigh(words: np.ndarray, labels: np.ndarray) -> np.ndarray:
            return self._speller.run(None, {"context": context, "words": words, "labels": labels})[0]

        return rescore(texts, self.vocabulary, self.charset, self.meta["max_length"] + 1, weigh)

    def gflops(self, height: int, width: int, words: int) -> float:
        """See :meth:`PhotoReader.gflops`; those of convolutions follow the number of pixels."""
        stride, costs = self.meta["stride"], self.meta["gflops"]
        pixels = -(-height // stride) * -(-width // stride) * stride**2
        return pixels * costs["per_pixel"] + words * costs["per_word"]

    def _batch_of(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Lay images ``(H, W, 3)`` of one size at the top left of zeros ``(B, 3, H', W')``, multiples of the stride."""
        stride = self.meta["stride"]
        return _planes(images, *(-(-side // stride) * stride for side in images[0].shape[:2]))

    def _weight(self, gamma: float | None) -> float:
        """The cost weight, by default the middle one."""
        return self.meta["selector"]["gammas"][self._head(None)] if gamma is None else gamma

    def _head(self, gamma: float | None) -> int:
        """Which of the selector's decisions belongs to a cost weight, by default the middle one."""
        gammas = self.meta["selector"]["gammas"]
        if gamma is None:
            return len(gammas) // 2
        if round(float(gamma), 9) not in gammas:
            known = ", ".join(f"{value:g}" for value in gammas)
            raise ConfigError(f"gamma={gamma:g} is none of this selector's cost weights; choose one of {known}")
        return gammas.index(round(float(gamma), 9))


def read_meta(folder: Path) -> Mapping[str, Any]:
    """Read ``meta.json`` of an export.

    Raises:
        CheckpointError: it is missing, damaged, or of another format.
    """
    path = folder / META
    if path.exists() and not (path.is_file() and path.stat().st_size <= LARGEST):
        raise CheckpointError(f"{path} is no file of at most {LARGEST // 2**20} MiB; export again")
    try:
        meta = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist; name a folder that `python -m dld_spotter.export` wrote") from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); export again") from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not of format {FORMAT}; export again with this version of dld_spotter")
    check_meta(meta, path)
    return meta


def check_meta(meta: Mapping[str, Any], path: Path) -> None:
    """Raise CheckpointError where ``meta.json`` says something that no export writes, naming the key."""
    check_plain(meta, path, tuple(f"provenance.training.model.{part}" for part in PARTS))
    check_fields(meta, RULES, "", path)
    check_fields(meta["gflops"], dict.fromkeys(("per_pixel", "per_word", "selector"), number(0, 1e12)), "gflops", path)
    if meta["selector"] is not None:
        check_fields(meta["selector"], SELECTOR_RULES, "selector", path)
    check_fields(meta["provenance"], {"training": GROUP}, "provenance", path)
    for name, target in (("charset", CHARSET), ("postprocess", TEXT_MAP_DECODER)):
        rules = ARGUMENTS[target]
        if foreign := sorted(set(meta[name]) - set(rules)):
            raise CheckpointError(f"{path} has the unknown {name}.{shown(foreign[0])}; export again")
        check_fields(meta[name], {key: rules[key] for key in meta[name]}, name, path)
    if "characters" not in meta["charset"]:
        raise CheckpointError(f"{path} lacks charset.characters; export again")


def _open(path: Path, threads: int | None, providers: tuple[str, ...]) -> "InferenceSession":
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError("ONNX Runtime is not installed; run pip install onnxruntime") from error
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; export again")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    try:
        return onnxruntime.InferenceSession(path, options, providers=list(providers))
    except Exception as error:  # the runtime's own exceptions share no base class
        kind = type(error).__name__
        raise CheckpointError(f"{path} is no graph that ONNX Runtime can load ({kind}); export again") from error


def _planes(images: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """Lay images ``(H, W, 3)`` at the top left of zeros ``(B, 3, height, width)``."""
    batch = np.zeros((len(images), 3, height, width), np.uint8)
    for planes, image in zip(batch, images, strict=True):
        for plane, channel in zip(planes, cv2.split(image), strict=True):
            plane[: image.shape[0], : image.shape[1]] = channel
    return batch
