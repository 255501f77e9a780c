"""Where text goes in an image: scenes of one regime of text size, or images packed with words."""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np

from dld_spotter.core.errors import ConfigError
from dld_spotter.data.synthetic.block import EM_PER_HEIGHT, Block, Typesetter
from dld_spotter.data.synthetic.paste import CropPaste, PlacedCrop
from dld_spotter.data.synthetic.surface import Arc, Box, Plane, Surface

CELL = 4  # pixels per cell of the occupancy grid
ROW_PER_HEIGHT = 1.5  # room that a row of turned words takes, relative to its height
PLACES = 24  # random places tried for a block
CROP_DRAWS = 8  # crops tried for a place in a row
CROP_PER_HEIGHT = 1.8  # room that a pasted crop takes at most, relative to the height of the row's words


@dataclass(frozen=True)
class Regime:
    """A kind of image by the size of its text.

    Args:
        heights: least and largest height of a capital with its margin, pixels.
        words: least and largest number of words that is aimed at.
        probability: relative frequency.
    """

    heights: tuple[float, float]
    words: tuple[int, int]
    probability: float

    def __post_init__(self) -> None:
        ordered = 0 < self.heights[0] <= self.heights[1] and 0 <= self.words[0] <= self.words[1]
        if not ordered or self.probability < 0:
            raise ConfigError(
                f"a regime needs heights above 0, words and a probability of at least 0, each range in order, found {self}"
            )


REGIMES = {
    "large": Regime((48, 120), (1, 6), 0.2),
    "medium": Regime((24, 48), (3, 12), 0.25),
    "small": Regime((12, 24), (6, 22), 0.22),
    "tiny": Regime((8, 14), (8, 30), 0.1),
    "mixed": Regime((8, 110), (5, 22), 0.2),
    "none": Regime((8, 8), (0, 0), 0.03),
}


@dataclass(frozen=True)
class PlacedBlock:
    """A block on its surface; ``board`` is the rectangle of the sign it stands on, if any."""

    block: Block
    surface: Surface
    board: Box | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """The words."""
        return tuple(word.text for word in self.block.words)

    @property
    def ignore(self) -> tuple[bool, ...]:
        """Whether each word is don't-care: none is."""
        return (False,) * len(self.block.words)

    @property
    def polygons(self) -> list[np.ndarray]:
        """Every word's box in image pixels, ``(P, 2)``."""
        return [self.surface.outline(word.box) for word in self.block.words]

    @property
    def em(self) -> float:
        """Size of the words, pixels."""
        return self.block.em

    def outline(self) -> np.ndarray:
        """The outline of all words in image pixels, ``(P, 2)``."""
        return self.surface.outline(self.block.box)

    def moved(self, x: float, y: float) -> "PlacedBlock":
        """Return the block shifted by ``(x, y)`` image pixels."""
        return replace(self, surface=self.surface.moved(x, y))


@dataclass(frozen=True)
class Arrangement:
    """An image to be painted; sizes in pixels."""

    height: int
    width: int
    regime: str
    blocks: tuple[PlacedBlock | PlacedCrop, ...]


class Layout(Protocol):
    """Decides size and contents of an image."""

    def arrange(self, rng: np.random.Generator, typesetter: Typesetter) -> Arrangement:
        """Arrange one image whose words do not overlap."""


def _draw_size(rng: np.random.Generator, size: int | tuple[int, int]) -> int:
    return size if isinstance(size, int) else int(rng.integers(size[0], size[1] + 1))


def _check_size(key: str, size: int | tuple[int, int]) -> int | tuple[int, int]:
    low, high = (size, size) if isinstance(size, int) else tuple(size)
    if not 16 <= low <= high:
        raise ConfigError(f"layout.{key} must be a number of pixels, at least 16, or a range of two, found {size}")
    return size if isinstance(size, int) else (low, high)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(low * (high / low) ** rng.random())


class SceneLayout:
    """Scenes: each image has one regime of text size, with single words, lines, paragraphs and curved words.

    Args:
        height: pixels, or a range that each image draws from.
        width: the same across.
        regimes: name -> regime.
        probabilities: name -> relative frequency in place of the regimes' own; those not named are not drawn.
        rotation: largest angle in degrees; most text is nearly level.
        curved_probability: share of one-line blocks that run along an arc.
        board_probability: share of blocks that stand on a sign of their own.
        crops: real words to paste among the others.
    """

    def __init__(
        self,
        height: int | tuple[int, int] = 512,
        width: int | tuple[int, int] = 512,
        regimes: Mapping[str, Regime] = REGIMES,
        probabilities: Mapping[str, float] | None = None,
        rotation: float = 45.0,
        curved_probability: float = 0.07,
        board_probability: float = 0.4,
        crops: CropPaste | None = None,
    ) -> None:
        self.height, self.width = _check_size("height", height), _check_size("width", width)
        chances = {name: regime.probability for name, regime in regimes.items()} if probabilities is None else probabilities
        if not set(chances) <= set(regimes) or min(chances.values(), default=0) < 0 or sum(chances.values()) <= 0:
            raise ConfigError(
                f"layout.probabilities must map some of {sorted(regimes)} to frequencies above 0, found {chances}"
            )
        self.regimes = {name: regimes[name] for name, chance in chances.items() if chance > 0}
        weights = np.array([chances[name] for name in self.regimes])
        self._thresholds = (np.cumsum(weights)[:-1] / weights.sum()).tolist()
        self.rotation = np.deg2rad(rotation)
        self.curved_probability = curved_probability
        self.board_probability = board_probability
        self.crops = crops

    def arrange(self, rng: np.random.Generator, typesetter: Typesetter) -> Arrangement:
        """Arrange one scene."""
        height, width = _draw_size(rng, self.height), _draw_size(rng, self.width)
        name = list(self.regimes)[bisect_right(self._thresholds, rng.random())]
        regime = self.regimes[name]
        wanted = int(rng.integers(regime.words[0], regime.words[1] + 1))
        occupancy = Occupancy(height, width)
        blocks = self._paste(rng, wanted, occupancy)
        found = sum(len(block.texts) for block in blocks)
        for _ in range(wanted + 3 if wanted else 0):
            if found >= wanted:
                break
            placed = self._place(rng, typesetter, regime, wanted - found, occupancy)
            if placed is not None:
                blocks.append(placed)
                found += len(placed.block.words)
        return Arrangement(height, width, name, tuple(blocks))

    def _paste(self, rng: np.random.Generator, wanted: int, occupancy: "Occupancy") -> list[PlacedBlock | PlacedCrop]:
        """Place the real words; those for which there is no room are left out."""
        placed: list[PlacedBlock | PlacedCrop] = []
        aim = int(rng.binomial(wanted, self.crops.share)) if self.crops else 0
        for _ in range(aim):
            if sum(len(crop.texts) for crop in placed) >= aim:  # a crop may show several words
                break
            crop = self.crops.draw(rng, (0.9 * occupancy.width, 0.5 * occupancy.height))
            place = occupancy.take(rng, crop.outline()) if crop else None
            if crop and place:
                placed.append(crop.moved(*place))
        return placed

    def _place(
        self, rng: np.random.Generator, typesetter: Typesetter, regime: Regime, wanted: int, occupancy: "Occupancy"
    ) -> PlacedBlock | None:
        smallest = EM_PER_HEIGHT * regime.heights[0]
        largest = min(EM_PER_HEIGHT * regime.heights[1], 0.5 * occupancy.height)
        em = _log_uniform(rng, min(smallest, largest), largest)
        angle = self._draw_angle(rng)
        room = 0.9 * occupancy.width if abs(angle) < 0.2 else 0.8 * min(occupancy.width, occupancy.height)
        block = typesetter.block(rng, em, room, smallest, _draw_lines(rng, em, wanted))
        if block is None:
            return None
        board = rng.random() < self.board_probability
        box = _padded(block.box, (rng.uniform(0.1, 0.6) if board else 0.08) * block.em)
        surface = self._draw_surface(rng, box, angle, block)
        place = occupancy.take(rng, surface.outline(box))
        return PlacedBlock(block, surface.moved(*place), box if board else None) if place else None

    def _draw_angle(self, rng: np.random.Generator) -> float:
        kind = rng.random()
        if kind < 0.7:
            return float(np.clip(rng.normal(0, 0.045), -self.rotation, self.rotation))
        return float(rng.uniform(-1, 1) * min(self.rotation, np.deg2rad(15 if kind < 0.88 else 180)))

    def _draw_surface(self, rng: np.random.Generator, box: Box, angle: float, block: Block) -> Surface:
        width, height = box[2] - box[0], box[3] - box[1]
        one_line = len({word.y for word in block.words}) == 1
        if one_line and width > 1.6 * height and rng.random() < self.curved_probability:
            radius = max(width / rng.uniform(0.7, 2.2), 1.5 * height)
            return Arc(float(radius * rng.choice((-1, 1))), 0.5 * angle)
        tilt = rng.normal(0, 0.06, 2).clip(-0.16, 0.16) if rng.random() < 0.5 else np.zeros(2)
        shear = rng.normal(0, 0.1) if rng.random() < 0.3 else 0.0
        stretch = rng.uniform(0.75, 1.02) if rng.random() < 0.5 else 1.0
        return Plane.posed(
            angle, float(np.clip(shear, -0.3, 0.3)), stretch, (2 * tilt[0] / width, 2 * tilt[1] / max(width, height))
        )


def _padded(box: Box, by: float) -> Box:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def _draw_lines(rng: np.random.Generator, em: float, wanted: int) -> list[int]:
    """Draw how many words each line of a block has: paragraphs are small, large text stands alone."""
    if rng.random() < 0.35:
        return [1]
    most_lines, most_words = (5, 6) if em < 30 else (3, 4) if em < 60 else (2, 2)
    lines: list[int] = []
    for _ in range(int(rng.integers(1, most_lines + 1))):
        if wanted > 0:
            lines.append(min(int(rng.integers(1, most_words + 1)), wanted))
            wanted -= lines[-1]
    return lines


class Occupancy:
    """Which cells of an image are taken."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.grid = np.zeros((height // CELL, width // CELL), np.uint8)

    def take(self, rng: np.random.Generator, outline: np.ndarray) -> tuple[float, float] | None:
        """Take a random free place for a polygon ``(P, 2)`` in pixels; None where none is found.

        Returns:
            The shift in pixels that brings the polygon there.
        """
        low = outline.min(axis=0)
        cells = (outline - low) / CELL
        columns, rows = (np.ceil(cells.max(axis=0)).astype(int) + 1).tolist()
        free_rows, free_columns = self.grid.shape[0] - rows, self.grid.shape[1] - columns
        if free_rows < 0 or free_columns < 0:
            return None
        stamp = np.zeros((rows, columns), np.uint8)
        cv2.fillPoly(stamp, [np.rint(256 * cells).astype(np.int32)], 1, shift=8)
        stamp = cv2.dilate(stamp, np.ones((3, 3), np.uint8))
        places = rng.integers(0, (free_rows + 1, free_columns + 1), (PLACES, 2)).tolist()
        for row, column in places:
            window = self.grid[row : row + rows, column : column + columns]
            if not cv2.countNonZero(cv2.bitwise_and(window, stamp)):
                window |= stamp
                return CELL * column - float(low[0]), CELL * row - float(low[1])
        return None


class DenseLayout:
    """Small images packed with words, each with its own font and pose: many words per pixel for the recogniser.

    Args:
        size: side of the square image in pixels.
        heights: least and largest height of a capital with its margin, pixels.
        words: the most words in an image.
        rotation: largest angle in degrees; long words turn less.
        crops: real words to put among the others, or in their place.
    """

    def __init__(
        self,
        size: int = 256,
        heights: tuple[float, float] = (10, 32),
        words: int = 40,
        rotation: float = 6.0,
        crops: CropPaste | None = None,
    ) -> None:
        self.size, self.heights, self.words = size, tuple(heights), words
        _check_size("size", size)
        if not 0 < self.heights[0] <= self.heights[1] <= size / 2:
            raise ConfigError(f"layout.heights must be two heights in pixels up to half of layout.size {size}, found {heights}")
        self.rotation = np.deg2rad(rotation)
        self.crops = crops

    def arrange(self, rng: np.random.Generator, typesetter: Typesetter) -> Arrangement:
        """Fill rows from the top down."""
        blocks: list[PlacedBlock | PlacedCrop] = []
        top = 0.0
        while len(blocks) < self.words:
            height = min(_log_uniform(rng, *self.heights), (self.size - top) / ROW_PER_HEIGHT)
            if height < self.heights[0]:
                break
            row, bottom = self._fill_row(rng, typesetter, EM_PER_HEIGHT * height, top, self.words - len(blocks))
            if bottom > self.size or not row:
                break
            blocks += row
            top = bottom + rng.uniform(0, 2)
        return Arrangement(self.size, self.size, "dense", tuple(blocks))

    def _fill_row(
        self, rng: np.random.Generator, typesetter: Typesetter, em: float, top: float, most: int
    ) -> tuple[list[PlacedBlock | PlacedCrop], float]:
        row: list[PlacedBlock | PlacedCrop] = []
        left, bottom = rng.uniform(0, 4), top
        while len(row) < most and self.size - left > 1.5 * em:
            piece = self._draw_piece(rng, typesetter, em, self.size - left)
            if piece is None:
                break
            outline = piece.outline()
            low, high = outline.min(axis=0), outline.max(axis=0)
            if left + high[0] - low[0] > self.size:
                break
            y = top + rng.uniform(0, 0.1) * piece.em
            row.append(piece.moved(left - float(low[0]), y - float(low[1])))
            left += float(high[0] - low[0]) + rng.uniform(1, 8)
            bottom = max(bottom, y + float(high[1] - low[1]))
        return row, bottom

    def _draw_piece(
        self, rng: np.random.Generator, typesetter: Typesetter, em: float, room: float
    ) -> PlacedBlock | PlacedCrop | None:
        """Draw a word, real or rendered, at most ``room`` pixels wide."""
        height = em / EM_PER_HEIGHT
        if self.crops is not None and rng.random() < self.crops.share:
            for _ in range(CROP_DRAWS):
                crop = self.crops.draw(rng, (room, CROP_PER_HEIGHT * height), (0.7 * height, height))
                if crop is not None:
                    return crop
        block = typesetter.word(rng, em * rng.uniform(0.85, 1.0), 0.97 * room, EM_PER_HEIGHT * self.heights[0])
        return None if block is None else PlacedBlock(block, self._pose(rng, block))

    def _pose(self, rng: np.random.Generator, block: Block) -> Plane:
        width, height = block.box[2] - block.box[0], block.box[3] - block.box[1]
        angle = rng.uniform(-1, 1) * min(self.rotation, 0.4 * height / width)
        if rng.random() < 0.6:
            return Plane.posed(angle)
        tilt = rng.uniform(-0.1, 0.1, 2) * 2 / width
        return Plane.posed(angle, rng.uniform(-0.2, 0.2), rng.uniform(0.75, 1.0), (tilt[0], tilt[1]))


class MixedLayout:
    """Each image is arranged by one of several layouts, drawn at random.

    Args:
        layouts: name -> layout.
        probabilities: name -> relative frequency.
    """

    def __init__(self, layouts: Mapping[str, Layout], probabilities: Mapping[str, float]) -> None:
        if (
            not layouts
            or set(layouts) != set(probabilities)
            or min(probabilities.values()) < 0
            or not sum(probabilities.values())
        ):
            raise ConfigError(
                f"layout.probabilities must give every layout of {sorted(layouts)} a frequency, found {dict(probabilities)}"
            )
        self.layouts = [layouts[name] for name in probabilities]
        self.weights = np.array(list(probabilities.values())) / sum(probabilities.values())

    def arrange(self, rng: np.random.Generator, typesetter: Typesetter) -> Arrangement:
        """Draw a layout and arrange one image."""
        return self.layouts[int(rng.choice(len(self.layouts), p=self.weights))].arrange(rng, typesetter)
