"""Real word crops and the table that says what they show (``words_map.tsv``)."""

import csv
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from scipy.sparse.csgraph import connected_components
from shapely import box, distance

from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.core.files import read_lines
from dld_spotter.data.dataset import existing_folder, read_image
from dld_spotter.data.photos import IMAGE_SUFFIXES
from dld_spotter.data.resizing import resize

TABLE = "words_map.tsv"
COLUMNS = ("word", "x0", "y0", "w", "h", "x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4", "text")
IGNORED = "###"
CACHED = 4096  # decoded crops that a process keeps


@dataclass(frozen=True)
class Crop:
    """A word cut out of a photo, or N of them as they stand beside each other there.

    Args:
        image: ``(h, w, 3)`` uint8 RGB; it is shared, so it must not be written to.
        quads: ``(N, 4, 2)`` float32 pixels of the crop, clockwise from the text's top left.
        texts: the words; empty where one is unknown.
        ignore: whether each word is don't-care.
        cover: ``(h, w)`` uint8, 0 where nothing is known of the photo; None where all of it is.
    """

    image: np.ndarray
    quads: np.ndarray
    texts: tuple[str, ...]
    ignore: tuple[bool, ...]
    cover: np.ndarray | None = None

    @property
    def height(self) -> float:
        """Mean height of the words in pixels."""
        return float(np.mean([mean_height(quad) for quad in self.quads]))


class CropSource:
    """A folder of word crops, read one by one as they are asked for.

    ``words_map.tsv`` has a header and a line for each crop, separated by tabs: ``word`` (file name), ``x0 y0 w h`` (its
    place in the photo, pixels), ``x1 y1 ... x4 y4`` (corners of the word in the photo, as numbers of pixels, clockwise
    from the text's top left) and ``text`` (``###`` for don't-care words); further columns are passed over. The crops lie
    in ``words/`` or beside the table; their suffix may differ from the table's, and so may their size: it is taken for a
    change of resolution.

    Args:
        folder: holds the table.
        photos: which part of the photos the crops may come from, two shares in 0..1: ``(0, 0.9)`` and ``(0.9, 1)`` have no
            photo in common. Photos are told apart by the table's column ``image``, or by their crops where it has none.
        together: words of a photo that are nearer to each other than so many of their heights make one crop, as they stand
            there; None for each word alone.

    Raises:
        ConfigError: ``photos`` is no range within 0..1, or ``together`` is negative.
        DataError: the folder or a crop is missing, or a line is malformed; the message names file and line.
    """

    def __init__(self, folder: str | Path | None, photos: Sequence[float] = (0.0, 1.0), together: float | None = None) -> None:
        if together is not None and together < 0:
            raise ConfigError(f"crops.source.together must be at least 0, or null for each word alone, found {together}")
        if len(photos) != 2 or not 0 <= photos[0] < photos[1] <= 1:
            raise ConfigError(f"crops.source.photos must be two shares in 0..1 in order, found {list(photos)}")
        table = existing_folder(folder, "data.crops") / TABLE
        if not table.is_file():
            raise DataError(f"data.crops={folder} holds no {TABLE}; set data.crops to the folder of word crops that does")
        rows = [row for row in _read_table(table) if photos[0] <= _place(row.photo) < photos[1]]
        if not rows:
            raise DataError(f"{table} lists no crop of the part {list(photos)} of its photos; give a larger part")
        images = table.parent / "words"
        files = {path.stem: path for path in sorted((images if images.is_dir() else table.parent).iterdir()) if _is_image(path)}
        missing = next((row for row in rows if Path(row.name).stem not in files), None)
        if missing is not None:
            raise DataError(
                f"{table}, line {missing.line}: there is no image {missing.name} in {images}; restore it or remove the line"
            )
        self.files = {row.name: files[Path(row.name).stem] for row in rows}
        groups = [[row] for row in rows] if together is None else _neighbours(rows, together)
        self.groups = tuple(sorted(groups, key=_mean_height_of))
        self.heights = np.array([_mean_height_of(group) for group in self.groups])

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> Crop:
        rows = self.groups[index]
        texts, ignore = (
            tuple("" if row.text == IGNORED else row.text for row in rows),
            tuple(row.text == IGNORED for row in rows),
        )
        if len(rows) > 1:
            image, cover = _compose(tuple((row.place, self.files[row.name]) for row in rows))
            corner = np.min([row.place[:2] for row in rows], axis=0)
            quads = np.stack([row.quad * row.place[2:] + (row.place[:2] - corner) for row in rows])
            return Crop(image, quads.astype(np.float32), texts, ignore, cover)
        image = _read_crop(self.files[rows[0].name])
        return Crop(image, rows[0].quad[None] * np.array(image.shape[1::-1], np.float32), texts, ignore)

    def draw(self, rng: np.random.Generator, heights: tuple[float, float] = (0.0, math.inf)) -> Crop | None:
        """Draw one of the crops whose word is about so many pixels high, all equally likely; None where there is none."""
        first, last = np.searchsorted(self.heights, heights)
        return self[int(rng.integers(first, last))] if first < last else None


@dataclass(frozen=True)
class _Row:
    """A line of the table.

    ``place`` is left, top, width and height of the crop and ``height`` that of the word in the photo's pixels, ``quad``
    ``(4, 2)`` relative to the crop's size.
    """

    line: int
    name: str
    photo: str
    place: tuple[float, float, float, float]
    height: float
    quad: np.ndarray
    text: str


_read_crop = lru_cache(maxsize=CACHED)(read_image)


def _mean_height_of(rows: Sequence[_Row]) -> float:
    return sum(row.height for row in rows) / len(rows)


def _neighbours(rows: Sequence[_Row], together: float) -> list[list[_Row]]:
    """Group the words of each photo that are nearer than ``together`` heights, directly or by words in between."""
    groups = []
    for photo in sorted({row.photo for row in rows}):
        own = [row for row in rows if row.photo == photo]
        left, top, width, height = np.array([row.place for row in own]).T
        places, heights = box(left, top, left + width, top + height), np.array([row.height for row in own])
        near = distance(places[:, None], places) < together * np.minimum.outer(heights, heights)
        count, label = connected_components(near)
        groups += [[row for row, number in zip(own, label, strict=True) if number == group] for group in range(count)]
    return groups


@lru_cache(maxsize=CACHED)
def _compose(parts: tuple[tuple[tuple[float, float, float, float], Path], ...]) -> tuple[np.ndarray, np.ndarray]:
    """Lay crops where they stand in their photo; what lies between them is filled in from their edges.

    Returns:
        image ``(h, w, 3)``, and ``(h, w)`` uint8, 255 within the convex hull of the crops.
    """
    places = np.array([place for place, _ in parts])
    corner = places[:, :2].min(axis=0)
    starts = np.rint(places[:, :2] - corner).astype(int)
    sizes = np.rint(places[:, 2:]).astype(int).clip(min=1)
    width, height = (starts + sizes).max(axis=0).tolist()
    image, unknown = np.zeros((height, width, 3), np.uint8), np.full((height, width), 255, np.uint8)
    for (x, y), (w, h), (_, path) in zip(starts.tolist(), sizes.tolist(), parts, strict=True):
        image[y : y + h, x : x + w] = resize(read_image(path), h, w)
        unknown[y : y + h, x : x + w] = 0
    cover = np.zeros((height, width), np.uint8)
    corners = np.concatenate([starts, starts + sizes - 1, starts + [1, 0] * (sizes - 1), starts + [0, 1] * (sizes - 1)])
    cv2.fillConvexPoly(cover, cv2.convexHull(corners.astype(np.int32)), 255)
    return cv2.inpaint(image, unknown, 3, cv2.INPAINT_TELEA), cover


def _place(photo: str) -> float:
    """Give a photo its place in 0..1, below 1, the same on every machine."""
    return zlib.crc32(photo.encode()) / 2**32


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def mean_height(quad: np.ndarray) -> float:
    """Mean distance of the upper and the lower side of a quad ``(4, 2)``, at least a pixel."""
    top_left, top_right, bottom_right, bottom_left = quad.tolist()
    return max((math.dist(top_left, bottom_left) + math.dist(top_right, bottom_right)) / 2, 1.0)


def _read_table(table: Path) -> list[_Row]:
    lines = read_lines(table)
    header = lines[0].split("\t")
    if missing := [column for column in COLUMNS if column not in header]:
        raise DataError(f"{table}, line 1: the header lacks {', '.join(missing)}; name the columns, separated by tabs")
    rows = []
    for number, fields in enumerate(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), start=1):
        if number == 1 or not fields:
            continue
        row = dict(zip(header, fields, strict=False))
        try:
            x, y, width, height, *corners = (float(row[column]) for column in COLUMNS[1:-1])
        except (KeyError, ValueError):
            x, y, width, height, corners = 0.0, 0.0, 0.0, 0.0, []
        if len(fields) != len(header) or not all(map(math.isfinite, (x, y, *corners))) or not min(width, height) > 0:
            raise DataError(
                f"{table}, line {number}: expected {len(header)} columns ({' '.join(header)}) with numbers for the place and "
                f"the corners, found {lines[number - 1]!r}; correct or remove the line"
            )
        # A corner is the number of a pixel, whose centre lies half a pixel further.
        quad = np.array(corners).reshape(4, 2) - (x, y) + 0.5
        relative = (quad / (width, height)).astype(np.float32)
        rows.append(
            _Row(
                number,
                row["word"],
                row.get("image") or row["word"],
                (x, y, width, height),
                mean_height(quad),
                relative,
                row["text"].strip(),
            )
        )
    if not rows:
        raise DataError(f"{table} lists no crop; give a line for each")
    return rows
