"""Backgrounds of rendered scenes: flat, gradients, textures, clutter, or any folder of pictures."""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from dld_spotter.core.errors import ConfigError, DataError

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
LONGEST_SIDE = 1280  # pixels that a background picture is kept at


class Backgrounds:
    """Draws backgrounds.

    Args:
        folder: folder of pictures without text, searched with its subfolders; only drawn backgrounds where None.
        picture_probability: share of pictures where there is a folder.
        patchwork_probability: share of drawn backgrounds made of several surfaces.
        clutter_probability: share of drawn backgrounds that get lines, boxes, ellipses and scribbles on top.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        picture_probability: float = 0.7,
        patchwork_probability: float = 0.4,
        clutter_probability: float = 0.5,
    ) -> None:
        chances = (picture_probability, patchwork_probability, clutter_probability)
        if not all(0 <= chance <= 1 for chance in chances):
            raise ConfigError(f"backgrounds.*_probability must lie in 0..1, found {chances}")
        self.pictures = () if folder is None else _find_pictures(Path(folder))
        self.picture_probability = picture_probability
        self.patchwork_probability = patchwork_probability
        self.clutter_probability = clutter_probability

    def draw(self, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
        """Draw a background ``(height, width, 3)`` uint8 RGB."""
        if self.pictures and rng.random() < self.picture_probability:
            picture = _read_picture(self.pictures[int(rng.integers(len(self.pictures)))])
            return _random_crop(rng, picture, height, width)
        image = _surface(rng, height, width)
        if rng.random() < self.patchwork_probability:
            _add_patches(rng, image)
        if rng.random() < self.clutter_probability:
            _add_clutter(rng, image)
        return image


def _find_pictures(folder: Path) -> tuple[Path, ...]:
    pictures = tuple(sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES))
    if not pictures:
        raise DataError(
            f"background folder {folder} holds no picture; give a folder with {', '.join(sorted(PICTURE_SUFFIXES))}"
        )
    return pictures


@lru_cache(maxsize=128)
def _read_picture(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"background picture {path} cannot be read; remove or replace the file")
    shrink = min(1.0, LONGEST_SIDE / max(image.shape[:2]))
    image = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 else image
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _random_crop(rng: np.random.Generator, picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Cut a part of the wanted aspect ratio, of 50 to 100 % of the largest possible size."""
    rows, columns = picture.shape[:2]
    scale = rng.uniform(0.5, 1.0) * min(rows / height, columns / width)
    part_rows, part_columns = max(int(scale * height), 1), max(int(scale * width), 1)
    top, left = int(rng.integers(rows - part_rows + 1)), int(rng.integers(columns - part_columns + 1))
    part = picture[top : top + part_rows, left : left + part_columns]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    return cv2.resize(
        np.ascontiguousarray(part), (width, height), interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    )


def random_colour(rng: np.random.Generator) -> np.ndarray:
    """Draw a colour ``(3,)`` float64 in 0..255, often a muted one."""
    colour = rng.uniform(0, 255, 3)
    return colour + (colour.mean() - colour) * rng.random() ** 0.5


def _surface(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Mix two or three colours by smooth or regular patterns made at low resolution."""
    first, second = random_colour(rng), random_colour(rng)
    if rng.random() < 0.5:
        second = np.clip(first + rng.normal(0, 25, 3), 0, 255)
    kind = rng.random()
    if kind < 0.12:
        image = np.empty((height, width, 3), np.uint8)
        image[:] = first.astype(np.uint8)
        return image
    if kind < 0.3:
        weight = _ramp(rng, height, width)
    elif kind < 0.75:
        weight = _clouds(rng, height, width)
    else:
        weight = _pattern(rng, height, width)
    palette = first + np.linspace(0, 1, 256)[:, None] * (second - first)
    if rng.random() < 0.4:
        palette += np.sin(np.linspace(0, np.pi * rng.integers(1, 4), 256))[:, None] * rng.normal(0, 30, 3)
    lut = np.clip(palette, 0, 255).astype(np.uint8)[None]
    return cv2.LUT(cv2.merge([weight] * 3), lut)


def _add_patches(rng: np.random.Generator, image: np.ndarray) -> None:
    """Lay further surfaces over parts of the image, like walls, floor, windows and doors."""
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(1, 5))):
        y0, y1 = sorted(rng.integers(0, height + 1, 2).tolist())
        x0, x1 = sorted(rng.integers(0, width + 1, 2).tolist())
        x0, x1 = (0, width) if rng.random() < 0.3 else (x0, x1)
        if y1 - y0 >= 16 and x1 - x0 >= 16:
            image[y0:y1, x0:x1] = _surface(rng, y1 - y0, x1 - x0)


def _ramp(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    corners = rng.uniform(0, 255, (2, 2)).astype(np.float32)
    return cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def _clouds(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Sum octaves of value noise at a quarter of the resolution, ``(height, width)`` uint8."""
    rows, columns = height // 4 + 1, width // 4 + 1
    total = np.zeros((rows, columns), np.float32)
    roughness, cells = rng.uniform(0.35, 0.75), int(rng.integers(2, 5))
    stretch = float(rng.choice((1.0, 1.0, 4.0)))
    for octave in range(int(rng.integers(1, 6))):
        size = cells * 2**octave
        grid = rng.random((size, max(int(size / stretch), 2)), np.float32)
        total += roughness**octave * cv2.resize(grid, (columns, rows), interpolation=cv2.INTER_CUBIC)
    small = cv2.normalize(total, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _pattern(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Draw stripes, checks or bricks with soft or hard edges, ``(height, width)`` uint8."""
    period, angle = rng.uniform(8, 90), rng.uniform(0, np.pi)
    y, x = np.ogrid[:height, :width]
    along = (x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))) * np.float32(2 * np.pi / period)
    wave = np.sin(along, dtype=np.float32)
    if rng.random() < 0.5:
        across = (y * np.float32(np.cos(angle)) - x * np.float32(np.sin(angle))) * np.float32(2 * np.pi / period)
        wave = wave * np.sin(across, dtype=np.float32)
    return np.clip(127.5 + wave * np.float32(rng.choice((120, 600, 2000))), 0, 255).astype(np.uint8)


def _add_clutter(rng: np.random.Generator, image: np.ndarray) -> None:
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(2, 25))):
        colour = random_colour(rng).tolist()
        x0, x1, y0, y1 = (int(v) for v in (*rng.integers(-20, width + 20, 2), *rng.integers(-20, height + 20, 2)))
        thickness = int(rng.integers(1, 6))
        match int(rng.integers(5)):
            case 0:
                cv2.line(image, (x0, y0), (x1, y1), colour, thickness, cv2.LINE_AA)
            case 1:
                cv2.rectangle(image, (x0, y0), (x1, y1), colour, thickness)
            case 2:
                cv2.rectangle(image, (x0, y0), (x0 + (x1 - x0) // 3, y0 + (y1 - y0) // 3), colour, -1)
            case 3:
                axes = (int(rng.integers(3, width // 4 + 4)), int(rng.integers(3, height // 4 + 4)))
                cv2.ellipse(
                    image, (x0, y0), axes, float(rng.uniform(0, 180)), 0, 360, colour, rng.choice((-1, thickness)), cv2.LINE_AA
                )
            case _:
                steps = rng.normal(0, rng.uniform(2, 14), (int(rng.integers(4, 30)), 2)).cumsum(axis=0)
                cv2.polylines(
                    image, [(steps + np.array([x0, y0])).astype(np.int32)], False, colour, min(thickness, 3), cv2.LINE_AA
                )
