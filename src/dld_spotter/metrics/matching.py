"""Pairs the words of one image with its predictions and counts them, under any protocol."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple, Self

import numpy as np
import shapely

from dld_spotter.core.errors import ConfigError
from dld_spotter.core.hmean import hmean, precision, recall
from dld_spotter.core.instances import TextInstances
from dld_spotter.core.words import Word
from dld_spotter.metrics.lexicons import WordList
from dld_spotter.metrics.protocols import Protocol, Task, check_task, dictionary_form, find_protocol


class ImageCounts(NamedTuple):
    """Matched words, predictions that count, and true words that count."""

    matched: int = 0
    predicted: int = 0
    true: int = 0


@dataclass(frozen=True)
class Hmean:
    """Precision, recall and their harmonic mean, see :mod:`dld_spotter.core.hmean`."""

    precision: float
    recall: float
    hmean: float

    @classmethod
    def of(cls, counts: Iterable[ImageCounts]) -> Self:
        """Summarise the counts of many images: counts are summed first, so large images weigh more."""
        matched, predicted, true = np.sum([ImageCounts(), *counts], axis=0).tolist()
        return cls(float(precision(matched, predicted)), float(recall(matched, true)), float(hmean(matched, predicted, true)))


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
    return match_images([truth], [words], protocol, task, iou, [lexicon], exact=False)[0].counts


def match_image(
    truth: TextInstances,
    words: Sequence[Word],
    protocol: str | Protocol = "rrc",
    task: Task = "end_to_end",
    iou: float = 0.5,
    lexicon: WordList | None = None,
) -> ImageMatch:
    """Match the predictions of one image to its true words; see :func:`match_images`."""
    return match_images([truth], [words], protocol, task, iou, [lexicon])[0]


def match_images(
    truths: Sequence[TextInstances],
    words: Sequence[Sequence[Word]],
    protocol: str | Protocol = "rrc",
    task: Task = "end_to_end",
    iou: float = 0.5,
    lexicons: Sequence[WordList | None] | None = None,
    exact: bool = True,
) -> list[ImageMatch]:
    """Match predictions to true words by the rules in :mod:`dld_spotter.metrics.protocols`, all images at once.

    Args:
        truths: per image its words.
        words: per image its predictions, in the order in which they compete.
        protocol: a protocol or its name.
        task: what counts as a match.
        iou: a pair needs more than this, 0 to below 1.
        lexicons: per image the words to which its predictions are corrected first.
        exact: whether every IoU is wanted; otherwise it is 0 wherever the bounding boxes show that it decides nothing.

    Raises:
        ConfigError: unknown protocol or task, or ``iou`` out of range.
    """
    protocol, task = find_protocol(protocol), check_task(task)
    if not 0 <= iou < 1:
        raise ConfigError(f"iou={iou} must be at least 0 and below 1, such as 0.5")
    lexicons = lexicons or [None] * len(truths)
    compared = [tuple(lexicon.apply(found) if lexicon else found) for found, lexicon in zip(words, lexicons, strict=True)]
    texts, flags = zip(*(_comparable(truth, task) for truth in truths), strict=True) if truths else ((), ())
    ignored_truth = np.concatenate([*flags, np.zeros(0, bool)])

    # From here on true words and predictions are numbered through all images, pairs in the order in which they are tried.
    sizes = np.array([(len(truth), len(found)) for truth, found in zip(truths, compared, strict=True)], int).reshape(-1, 2)
    polygons = [*(p for truth in truths for p in truth.polygons), *(word.polygon for found in compared for word in found)]
    pairs = _Pairs.of(_Shapes.of(polygons, protocol), sizes, ignored_truth, iou, protocol.area_threshold(iou), exact)
    ignored_words = np.zeros(sizes[:, 1].sum(), bool)
    ignored_words[pairs.columns[ignored_truth[pairs.rows] & (pairs.inside > protocol.area_threshold(iou))]] = True
    candidates = (pairs.iou > iou) & ~ignored_truth[pairs.rows] & ~ignored_words[pairs.columns]
    taken = _first_come(pairs.rows[candidates], pairs.columns[candidates])

    matches = []
    first, block = np.cumsum(sizes, axis=0) - sizes, np.cumsum(sizes.prod(1)) - sizes.prod(1)
    ends = np.searchsorted(taken[:, 0], first[:, 0] + sizes[:, 0])
    for i, (true, found) in enumerate(sizes.tolist()):
        (t, w), own = first[i], slice(block[i], block[i] + true * found)
        mine = taken[ends[i - 1] if i else 0 : ends[i]] - first[i]
        correct = [task == "detection" or protocol.same_text(texts[i][a], compared[i][b].text, task) for a, b in mine.tolist()]
        ious, inside = pairs.iou[own].reshape(true, found), pairs.inside[own].reshape(true, found)
        flags = ignored_truth[t : t + true], ignored_words[w : w + found]
        matches.append(ImageMatch(ious, inside, *flags, mine, np.array(correct, bool), texts[i], compared[i]))
    return matches


@dataclass(frozen=True)
class _Pairs:
    """Every true word with every prediction of its image, K pairs, both numbered through all images.

    Args:
        rows: ``(K,)`` int, true words.
        columns: ``(K,)`` int, predictions.
        iou: ``(K,)``.
        inside: ``(K,)`` share of the prediction's area that lies in the true word.
    """

    rows: np.ndarray
    columns: np.ndarray
    iou: np.ndarray
    inside: np.ndarray

    @classmethod
    def of(
        cls, shapes: "_Shapes", sizes: np.ndarray, ignored_truth: np.ndarray, iou: float, area_threshold: float, exact: bool
    ) -> Self:
        """Measure the overlaps in ``shapes``, all true words before all predictions; ``sizes`` ``(N, 2)`` of each image."""
        each = np.repeat(sizes[:, 1], sizes[:, 0])  # how many predictions each true word meets
        rows = np.repeat(np.arange(len(each)), each)
        first_word = np.repeat(np.cumsum(sizes[:, 1]) - sizes[:, 1], sizes[:, 0])
        columns = np.arange(len(rows)) - (np.cumsum(each) - each)[rows] + first_word[rows]

        partners = columns + len(each)
        true_areas, word_areas = shapes.areas[rows], shapes.areas[partners]
        most = shapes.box_overlap(rows, partners)
        wanted = most > 0
        if not exact:
            wanted &= np.where(
                ignored_truth[rows], most > area_threshold * word_areas, most > iou * (true_areas + word_areas - most)
            )
        overlap = np.zeros(len(rows))
        overlap[wanted] = shapes.overlap(rows[wanted], partners[wanted])
        inside = np.divide(overlap, word_areas, out=np.zeros_like(overlap), where=word_areas > 0)
        union = true_areas + word_areas - overlap
        return cls(rows, columns, np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0), inside)


def _comparable(truth: TextInstances, task: Task) -> tuple[tuple[str, ...], np.ndarray]:
    """Texts to compare with, and which true words are don't-care regions in this task."""
    if task != "word_spotting":
        return truth.transcriptions, truth.ignore
    forms = [dictionary_form(text) for text in truth.transcriptions]
    no_word = np.array([form is None for form in forms], bool)
    return tuple(form or text for form, text in zip(forms, truth.transcriptions, strict=True)), truth.ignore | no_word


def _first_come(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Pair row after row with its first free column, of candidates ``(K,)`` in order -> ``(M, 2)`` int."""
    pairs: list[tuple[int, int]] = []
    taken_rows: set[int] = set()
    taken_columns: set[int] = set()
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if row not in taken_rows and column not in taken_columns:
            taken_rows.add(row)
            taken_columns.add(column)
            pairs.append((row, column))
    return np.array(pairs, int).reshape(-1, 2)


@dataclass(frozen=True)
class _Shapes:
    """N polygons as one array of points.

    A polygon that crosses itself covers what the even-odd rule says, while its area is the plain shoelace sum: so does
    the clipping library of the scripts. Fewer than three points make an empty region.

    Args:
        points: ``(P, 2)`` pixels, polygon after polygon.
        starts: ``(N + 1,)`` int, where each polygon begins, and the end.
        areas: ``(N,)`` square pixels.
    """

    points: np.ndarray
    starts: np.ndarray
    areas: np.ndarray

    @classmethod
    def of(cls, regions: Sequence[np.ndarray], protocol: Protocol) -> Self:
        """Join polygons, each ``(P, 2)``, in the precision of a protocol."""
        lengths = np.array([max(len(region), 3) for region in regions], int)
        whole = [region if len(region) >= 3 else np.zeros((3, 2)) for region in regions]
        points = protocol.corners(np.concatenate([*whole, np.zeros((0, 2))]).astype(float))
        starts = np.concatenate([[0], np.cumsum(lengths)])
        following = np.arange(1, len(points) + 1)
        following[starts[1:] - 1] = starts[:-1]
        owner = np.repeat(np.arange(len(regions)), lengths)
        # Relative to each polygon's first point, so that far from the origin no digits are lost.
        x, y = (points - points[starts[:-1]][owner]).T
        areas = np.abs(np.bincount(owner, x * y[following] - x[following] * y, len(regions))) / 2
        return cls(points, starts, areas)

    def box_overlap(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """What the bounding boxes of pairs ``(K,)`` of polygons share."""
        if not len(rows):
            return np.zeros(0)
        low, high = (extreme.reduceat(self.points, self.starts[:-1]) for extreme in (np.minimum, np.maximum))
        sides = np.minimum(high[rows], high[columns]) - np.maximum(low[rows], low[columns])
        shared: np.ndarray = sides.clip(0).prod(-1)
        return shared

    def overlap(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """What pairs ``(K,)`` of polygons share, square pixels."""
        used, place = np.unique(np.concatenate([rows, columns]), return_inverse=True)
        if not len(used):
            return np.zeros(0)
        parts = [self.points[self.starts[i] : self.starts[i + 1]] for i in used.tolist()]
        owner = np.repeat(np.arange(len(used)), np.diff(self.starts)[used])
        shapes = shapely.polygons(shapely.linearrings(np.concatenate(parts), indices=owner))
        for i in np.flatnonzero(~shapely.is_valid(shapes)):
            shapes[i] = _even_odd(parts[i])
        first, second = shapes[place].reshape(2, -1)
        areas: np.ndarray = shapely.area(shapely.intersection(first, second))
        return areas


def _even_odd(points: np.ndarray) -> shapely.Geometry:
    """What a self-crossing polygon ``(P, 2)`` covers by the even-odd rule: its fan of triangles, overlaps cancelling out."""
    fan = np.stack([np.broadcast_to(points[0], points[2:].shape), points[1:-1], points[2:]], axis=1)
    triangles = shapely.polygons(fan)
    region = reduce(shapely.symmetric_difference, triangles[shapely.area(triangles) > 0], shapely.Polygon())
    return shapely.buffer(region, 0)  # an area, even where nothing is left
