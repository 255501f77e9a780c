"""Words of a region, which a detector has not told apart and a recogniser of lines has: it writes spaces. Needs no torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from dld_spotter.core.charset import BLANK, Charset
from dld_spotter.core.geometry import between, word_heights
from dld_spotter.models.proposals import Proposals

SPACE = " "
HALF_GAP = 0.1
"""Of a word's height, from the middle of a gap to the words beside it."""


@dataclass(frozen=True)
class Part:
    """A word of a region.

    Args:
        region: which one.
        start: first of the region's CTC columns that belong to it.
        end: the one behind its last.
        begin: where it begins in the region's crop, of the crop's length.
        finish: where it ends.
    """

    region: int
    start: int
    end: int
    begin: float
    finish: float

    @classmethod
    def of(cls, region: int, path: np.ndarray, space: int) -> list[Self]:
        """The words of a region, in reading direction.

        Args:
            region: which one.
            path: ``(T,)`` likeliest class of each column of its crop.
            space: class of the space.

        Between two words are the columns from the last one that writes a character before a space to the first one after it;
        the gap is in the middle of the columns of the space. Spaces before the first character and behind the last one belong
        to no word.
        """
        written = np.flatnonzero((path != BLANK) & (path != space))
        if not len(written):
            return []
        every = np.flatnonzero(path == space)
        before, spaces, behind = np.split(every, np.searchsorted(every, [written[0], written[-1]]))
        following = np.searchsorted(written, spaces)  # the character behind each column of a space
        gaps = [spaces[following == k] for k in np.unique(following)]
        starts = [int(before[-1]) + 1 if len(before) else 0, *(int(gap[-1]) + 1 for gap in gaps)]
        ends = [*(int(gap[0]) for gap in gaps), int(behind[0]) if len(behind) else len(path)]
        middles = [0.0, *(float(gap[0] + gap[-1] + 1) / (2 * len(path)) for gap in gaps), 1.0]
        return [cls(region, *both, *middles[k : k + 2]) for k, both in enumerate(zip(starts, ends, strict=True))]


@dataclass(frozen=True, eq=False)
class Apart:
    """Regions of which some hold several words.

    Args:
        places: R regions that stay as they are, then P words.
        rest: which regions ``(R,)`` stay.
        parts: the words of the others.
    """

    places: Proposals
    rest: np.ndarray
    parts: list[Part]

    @property
    def regions(self) -> np.ndarray:
        """The region ``(R + P,)`` that each place is, or is a part of."""
        return np.array([*self.rest, *(part.region for part in self.parts)], int)


def apart(
    found: Proposals,
    chosen: np.ndarray,
    texts: Sequence[str],
    paths: Callable[[list[int]], Sequence[np.ndarray]],
    charset: Charset,
    margin: float,
) -> Apart:
    """Tell words apart at the spaces that were read between them.

    Args:
        found: N regions.
        chosen: those ``(M,)`` that are asked for.
        texts: what was read in all of them.
        paths: of some regions the likeliest class ``(T,)`` of each column of their crops.
        charset: has a space.
        margin: how far crops reach beyond their region at every side, of its height.
    """
    several = [k for k in chosen.tolist() if SPACE in texts[k].strip()]
    (space,) = charset.classes(SPACE)
    parts = [
        part for k, path in zip(several, paths(several) if several else [], strict=True) for part in Part.of(k, path, space)
    ]
    rest = np.setdiff1d(chosen, several)
    places = replace(found.take(rest), whole=np.full(len(rest), -1))
    return Apart(Proposals.joined([places, _cut(found, parts, margin)]), rest, parts)


def _cut(found: Proposals, parts: Sequence[Part], margin: float) -> Proposals:
    """Places of words that are parts of regions.

    Args:
        found: the regions.
        parts: the words.
        margin: how far crops reach beyond their region at either end, of its height.
    """
    regions = np.array([part.region for part in parts], int)
    boundaries = found.boundaries[regions]
    lengths = np.linalg.norm(np.diff(boundaries, axis=2), axis=-1).sum(-1).mean(1)
    heights = word_heights(boundaries)
    shares = np.array([(part.begin, part.finish) for part in parts]).reshape(-1, 2)
    beyond = (margin * heights / np.maximum(lengths, 1e-3))[:, None]
    inside = shares * (1 + 2 * beyond) - beyond
    half = (HALF_GAP * heights / np.maximum(lengths, 1e-3))[:, None] * [1, -1]
    inside = np.where((shares > 0) & (shares < 1), inside + half, inside).clip(0, 1)
    return Proposals(between(boundaries, inside), found.scores[regions], np.full(len(parts), -1))
