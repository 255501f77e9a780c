"""Pairs the words of one image with its predictions and counts them, under any protocol."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple, Self

import numpy as np
import shapely

from dld_spotter.errors import ConfigError
from dld_spotter.instances import TextInstances
from dld_spotter.metrics.lexicons import WordList
from dld_spotter.metrics.protocols import Protocol, Task, check_task, dictionary_form, find_protocol
from dld_spotter.word import Word


class ImageCounts(NamedTuple):
    """Matched words, predictions that count, and true words that count."""

    matched: int = 0
    predicted: int = 0
    true: int = 0


@dataclass(frozen=True)
class Hmean:
    """Precision, recall and their harmonic mean, each 0 where there is nothing to divide by, as in the scripts."""

    precision: float
    recall: float
    hmean: float

    @classmethod
    def of(cls, counts: Iterable[ImageCounts]) -> Self:
        """Summarise the counts of many images: counts are summed first, so large images weigh more."""
        matched, predicted, true = np.sum([ImageCounts(), *counts], axis=0).tolist()
        precision = matched / predicted if predicted else 0.0
        recall = matched / true if true else 0.0
        hmean = 2 * precision * recall / (precision + recall) if matched else 0.0
        return cls(precision, recall, hmean)


@dataclass(frozen=True)
class ImageMatch:
    """Everything that was decided about one image with G true words and D predictions.

    Args:
        iou: ``(G, D)`` intersection over union.
        inside: ``(G, D)`` share of each prediction's area that lies in each true word.
        ignored_truth: ``(G,)`` bool, don't-care regions.
        ignored_words: ``(D,)`` bool, predictions that lie in one.
        pairs: ``(M, 2)`` int, (true word, prediction) in the order they were taken.
        correct: ``(M,)`` bool, whether the pair counts as a match in this task.
        truths: per true word the text that was compared.
        words: the predictions that were compared, after the lexicon.
    """

    iou: np.ndarray
    inside: np.ndarray
    ignored_truth: np.ndarray
    ignored_words: np.ndarray
    pairs: np.ndarray
    correct: np.ndarray
    truths: tuple[str, ...]
    words: tuple[Word, ...]

    @property
    def counts(self) -> ImageCounts:
        """The counts that enter precision and recall."""
        return ImageCounts(int(self.correct.sum()), int((~self.ignored_words).sum()), int((~self.ignored_truth).sum()))


def score_image(
    truth: TextInstances,
    words: Sequence[Word],
    protocol: str | Protocol = "rrc",
    task: Task = "end_to_end",
    iou: float = 0.5,
    lexicon: WordList | None = None,
) -> ImageCounts:
    """Count the matches of one image; see :func:`match_image`."""
    return match_image(truth, words, protocol, task, iou, lexicon, exact=False).counts


def match_image(
    truth: TextInstances,
    words: Sequence[Word],
    protocol: str | Protocol = "rrc",
    task: Task = "end_to_end",
    iou: float = 0.5,
    lexicon: WordList | None = None,
    exact: bool = True,
) -> ImageMatch:
    """Match the predictions of one image to its true words by the rules in :mod:`dld_spotter.metrics.protocols`.

    Args:
        truth: the image's words.
        words: predictions, in the order in which they compete.
        protocol: a protocol or its name.
        task: what counts as a match.
        iou: a pair needs more than this, 0 to below 1.
        lexicon: words to which the predictions are corrected first.
        exact: whether every IoU is wanted; otherwise it is 0 wherever the bounding boxes show that it decides nothing.

    Raises:
        ConfigError: unknown protocol or task, or ``iou`` out of range.
    """
    protocol, task = find_protocol(protocol), check_task(task)
    if not 0 <= iou < 1:
        raise ConfigError(f"iou={iou} must be at least 0 and below 1, such as 0.5")
    words = tuple(lexicon.apply(words) if lexicon else words)
    truths, ignored_truth = _comparable(truth, task)

    regions = [protocol.corners(polygon) for polygon in (*truth.polygons, *(word.polygon for word in words))]
    shapes = _Shapes.of(regions)
    true_areas, word_areas = shapes.areas[: len(truth)], shapes.areas[len(truth) :]
    largest = shapes.box_overlap(len(truth))
    wanted = largest > 0
    if not exact:
        for_care = largest > iou * (true_areas[:, None] + word_areas - largest)
        for_dont_care = largest > protocol.area_threshold(iou) * word_areas
        wanted &= np.where(ignored_truth[:, None], for_dont_care, for_care)
    overlap = shapes.overlap(wanted)
    inside = np.divide(overlap, word_areas, out=np.zeros_like(overlap), where=word_areas > 0)
    ignored_words = (inside[ignored_truth] > protocol.area_threshold(iou)).any(0)
    union = true_areas[:, None] + word_areas - overlap
    ious = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)

    pairs = _first_come((ious > iou) & ~ignored_truth[:, None] & ~ignored_words)
    correct = [task == "detection" or protocol.same_text(truths[t], words[w].text, task) for t, w in pairs]
    return ImageMatch(ious, inside, ignored_truth, ignored_words, pairs, np.array(correct, bool), truths, words)


def _comparable(truth: TextInstances, task: Task) -> tuple[tuple[str, ...], np.ndarray]:
    """Texts to compare with, and which true words are don't-care regions in this task."""
    if task != "word_spotting":
        return truth.transcriptions, truth.ignore
    forms = [dictionary_form(text) for text in truth.transcriptions]
    no_word = np.array([form is None for form in forms], bool)
    return tuple(form or text for form, text in zip(forms, truth.transcriptions, strict=True)), truth.ignore | no_word


def _first_come(candidates: np.ndarray) -> np.ndarray:
    """Pair row after row with its first free column; ``candidates`` ``(G, D)`` bool -> ``(M, 2)`` int."""
    pairs: list[tuple[int, int]] = []
    rows: set[int] = set()
    columns: set[int] = set()
    for row, column in np.argwhere(candidates).tolist():
        if row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
            pairs.append((row, column))
    return np.array(pairs, int).reshape(-1, 2)


@dataclass(frozen=True)
class _Shapes:
    """N polygons as one array of points.

    A polygon that crosses itself covers what the even-odd rule says, while its area is the plain shoelace sum: so does
    the clipping library of the scripts. Fewer than three points make an empty region.

    Args:
        points: ``(P, 2)`` pixels, polygon after polygon.
        starts: ``(N,)`` int, where each polygon begins.
        owner: ``(P,)`` int, the polygon of each point.
        areas: ``(N,)`` square pixels.
    """

    points: np.ndarray
    starts: np.ndarray
    owner: np.ndarray
    areas: np.ndarray

    @classmethod
    def of(cls, regions: Sequence[np.ndarray]) -> Self:
        """Join polygons, each ``(P, 2)``."""
        lengths = np.array([max(len(region), 3) for region in regions], int)
        points = np.concatenate([region if len(region) >= 3 else np.zeros((3, 2)) for region in regions] or [np.zeros((0, 2))])
        points = points.astype(float)
        owner = np.repeat(np.arange(len(regions)), lengths)
        starts = np.cumsum(lengths) - lengths
        following = np.arange(1, len(points) + 1)
        following[starts + lengths - 1] = starts
        # Relative to each polygon's first point, so that far from the origin no digits are lost.
        x, y = (points - points[starts][owner]).T
        areas = np.abs(np.bincount(owner, x * y[following] - x[following] * y, len(regions))) / 2
        return cls(points, starts, owner, areas)

    def box_overlap(self, split: int) -> np.ndarray:
        """What the bounding boxes of the first ``split`` polygons share with those of the others ``(G, D)``."""
        if not len(self.starts):
            return np.zeros((0, 0))
        low, high = np.minimum.reduceat(self.points, self.starts), np.maximum.reduceat(self.points, self.starts)
        sides = np.minimum(high[:split, None], high[None, split:]) - np.maximum(low[:split, None], low[None, split:])
        return sides.clip(0).prod(-1)

    def overlap(self, wanted: np.ndarray) -> np.ndarray:
        """What the first G polygons share with the other D, where ``wanted`` ``(G, D)`` bool; 0 elsewhere."""
        overlap = np.zeros(wanted.shape)
        rows, columns = np.nonzero(wanted)
        if len(rows):
            shapes = shapely.polygons(shapely.linearrings(self.points, indices=self.owner))
            for index in np.flatnonzero(~shapely.is_valid(shapes)):
                shapes[index] = _even_odd(self.points[self.owner == index])
            overlap[rows, columns] = shapely.area(shapely.intersection(shapes[rows], shapes[columns + len(wanted)]))
        return overlap


def _even_odd(points: np.ndarray) -> shapely.Geometry:
    """What a self-crossing polygon ``(P, 2)`` covers by the even-odd rule: its fan of triangles, overlaps cancelling out."""
    fan = np.stack([np.broadcast_to(points[0], points[2:].shape), points[1:-1], points[2:]], axis=1)
    triangles = shapely.polygons(fan)
    region = reduce(shapely.symmetric_difference, triangles[shapely.area(triangles) > 0], shapely.Polygon())
    return shapely.buffer(region, 0)  # an area, even where nothing is left
