"""Reads with what ``python -m dld_spotter.export`` left: ONNX Runtime, NumPy, OpenCV, Shapely, Pillow, and no torch."""

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import partial, wraps
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import cv2
import numpy as np

from dld_spotter.budget.calibration import Calibration
from dld_spotter.budget.operating_points import OperatingPoint
from dld_spotter.core.charset import Charset
from dld_spotter.core.errors import CheckpointError, ConfigError, SpotterError
from dld_spotter.core.geometry import boundaries_to_polygon
from dld_spotter.core.score_scaling import SCORE_SCALING, ScoreScaling
from dld_spotter.core.words import Cost, Word
from dld_spotter.data.photos import ReferenceSize, scaled_size
from dld_spotter.data.resizing import resize
from dld_spotter.inference.backend import Backend
from dld_spotter.inference.onnx_meta import (
    DETECTOR,
    META,
    RECOGNIZER,
    RESCORER,
    SELECTOR,
    VOCABULARY,
    read_meta,
    refuse_mixture,
)
from dld_spotter.inference.pieces import PieceRule
from dld_spotter.inference.predictor import Predictor
from dld_spotter.models.detections import Detections
from dld_spotter.models.proposals import MAP_STRIDE, Proposals, TextMapDecoder
from dld_spotter.models.vocabulary import Vocabulary, boost_known_words, least_score, rescore
from dld_spotter.selection.policy import OperatingPointPolicy, Policy
from dld_spotter.selection.second_pass.rule import SecondPassRule

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

CPU = ("CPUExecutionProvider",)
P = ParamSpec("P")
T = TypeVar("T")


def onnx_predictor(
    folder: str | Path,
    reference: ReferenceSize | None = None,
    threads: int | None = None,
    providers: tuple[str, ...] = CPU,
    second_pass: SecondPassRule | None = None,
    vocabulary: str | Path | None = None,
    pieces: PieceRule | None = None,
) -> Predictor:
    """Load an exported spotter with its policy; it reads as the checkpoint does that was exported.

    Args:
        folder: what the export left.
        reference: rule for the reference resolution; None limits the longest side to 1280 pixels.
        threads: threads of ONNX Runtime; None for one per core.
        providers: where ONNX Runtime computes, best first, such as ``CUDAExecutionProvider``.
        second_pass: when and where to read again; None leaves it to what was exported.
        vocabulary: ``english``, a file of words, or ``none``; None takes the one that was exported.
        pieces: see :func:`~dld_spotter.inference.loading.load`.

    Raises:
        CheckpointError: a file is missing, damaged, or of another format.
        ConfigError: ONNX Runtime is not installed, or the vocabulary cannot be read.
    """
    kind = OnnxBackend
    if read_meta(Path(folder)).get("reads") == "pixels":
        from dld_spotter.inference.onnx_crops import OnnxCropBackend as kind  # which is made of this one

    backend = kind(folder, threads, providers, vocabulary)
    facts, origin = backend.meta["provenance"]["training"], str(backend.folder / META)
    known = SecondPassRule.from_dict(facts["second_pass"], origin) if "second_pass" in facts else SecondPassRule()
    rule = second_pass.taught_by(known) if second_pass else known
    threshold = second_pass.gain_threshold if second_pass else inf
    scaling = ScoreScaling.from_dict(facts[SCORE_SCALING], origin) if SCORE_SCALING in facts else None
    return Predictor(backend, _policy(backend, origin), rule, reference, threshold, scaling, pieces)


def _policy(backend: "OnnxBackend", origin: str) -> Policy | None:
    """The policy that was exported."""
    facts = backend.meta["provenance"]["training"]
    if "operating_points" in facts:
        return OperatingPointPolicy.from_facts(facts, origin)
    if backend.meta["selector"] is None:
        return None
    policy = OnnxSelectorPolicy(backend)
    if "calibration" in facts:
        policy.calibration = Calibration.from_dict(facts["calibration"], origin)
    return policy


def of_sound_graphs(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """Let a method tell in a sentence where the graphs of its ``folder`` are not those of an export."""

    @wraps(method)
    def told(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(self, *args, **kwargs)
        except SpotterError:
            raise
        except Exception as error:  # of ONNX Runtime, whose own share no base class, or of what is done with the answers
            raise CheckpointError(
                f"{self.folder} holds graphs that do not read as those of an export ({type(error).__name__}); export again"
            ) from error

    return told


class OnnxBackend(Backend):
    """The graphs of an export.

    Args:
        folder: what the export left.
        threads: threads of ONNX Runtime; None for one per core.
        providers: where ONNX Runtime computes, best first.
        vocabulary: see :func:`onnx_predictor`.
    """

    def __init__(
        self,
        folder: str | Path,
        threads: int | None = None,
        providers: tuple[str, ...] = CPU,
        vocabulary: str | Path | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.meta = read_meta(self.folder)
        refuse_mixture(self.meta, self.folder)
        try:
            self.charset = Charset(**self.meta["charset"])
            self.postprocess = TextMapDecoder(**self.meta["postprocess"])
        except ConfigError as error:
            raise CheckpointError(f"{self.folder / META} cannot be used: {error}") from error
        self.threads, self.providers = threads, providers
        self.open_graphs()
        if vocabulary is None and self.meta["vocabulary"]:
            vocabulary = self.folder / VOCABULARY
        self.vocabulary = Vocabulary.of(vocabulary)

    def open_graphs(self) -> None:
        """Load the graphs that finding and reading take."""
        self._detector = self.open(DETECTOR)
        self._recognizer = self.open(RECOGNIZER)
        self._rescorer = self.open(RESCORER)

    def open(self, name: str) -> "InferenceSession":
        """Load one of the graphs."""
        return _open(self.folder / name, self.threads, self.providers)

    def describe(self) -> str:
        """See :meth:`Backend.describe`."""
        return "ONNX" + (f", vocabulary {self.vocabulary.name}" if self.vocabulary else "")

    def identity(self) -> tuple[str, str, int]:
        """See :meth:`Backend.identity`."""
        weights = hashlib.sha256((self.folder / DETECTOR).read_bytes() + repr(self.vocabulary).encode()).hexdigest()[:16]
        return weights, f"ONNX Runtime {'/'.join(self.providers)}", self.threads or os.cpu_count() or 1

    def cost(self, height: int, width: int, words: float) -> float:
        """GFLOP of a view; those of convolutions follow the number of pixels."""
        stride, costs = self.meta["stride"], self.meta["gflops"]
        pixels = -(-height // stride) * -(-width // stride) * stride**2
        gflops: float = pixels * costs["per_pixel"] + words * costs["per_word"]
        return gflops

    def resize(self, image: np.ndarray, height: int, width: int) -> np.ndarray:
        """See :meth:`Backend.resize`."""
        return resize(image, height, width)

    @of_sound_graphs
    def detect(self, images: Sequence[np.ndarray], scale: float, keep_all: bool = False) -> list[Detections]:
        """See :meth:`Backend.detect`."""
        whole = images[0].shape[0], images[0].shape[1]
        size = scaled_size(*whole, scale)
        views = self._batch_of([self.resize(image, *size) for image in images])
        text, *pyramid = self._detector.run(None, {"images": views})
        factors = np.array([size[1] / whole[1], size[0] / whole[0]], np.float32)
        min_score = 0.0 if keep_all else self.meta["min_score"]
        least = least_score(min_score, self.vocabulary)
        found = []
        for row, probability in enumerate(text):
            proposals = self.postprocess(probability, *size, least).promising(least)
            view, *maps = (level[row : row + 1] for level in (views, *pyramid))
            coarse = _reduced(probability, MAP_STRIDE // self.postprocess.stride)
            crops_from_full = self.meta["full_resolution_crops"] and size != whole
            full = self._batch_of(images[row : row + 1]) if crops_from_full else None
            found.append(Detections(size, coarse, proposals, factors, (view, full, *maps), min_score))
        return found

    @of_sound_graphs
    def recognize(self, detections: Sequence[Detections], which: Sequence[np.ndarray]) -> list[list[Word]]:
        """See :meth:`Backend.recognize`."""
        return [self._recognize(one, kept) if len(kept) else [] for one, kept in zip(detections, which, strict=True)]

    def _recognize(self, detections: Detections, which: np.ndarray) -> list[Word]:
        found = detections.proposals.take(which)
        texts, scores, context = self.read(detections, found)
        chosen = found.surest(scores, np.array([len(text) for text in texts]))
        regions = np.arange(len(found))
        if self.meta.get("split_at_spaces"):
            found, regions, context, texts, scores = self.apart(found, chosen, context, texts, scores)
            chosen = np.arange(len(found))
        scores = scores * found.scores
        sure = chosen[scores[chosen] >= least_score(detections.min_score, self.vocabulary)]
        texts = self._rescore(context[sure], [texts[k] for k in sure])
        scores = boost_known_words(scores[sure], texts, self.vocabulary)
        return [
            Word(boundaries_to_polygon(found.boundaries[k] / detections.factors), text, score, int(which[regions[k]]))
            for k, text, score in zip(sure.tolist(), texts, scores.tolist(), strict=True)
            if text and score >= detections.min_score
        ]

    def apart(
        self, found: Proposals, chosen: np.ndarray, context: np.ndarray, texts: list[str], scores: np.ndarray
    ) -> tuple[Proposals, np.ndarray, np.ndarray, list[str], np.ndarray]:
        """Tell words apart at spaces, as :class:`~dld_spotter.models.spotter.MapSpotter` does.

        Raises:
            CheckpointError: the graphs of this kind give no columns along the word.
        """
        raise CheckpointError(f"{self.folder / META} asks for split_at_spaces, which its graphs cannot do; export again")

    def read(self, detections: Detections, found: Proposals) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Texts, scores ``(N,)`` and context of N words, which :meth:`weigh` takes."""
        view, full, *pyramid = detections.source
        inputs = dict(zip(("fine", "middle", "coarse"), pyramid, strict=True))
        inputs |= {"boundaries": found.boundaries, "image_index": np.zeros(len(found), np.int64)}
        inputs |= {
            "images": view if full is None else full,
            "image_boundaries": found.boundaries if full is None else found.boundaries / detections.factors,
        }
        labels, scores, context = self._recognizer.run(["labels", "scores", "context"], inputs)
        return [self.charset.decode(indices) for indices in labels.tolist()], scores, context

    def weigh(self, context: np.ndarray, words: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Log-probability ``(M,)`` of texts, see :meth:`dld_spotter.models.spotter.Spotter.weigh`."""
        log_probabilities: np.ndarray = self._rescorer.run(None, {"context": context, "words": words, "labels": labels})[0]
        return log_probabilities

    def _rescore(self, context: np.ndarray, texts: list[str]) -> list[str]:
        """See :meth:`dld_spotter.models.spotter.MapSpotter.rescore`."""
        if self.vocabulary is None:
            return texts
        weigh = partial(self.weigh, context)
        return rescore(texts, self.vocabulary, self.charset, self.meta["max_length"] + 1, weigh)

    def _batch_of(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Lay images ``(H, W, 3)`` of one size at the top left of zeros ``(B, 3, H', W')``, multiples of the stride."""
        stride = self.meta["stride"]
        return _planes(images, *(-(-side // stride) * stride for side in images[0].shape[:2]))


def averaged(plane: np.ndarray, factor: int) -> np.ndarray:
    """Means over ``factor`` x ``factor`` cells of ``(H, W)`` float32; what is left over at the right and below is dropped."""
    height, width = (side // factor for side in plane.shape)
    means: np.ndarray = cv2.resize(plane[: height * factor, : width * factor], (width, height), interpolation=cv2.INTER_AREA)
    return means


def _reduced(probability: np.ndarray, factor: int) -> np.ndarray:
    """Means over ``factor`` x ``factor`` cells of a map ``(H, W)``: what a second pass is decided on has the usual stride."""
    if factor <= 1:
        return probability
    return averaged(probability, factor)


class OnnxSelectorPolicy(Policy):
    """A learnt selector in ONNX Runtime.

    Args:
        backend: whose export it came with.
    """

    def __init__(self, backend: OnnxBackend) -> None:
        facts = backend.meta["selector"]
        self.scales, self.gammas = tuple(facts["scales"]), tuple(facts["gammas"])
        self.continuous = facts["continuous"]
        self.side = backend.meta["thumbnail"]
        self._gflops: float = backend.meta["gflops"]["selector"]
        self._session = backend.open(SELECTOR)
        self.folder = backend.folder

    @property
    def gflops(self) -> float:
        """See :attr:`Policy.gflops`."""
        return self._gflops

    @of_sound_graphs
    def decide(self, image: np.ndarray, cost: Cost, gamma: float | None = None) -> OperatingPoint:
        """See :meth:`Policy.decide`."""
        height, width = image.shape[:2]
        thumbnail = _planes([resize(image, self.side, self.side)], self.side, self.side)
        sizes = np.array([[height, width]], np.int64)
        ((losses,),) = self._session.run(None, {"thumbnails": thumbnail, "sizes": sizes})
        if self.continuous:
            costs = np.array([cost(*scaled_size(height, width, scale), 0) for scale in self.scales])
            index = (losses[0] + self.weight(gamma) * costs / cost(height, width, 0)).argmin()
        else:
            index = losses[self.index(gamma)].argmin()
        return OperatingPoint(self.scales[int(index)])


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
