"""Reads exported spotters whose recogniser reads pixels alone: crops as wide as the word, CTC in NumPy. Needs no torch."""

from collections.abc import Iterable, Sequence

import numpy as np

from dld_spotter.core.charset import BLANK, END, PADDING
from dld_spotter.core.geometry import grown, word_heights
from dld_spotter.inference.onnx_backend import OnnxBackend, averaged
from dld_spotter.inference.onnx_meta import DETECTOR, RECOGNIZER
from dld_spotter.models.detections import Detections
from dld_spotter.models.ppocr.widths import HEIGHT, crop_widths
from dld_spotter.models.proposals import Proposals
from dld_spotter.models.spaces import apart

LEVELS = 3
"""The image, a half and a quarter of it: tall words are reduced with a filter."""


class OnnxCropBackend(OnnxBackend):
    """The graphs of such an export; arguments as of :class:`~dld_spotter.inference.onnx_backend.OnnxBackend`."""

    def open_graphs(self) -> None:
        """See :meth:`OnnxBackend.open_graphs`; what the columns say is weighed here."""
        self._detector = self.open(DETECTOR)
        self._recognizer = self.open(RECOGNIZER)

    def read(self, detections: Detections, found: Proposals) -> tuple[list[str], np.ndarray, np.ndarray]:
        """See :meth:`OnnxBackend.read`; of each word its log-probabilities ``(T, V)``."""
        view, full = detections.source[:2]
        boundaries = found.boundaries if full is None else found.boundaries / detections.factors
        boundaries = grown(boundaries, self.meta.get("margin", 0.0))
        pixels = (view if full is None else full).astype(np.float32)
        widths, levels = crop_widths(boundaries, self.meta.get("width_ratio", 1.0)), _levels(boundaries)
        columns = np.empty(len(found), object)
        for level in range(LEVELS):
            for width in np.unique(widths[levels == level]):
                words = np.flatnonzero((levels == level) & (widths == width))
                inputs = {"image": pixels, "boundaries": boundaries[words] / 2**level}
                inputs["positions"] = np.zeros(width, np.float32)
                columns[words] = [*self._recognizer.run(None, inputs)[0]]
            pixels = _halved(pixels) if (levels > level).any() else pixels
        return *self._greedy(columns), columns

    def _greedy(self, columns: Iterable[np.ndarray]) -> tuple[list[str], np.ndarray]:
        """Texts and scores ``(N,)`` of words whose log-probabilities are known."""
        read = [ctc_greedy(one) for one in columns]
        return [self.charset.decode(indices) for indices, _ in read], np.array([score for _, score in read], np.float32)

    def apart(
        self, found: Proposals, chosen: np.ndarray, context: np.ndarray, texts: list[str], scores: np.ndarray
    ) -> tuple[Proposals, np.ndarray, np.ndarray, list[str], np.ndarray]:
        """See :meth:`OnnxBackend.apart`."""
        margin = self.meta.get("margin", 0.0)
        told = apart(found, chosen, texts, lambda rows: [context[k].argmax(1) for k in rows], self.charset, margin)
        parts = [context[part.region][part.start : part.end] for part in told.parts]
        read, sure = self._greedy(parts)
        every = np.empty(len(told.places), object)
        every[:] = [*context[told.rest], *parts]
        kept = [texts[k].strip() for k in told.rest]
        return told.places, told.regions, every, kept + read, np.concatenate([scores[told.rest], sure])

    def weigh(self, context: np.ndarray, words: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """See :meth:`OnnxBackend.weigh`."""
        return np.array([ctc_log_probability(context[word], row) for word, row in zip(words, labels, strict=True)])


def _levels(boundaries: np.ndarray) -> np.ndarray:
    """How often an image is halved for words ``(N, 2, K, 2)``, as in :func:`dld_spotter.models.roi.sample_crops`."""
    halvings: np.ndarray = np.log2(np.maximum(word_heights(boundaries), 1e-3) / HEIGHT).round().clip(0, LEVELS - 1)
    return halvings.astype(int)


def _halved(pixels: np.ndarray) -> np.ndarray:
    """Mean of each 2 x 2 pixels of ``(1, 3, H, W)``."""
    return np.stack([averaged(plane, 2) for plane in pixels[0]])[None]


def ctc_greedy(log_probabilities: np.ndarray) -> tuple[Sequence[int], float]:
    """Characters of the best path of ``(T, V)``, and their mean probability; :func:`dld_spotter.models.decoding.ctc_greedy`."""
    path, best = log_probabilities.argmax(1), log_probabilities.max(1)
    keep = (path != BLANK) & (path != np.concatenate([[BLANK], path[:-1]]))
    counted = best[keep] if keep.any() else best
    return path[keep].tolist(), float(np.exp(counted.mean()))


def ctc_log_probability(log_probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Log-probability of a text under CTC, as :func:`dld_spotter.models.decoding.ctc_log_probability`.

    Args:
        log_probabilities: ``(T, V)``.
        labels: ``(L,)`` int64, padded after END.
    """
    text = labels[(labels != PADDING) & (labels != END)]
    states = np.full(2 * len(text) + 1, BLANK)
    states[1::2] = text
    skip = np.zeros(len(states), bool)  # from a character to the next one, unless it is the same
    skip[3::2] = text[1:] != text[:-1]
    seen = log_probabilities[:, states].astype(np.float64)
    reached = np.full(len(states), -np.inf)
    reached[:2] = seen[0, :2]
    for column in seen[1:]:
        step = np.concatenate([[-np.inf], reached[:-1]])
        over = np.where(skip, np.concatenate([[-np.inf, -np.inf], reached[:-2]])[: len(states)], -np.inf)
        reached = np.logaddexp(np.logaddexp(reached, step), over) + column
    return float(np.logaddexp.reduce(reached[-2:]))
