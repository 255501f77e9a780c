"""Words to lines, lines to blocks, blocks into reading order, from where words lie and how many stand together.

Words that follow each other closely are a segment. Segments of one row stay apart where the gap between them goes on from row
to row with text on both sides: a gutter between columns. They are one line where one side of such a gap is short, as a price or
a quantity is: a row of a table or a receipt. Blocks are ordered by two rules (Breuel, High Performance Document Layout
Analysis, 2003): of two that overlap across, the upper one comes first; else the left one, unless something that overlaps both
lies between. Needs no torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dld_spotter.core.geometry import polygons_to_boundaries, word_heights
from dld_spotter.core.words import Word

ALIKE = 2.2
"""How many times as high as its neighbour a word of a line may be: tightly outlined, `was` is half as high as `(Apply`."""
LEVEL = 0.5
"""Heights by which words of a line may lie apart across it."""
PARALLEL = 0.8
"""Cosine of the angle by which neighbours of a line may differ in direction."""
GAP = 1.0
"""Heights between words up to which they follow each other closely."""
SHORT = 2
"""Words of a segment up to which it may be an entry of a table."""
TABLE = 0.6
"""Share of the gaps of a gutter with a short segment beside them, from which on it is one of a table."""
ROWS = 4.0
"""Heights from one row to the next up to which a gutter goes on."""
FAR = 15.0
"""Heights across which entries that are no numbers belong together."""
LEADING = 1.0
"""Heights between lines up to which they are of one block."""
SHARED = 0.1
"""Share of the narrower of two blocks from which on they overlap across."""


@dataclass(frozen=True)
class TextLine:
    """Words in a row, in reading order."""

    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        """Its words, a space between them."""
        return " ".join(word.text for word in self.words)

    @property
    def score(self) -> float:
        """Mean of the scores of its words, by their characters."""
        return float(np.average([word.score for word in self.words], weights=[max(len(word.text), 1) for word in self.words]))

    @property
    def polygon(self) -> np.ndarray:
        """Rectangle ``(4, 2)`` float32 around its words, clockwise from the text's top left, along its direction."""
        direction = _unit(_directions(self.words).sum(0))
        axes = np.stack([direction, [-direction[1], direction[0]]])
        local = np.concatenate([word.polygon for word in self.words]) @ axes.T
        (left, top), (right, bottom) = local.min(0), local.max(0)
        corners: np.ndarray = np.array([[left, top], [right, top], [right, bottom], [left, bottom]]) @ axes
        return corners.astype(np.float32)


@dataclass(frozen=True)
class TextBlock:
    """Lines below each other, as of a paragraph or a sign, in reading order."""

    lines: tuple[TextLine, ...]

    @property
    def text(self) -> str:
        """Its lines, one below the other."""
        return "\n".join(line.text for line in self.lines)


def find_blocks(words: Sequence[Word]) -> tuple[TextBlock, ...]:
    r"""Group words to lines and blocks, both in reading order; every word is in one of them.

    >>> def word(text, left, top):
    ...     right, bottom = left + 10 * len(text), top + 20
    ...     return Word(np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32), text, 1.0)
    >>> [block.text for block in find_blocks([word("below", 0, 30), word("right", 60, 0), word("left", 0, 0)])]
    ['left right\nbelow']
    """
    if not words:
        return ()
    page = _Page(words)
    lines = page.joined(page.segments())
    blocks = _ordered(page, _stacked(page, lines))
    return tuple(TextBlock(tuple(TextLine(tuple(words[k] for k in line)) for line in block)) for block in blocks)


@dataclass(eq=False)
class _Page:
    """Where N words lie; level coordinates are those of the page turned so that most of its text runs to the right.

    Attributes:
        starts: ``(N, 2)`` middle of the side where each begins; ``ends`` likewise.
        direction: ``(N, 2)`` unit vectors in which each runs.
        heights: ``(N,)`` pixels.
        sizes: ``(N,)`` the same, of words that are low among the others the height that a higher one would have.
    """

    words: Sequence[Word]
    starts: np.ndarray = field(init=False)
    ends: np.ndarray = field(init=False)
    direction: np.ndarray = field(init=False)
    heights: np.ndarray = field(init=False)
    sizes: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        boundaries = polygons_to_boundaries([word.polygon for word in self.words]).astype(np.float64)
        self.starts, self.ends = boundaries[:, :, 0].mean(1), boundaries[:, :, -1].mean(1)
        self.direction = _directions(self.words)
        self.heights = np.maximum(word_heights(boundaries), 1e-3)
        self.sizes = np.maximum(self.heights, np.minimum(np.median(self.heights), 2 * self.heights))

    @cached_property
    def axes(self) -> np.ndarray:
        """``(2, 2)`` along and across most of the text: the mean direction of the quarter in which most of it runs."""
        lengths = np.linalg.norm(self.ends - self.starts, axis=1) + 1e-6
        quarters = np.round(np.arctan2(self.direction[:, 1], self.direction[:, 0]) / (np.pi / 2)).astype(int) % 4
        main = np.bincount(quarters, lengths, minlength=4).argmax()
        along = _unit((self.direction * (lengths * (quarters == main))[:, None]).sum(0))
        return np.stack([along, [-along[1], along[0]]])

    @cached_property
    def boxes(self) -> np.ndarray:
        """``(N, 2, 2)`` least and greatest level coordinates of each word."""
        level = [word.polygon.astype(np.float64) @ self.axes.T for word in self.words]
        return np.array([[corners.min(0), corners.max(0)] for corners in level])

    def box(self, members: Sequence[int]) -> np.ndarray:
        """``(2, 2)`` the same of several words."""
        return np.stack([self.boxes[members, 0].min(0), self.boxes[members, 1].max(0)])

    def neighbours(self, lasts: np.ndarray, firsts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of M words follow which in their rows.

        Args:
            lasts: ``(M,)`` words that segments end with.
            firsts: ``(M,)`` words that the same segments begin with.

        Returns:
            heights between the end of each and the beginning of each, ``(M, M)``, infinite where they are in no row; and which
            of them are nearest to each other, ``(M, M)`` bool.
        """
        facing = self.direction[lasts] @ self.direction[firsts].T
        between = self.direction[lasts][:, None] + self.direction[firsts][None]
        between /= np.maximum(np.linalg.norm(between, axis=2, keepdims=True), 1e-6)
        step = self.starts[firsts][None] - self.ends[lasts][:, None]
        along = (step * between).sum(2)
        across = np.abs(step[..., 1] * between[..., 0] - step[..., 0] * between[..., 1])
        low, high = self.heights[lasts][:, None], self.heights[firsts][None]
        size = np.maximum(self.sizes[lasts][:, None], self.sizes[firsts][None])
        apart = along / size
        # Rows of a page are not quite level: what is far away may lie further across.
        fits = (facing > PARALLEL) & (across <= np.maximum(LEVEL, 0.02 * apart) * np.maximum(low, high))
        fits &= (np.maximum(low, high) <= ALIKE * np.minimum(low, high)) & (apart > -LEVEL)
        np.fill_diagonal(fits, False)
        apart = np.where(fits, apart, np.inf)
        nearest = (apart == apart.min(1, keepdims=True)) & (apart == apart.min(0, keepdims=True)) & fits
        return apart, nearest

    def segments(self) -> list[list[int]]:
        """Words that follow each other closely, in reading order."""
        every = np.arange(len(self.words))
        apart, nearest = self.neighbours(every, every)
        return _chained([[k] for k in every.tolist()], np.argwhere(nearest & (apart <= GAP)))

    def joined(self, segments: list[list[int]]) -> list[list[int]]:
        """Lines: segments of which those are put together that are entries of a row of a table."""
        lasts, firsts = (np.array([segment[k] for segment in segments]) for k in (-1, 0))
        apart, nearest = self.neighbours(lasts, firsts)
        pairs = np.argwhere(nearest)
        if not len(pairs):
            return segments
        left, right = np.array([(self.boxes[lasts[a], 1, 0], self.boxes[firsts[b], 0, 0]) for a, b in pairs]).T
        rows = np.array([self.boxes[[lasts[a], firsts[b]], :, 1].mean() for a, b in pairs])
        sizes = np.maximum(self.sizes[lasts[pairs[:, 0]]], self.sizes[firsts[pairs[:, 1]]])
        meets = (np.minimum(right[:, None], right) > np.maximum(left[:, None], left)) & (
            np.abs(rows[:, None] - rows) <= ROWS * np.maximum(sizes[:, None], sizes)
        )
        taken = []
        for gutter in _components(meets):
            some = pairs[gutter]
            short = [min(len(segments[a]), len(segments[b])) <= SHORT for a, b in some]
            number = [self._has_number(segments[a]) or self._has_number(segments[b]) for a, b in some]
            near = [apart[a, b] <= FAR for a, b in some]
            if len(some) > 1 and np.mean(short) >= TABLE:
                numbers = np.mean(number) >= 0.5
                taken += [pair for pair, close in zip(some, near, strict=True) if numbers or close]
            else:
                taken += [(a, b) for a, b in some if apart[a, b] <= GAP]
        return _chained(segments, np.array(taken, int).reshape(-1, 2))

    def _has_number(self, segment: Sequence[int]) -> bool:
        """Whether a segment is an entry of figures: short, and half of it digits."""
        text = "".join(self.words[k].text for k in segment)
        return len(segment) <= SHORT and 2 * sum(map(str.isdigit, text)) >= len(text) > 0


def _directions(words: Sequence[Word]) -> np.ndarray:
    """Unit vectors ``(N, 2)`` in which words run; to the right where that is unknown."""
    boundaries = polygons_to_boundaries([word.polygon for word in words], 2).astype(np.float64)
    return _unit((boundaries[:, :, 1] - boundaries[:, :, 0]).sum(1))


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: np.ndarray = np.where(lengths > 1e-9, vectors / np.maximum(lengths, 1e-9), [1.0, 0.0])
    return unit


def _chained(groups: list[list[int]], pairs: np.ndarray) -> list[list[int]]:
    """Put groups behind each other by pairs (before, behind), none of which is twice on one side; a circle is cut."""
    after = {int(a): int(b) for a, b in pairs}
    behind = set(after.values())
    waiting = sorted(range(len(groups)), key=lambda k: k in behind)  # those that begin a chain first
    chains, used = [], set[int]()
    for start in waiting:
        chain: list[int] = []
        k: int | None = start
        while k is not None and k not in used:
            used.add(k)
            chain += groups[k]
            k = after.get(k)
        if chain:
            chains.append(chain)
    return chains


def _components(meets: np.ndarray) -> list[list[int]]:
    """Groups of what hangs together by a symmetric matrix ``(N, N)``."""
    left, found = set(range(len(meets))), []
    while left:
        group = [left.pop()]
        for k in group:
            more = [other for other in np.flatnonzero(meets[k]).tolist() if other in left]
            left.difference_update(more)
            group += more
        found.append(sorted(group))
    return found


def _stacked(page: _Page, lines: list[list[int]]) -> list[list[list[int]]]:
    """Blocks: lines each of which is the next one below another, and alike in height and direction."""
    boxes = np.array([page.box(line) for line in lines])
    middle = boxes[:, :, 1].mean(1)
    sizes = np.array([np.median(page.sizes[line]) for line in lines])
    direction = _unit(np.array([page.direction[line].sum(0) for line in lines]))
    over = np.minimum(boxes[:, None, 1, 0], boxes[None, :, 1, 0]) - np.maximum(boxes[:, None, 0, 0], boxes[None, :, 0, 0])
    below = boxes[None, :, 0, 1] - boxes[:, None, 1, 1]
    size = np.maximum(sizes[:, None], sizes)
    fits = (over > 0) & (middle[None] > middle[:, None]) & (below <= LEADING * size) & (direction @ direction.T > PARALLEL)
    np.fill_diagonal(fits, False)
    distance = np.where(fits, middle[None] - middle[:, None], np.inf)
    nearest = fits & (distance == distance.min(1, keepdims=True)) & (distance == distance.min(0, keepdims=True))
    # A line above two columns, or below them, is of neither.
    alone = (fits & (distance <= distance.min(1, keepdims=True) + 0.5 * size)).sum(1) == 1
    alone_above = (fits & (distance <= distance.min(0, keepdims=True) + 0.5 * size)).sum(0) == 1
    nearest &= alone[:, None] & alone_above[None] & (size <= 1.6 * np.minimum(sizes[:, None], sizes))
    chains = _chained([[k] for k in range(len(lines))], np.argwhere(nearest))
    return [[lines[k] for k in chain] for chain in chains]


def _ordered(page: _Page, blocks: list[list[list[int]]]) -> list[list[list[int]]]:
    """Put blocks into reading order."""
    boxes = np.array([page.box([k for line in block for k in line]) for block in blocks])
    (left, top), (right, bottom) = boxes[:, 0].T, boxes[:, 1].T
    over = np.minimum(right[:, None], right) - np.maximum(left[:, None], left)
    across = over > SHARED * np.minimum((right - left)[:, None], right - left)
    middle = (top + bottom) / 2
    above = across & (middle[:, None] < middle)
    between = (above.astype(np.float32) @ above.astype(np.float32)) > 0
    beside = ~across & ((left + right)[:, None] < left + right)
    before = above | (beside & ~between & ~between.T)
    np.fill_diagonal(before, False)
    order, waiting, earlier = [], np.ones(len(blocks), bool), before.sum(0)
    rank = np.lexsort((left, top)).argsort()
    for _ in blocks:
        free = np.flatnonzero(waiting & (earlier == 0))
        some = free if len(free) else np.flatnonzero(waiting)  # around a circle the highest goes first
        chosen = int(some[rank[some].argmin()])
        waiting[chosen] = False
        earlier -= before[chosen]
        order.append(blocks[chosen])
    return order
