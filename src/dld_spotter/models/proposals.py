"""From a text map to words, on the processor and without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Self

import cv2
import numpy as np
import shapely

from dld_spotter.core.errors import ConfigError
from dld_spotter.models.joining import join_in_line

MAP_STRIDE = 2
"""Pixels of the view per cell of the text map."""
SURER = 0.02
"""How much surer the parts of a region must be read than all of it to be taken in its place (experiments/22_merged_words)."""


@dataclass(frozen=True)
class Proposals:
    """Where words may be; a region comes before its parts.

    Args:
        boundaries: ``(N, 2, K, 2)`` float32 pixels of the view.
        scores: ``(N,)`` float32, mean text probability.
        whole: ``(N,)`` int64, the region that each is a part of; -1 where it is none.
        dropped: how many more there were than a decoder takes.
    """

    boundaries: np.ndarray
    scores: np.ndarray
    whole: np.ndarray
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def joined(cls, several: Sequence[Self]) -> Self:
        """Put the regions of at least one image behind each other."""
        starts = np.cumsum([0, *(len(proposals) for proposals in several[:-1])])
        whole = [np.where(one.whole < 0, -1, one.whole + start) for one, start in zip(several, starts, strict=True)]
        boundaries, scores = ([getattr(one, name) for one in several] for name in ("boundaries", "scores"))
        return cls(*map(np.concatenate, (boundaries, scores, whole)), sum(one.dropped for one in several))

    def promising(self, least: float, most: int | None = None) -> Self:
        """Those whose score may end at ``least`` or above: reading multiplies it by at most 1; see :meth:`pick`."""
        return self.take(self.pick(least, most))

    def pick(self, least: float = 0.0, most: int | None = None) -> np.ndarray:
        """Indices ``(M,)`` of those of a score of at least ``least``.

        Where they are more than ``most``, parts go first, and then those of the lowest scores. All parts of a region stay, or
        none, so that it is never weighed against some of them; those of a region that goes stand for themselves.
        """
        kept = np.flatnonzero(self.scores >= least)
        if most is not None:
            kept = kept[np.lexsort((-self.scores[kept], self.whole[kept] >= 0))[:most]]
        stays, complete, gone = (np.full(len(self) + 1, value) for value in (False, True, False))  # the last is no region
        stays[kept] = True
        np.logical_and.at(complete, self.whole, stays[:-1])
        for k, whole in enumerate(self.whole):
            if gone[whole] or (stays[whole] and not complete[whole]):
                stays[k], gone[k] = False, True
        return np.flatnonzero(stays[:-1])

    def take(self, kept: np.ndarray) -> Self:
        """Regions at ascending indices ``(M,)``; parts of one that is left out stand for themselves."""
        place = np.full(len(self) + 1, -1)
        place[kept] = np.arange(len(kept))
        return type(self)(self.boundaries[kept], self.scores[kept], place[self.whole[kept]], self.dropped)

    def roots(self) -> np.ndarray:
        """Which region ``(N,)`` each is a part of, of a part, or is itself."""
        roots = np.arange(len(self))
        for k in np.flatnonzero(self.whole >= 0):  # what it is a part of comes before it
            roots[k] = roots[self.whole[k]]
        return roots

    def surest(self, scores: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Which regions are words: all of a region, or its parts where these are read with more confidence.

        A region in which neighbouring words run together is read as one word of which the recogniser is not sure, and a
        word that falls apart as pieces of which it is not sure either.

        Args:
            scores: ``(N,)`` how surely each was read.
            lengths: ``(N,)`` how many characters were read; parts count by them, and nobody is sure of none.
        """
        scores = np.where(lengths > 0, scores, 0)
        chosen: list[list[int]] = [[] for _ in range(len(self))]
        for k in reversed(range(len(self))):
            parts = chosen[k]
            weights = np.maximum(lengths[parts], 1)
            if not parts or not np.average(scores[parts], weights=weights) > scores[k] + SURER:
                chosen[k] = [k]
            if self.whole[k] >= 0:
                chosen[self.whole[k]] += chosen[k]
        roots = np.flatnonzero(self.whole < 0)
        return np.array(sorted(k for root in roots for k in chosen[root]), int)


class _Proposal(NamedTuple):
    """A contour in cells, and what :class:`Proposals` says of it."""

    contour: np.ndarray
    score: float
    boundaries: np.ndarray
    whole: int


@dataclass(frozen=True)
class TextMapDecoder:
    """Turn a text map into words: contours, un-clipping, sides.

    A text map does not tell which way a word is read. The direction is guessed: within 45 degrees of level, from left to
    right; of what is ``turned_above`` times as long across, along its long axis, as far from left to right as that goes. Short
    words that are turned further than 45 degrees are found, but their crops run across them.

    Args:
        threshold: probability above which a cell belongs to a word.
        min_score: least mean probability inside a contour.
        shrink: ratio r by which training shrank the words; the offset is ``A * (1 - r**2) / L`` (DB, section 3.5).
        min_height: words flatter than this many pixels of the view are dropped.
        max_words: at most this many regions per image, the largest first and parts last; of twice as many it is looked whether
            they hold words. What is left out is counted, see :class:`Proposals`.
        points: points K per side.
        curved_below: a region that fills less of its rectangle than this is followed as a curve.
        turned_above: a region more than so many times as tall as it is wide is a word turned by more than 45 degrees; digits
            and capitals that stand alone are up to 3 times as tall.
        join_above: regions of one line between which the probability stays above this are one region; a word is not read in
            pieces, and a recogniser tells words of a region apart. 0 for none.
        levels: higher probabilities, in order: what falls apart above one of them is returned as a whole and in parts, for
            reading to tell which is right (:meth:`Proposals.surest`).
        stride: pixels of the view per cell of the map.
    """

    threshold: float = 0.3
    min_score: float = 0.5
    shrink: float = 0.7
    min_height: float = 3.0
    max_words: int = 2000
    points: int = 8
    curved_below: float = 0.7
    turned_above: float = 3.5
    levels: Sequence[float] = ()
    stride: int = MAP_STRIDE
    join_above: float = 0.0

    def __post_init__(self) -> None:
        levels = tuple(self.levels) if isinstance(self.levels, Sequence) else (self.levels,)
        numbers = all(isinstance(level, int | float) for level in levels)
        if levels and not (numbers and all(low < high for low, high in pairwise((self.threshold, *levels, 1.0)))):
            raise ConfigError(
                f"postprocess.levels must rise from above postprocess.threshold {self.threshold:g} to below 1, found "
                f"{list(levels)}; give such as [0.8], or [] for none"
            )
        if self.join_above and (levels or not 0 < self.join_above < self.threshold):
            raise ConfigError(
                f"postprocess.join_above must be below postprocess.threshold {self.threshold:g}, without postprocess.levels, "
                f"found {self.join_above:g}; give such as {self.threshold / 2:g}, or 0 for none"
            )
        object.__setattr__(self, "levels", levels)

    def __call__(self, probability: np.ndarray, height: int, width: int, least: float = 0.0) -> Proposals:
        """Find the words of one image.

        Args:
            probability: ``(H / stride, W / stride)`` float32 text map.
            height: rows of the view that are image, not padding, pixels.
            width: columns of the same.
            least: score below which regions are not asked for, see :meth:`Proposals.promising`: most contours need not become
                polygons then. Where there are ``levels``, parts may outlive their region, and all are made.
        """
        least = 0.0 if self.levels else least
        probability = probability[: -(-height // self.stride), : -(-width // self.stride)]
        contours = _contours(probability, self.threshold)
        found, dropped = self._grown(probability, contours[: 2 * self.max_words], least=least)
        dropped += max(len(contours) - 2 * self.max_words, 0)
        if self.join_above:
            found = self._joined(probability, found)
        owner, painted = np.full(probability.shape, -1, np.int32), 0
        for level in self.levels:
            for k in range(painted, len(found)):
                cv2.drawContours(owner, [found[k].contour], -1, k, cv2.FILLED)
            painted = len(found)
            inside: dict[int, list[np.ndarray]] = {}
            for contour in _contours(probability, level):
                inside.setdefault(int(owner[contour[0, 0, 1], contour[0, 0, 0]]), []).append(contour)
            for whole in sorted(inside.keys() - {-1}):
                parts = self._grown(probability, inside[whole], whole)[0] if len(inside[whole]) > 1 else []
                if 1 < len(parts) <= self.max_words - len(found):
                    found += parts
        limit = np.array([width, height], np.float32)
        boundaries = (
            np.array([proposal.boundaries for proposal in found], np.float32).reshape(-1, 2, self.points, 2).clip(0, limit)
        )
        scores, whole = (np.array([getattr(proposal, name) for proposal in found]) for name in ("score", "whole"))
        return Proposals(boundaries, scores.astype(np.float32), whole.astype(np.int64), dropped)

    def _grown(
        self, probability: np.ndarray, contours: Sequence[np.ndarray], whole: int = -1, least: float = 0.0
    ) -> tuple[list[_Proposal], int]:
        """Those of the contours that hold a word, grown back to its size, and how many more there are than ``max_words``."""
        least = max(self.min_score, least)
        scored = [(contour, score) for contour in contours if (score := _mean_inside(probability, contour)) >= least]
        dropped = max(len(scored) - self.max_words, 0)
        scored = scored[: self.max_words]
        # Contours run through cell centres, and targets are drawn half a cell too large: the two cancel out.
        shapes = np.empty(len(scored), object)
        shapes[:] = [_solid(contour[:, 0].astype(np.float64) + 0.5) for contour, _ in scored]
        # The smallest rectangle around a region is that around its convex hull, which has few corners to grow.
        outlines = shapes if self.curved_below else shapely.convex_hull(shapes)
        grown = shapely.buffer(outlines, self.offsets(shapes), quad_segs=4)
        boundaries = [self.sides(shapely.get_coordinates(shapely.get_exterior_ring(shape)) * self.stride) for shape in grown]
        kept = [_Proposal(*one, side, whole) for one, side in zip(scored, boundaries, strict=True) if side is not None]
        return kept, dropped

    def _joined(self, probability: np.ndarray, found: list[_Proposal]) -> list[_Proposal]:
        """The same regions, those of one line that weak text connects as one."""
        _, labels = cv2.connectedComponents((probability > self.join_above).astype(np.uint8))
        components = [int(labels[one.contour[0, 0, 1], one.contour[0, 0, 0]]) for one in found]
        joined, taken = [], set()
        for members, around in join_in_line([one.boundaries for one in found], components, self.sides):
            areas = [max(cv2.contourArea(found[k].contour), 1.0) for k in members]
            score = float(np.average([found[k].score for k in members], weights=areas))
            joined.append(_Proposal(found[members[0]].contour, score, around, -1))
            taken.update(members)
        return joined + [one for k, one in enumerate(found) if k not in taken]

    def offsets(self, proposals: np.ndarray) -> np.ndarray:
        """Distance by which each shrunk region is grown back, exact for rectangles.

        With c = 1 - r**2, the word grown by d has area A + L d + 4 d**2 and perimeter L + 8 d, and was shrunk by
        c * area / perimeter = d: a quadratic in d.
        """
        c = 1 - self.shrink**2
        area, perimeter = shapely.area(proposals), shapely.length(proposals)
        a, b = 8 - 4 * c, perimeter * (1 - c)
        return (-b + np.sqrt(b**2 + 4 * a * c * area)) / (2 * a)

    def sides(self, outline: np.ndarray) -> np.ndarray | None:
        """Upper and lower side ``(2, K, 2)`` of an outline ``(P, 2)``, or None where it is too flat or only a line."""
        if not len(outline):
            return None
        center, size, angle = cv2.minAreaRect(outline.astype(np.float32))
        if min(size) < self.min_height:
            return None
        # The rectangle's axis nearest to the horizontal is the reading direction; versions of OpenCV differ in the
        # quarter turn that they report.
        quarters = round(angle / 90)
        length, thickness = size if quarters % 2 == 0 else size[::-1]
        if thickness > self.turned_above * length:
            quarters += 1 if angle > 90 * quarters else -1  # of the two ways along the long axis the one to the right
            length, thickness = thickness, length
        radians = np.deg2rad(angle - 90 * quarters)
        axes = np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])
        along = np.linspace(-length / 2, length / 2, self.points)
        upper, lower = np.full(self.points, -thickness / 2), np.full(self.points, thickness / 2)
        local = (outline - center) @ axes.T
        if length > thickness and _area(local) < self.curved_below * length * thickness:
            upper, lower = _envelope(local, along)
        boundaries = np.stack([np.stack([along, upper], 1), np.stack([along, lower], 1)])
        return boundaries @ axes + np.array(center)


def _contours(probability: np.ndarray, threshold: float) -> list[np.ndarray]:
    """Outlines ``(P, 1, 2)`` of what is above a threshold, the largest first."""
    contours, _ = cv2.findContours((probability > threshold).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return sorted(contours, key=cv2.contourArea, reverse=True)


def _solid(points: np.ndarray) -> shapely.Geometry:
    """Region of a contour; where it is one cell thin it is a point or a line."""
    if len(points) == 1:
        return shapely.Point(points[0])
    if len(points) == 2:
        return shapely.LineString(points)
    polygon = shapely.Polygon(points)
    return polygon if polygon.is_valid else shapely.make_valid(polygon)  # which asks again, at ten times the cost


def _mean_inside(probability: np.ndarray, contour: np.ndarray) -> float:
    x, y, width, height = cv2.boundingRect(contour)
    inside = np.zeros((height, width), np.uint8)
    cv2.fillPoly(inside, [contour - (x, y)], 1)
    return float(cv2.mean(probability[y : y + height, x : x + width], inside)[0])


def _area(points: np.ndarray) -> float:
    x, y = points.T
    return 0.5 * abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))


def _envelope(outline: np.ndarray, along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest y of an outline ``(P, 2)`` near each position ``along`` ``(K,)``."""
    closed = np.concatenate([outline, outline[:1]])
    dense = np.linspace(closed[:-1], closed[1:], 24, endpoint=False, axis=1).reshape(-1, 2)
    half = (along[1] - along[0]) / 2
    upper, lower = np.empty(len(along)), np.empty(len(along))
    for k, position in enumerate(along):
        near = dense[np.abs(dense[:, 0] - position) <= half, 1]
        near = near if len(near) else dense[[np.abs(dense[:, 0] - position).argmin()], 1]
        upper[k], lower[k] = near.min(), near.max()
    return upper, lower
