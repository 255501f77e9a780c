"""Fields of annotation files: texts, quotes and polygons as they come, brought to one form."""

import re
from collections.abc import Sequence

import numpy as np

from dld_spotter.core.errors import DataError, shown

IGNORED = "###"
"""The text of don't-care words in nearly every data set."""
SCRIPTS = {"Arabic", "Bangla", "Chinese", "Hindi", "Japanese", "Korean", "Latin", "Mixed", "None", "Symbols"}
"""What MLT puts before each text, and a comma behind it."""
FARTHEST = 1e6
"""Pixels; a coordinate beyond this is a mistake in the file, and its square soon more than a float32 holds."""
_INVISIBLE = " \t\r\n\0\ufeff\u200b\u200e\u200f\u00a0\u3000"
_QUOTED = re.compile(r'"(.*)"', re.DOTALL)


def clean(text: str) -> str:
    r"""Strip white space, byte-order marks, zero-width characters and NULs from both ends of a field.

    >>> clean("\ufeff 12\u200b")
    '12'
    """
    return text.strip(_INVISIBLE)


def name_scripts(texts: Sequence[str]) -> bool:
    """Whether a script stands before each text, as in annotations of MLT.

    >>> name_scripts(["Latin,Rue", "Symbols,###"]), name_scripts(["Latin,Rue", "Rue"]), name_scripts([])
    (True, False, False)
    """
    return bool(texts) and all("," in text and text.partition(",")[0] in SCRIPTS for text in texts)


def unquoted(text: str) -> str:
    r"""Take a text out of double quotes, as the scripts of the ICDAR competitions do.

    >>> unquoted('"say \\"hi\\""'), unquoted('5"')
    ('say "hi"', '5"')
    """
    found = _QUOTED.fullmatch(text)
    return found[1].replace("\\\\", "\\").replace('\\"', '"') if found else text


def to_polygon(coordinates: Sequence[float | str], where: str) -> np.ndarray:
    """Build a polygon ``(P, 2)`` float32 from x1, y1, x2, y2, ..., see :func:`with_even_sides`.

    Args:
        coordinates: numbers, or strings of them.
        where: file and line or word, for the message.

    Raises:
        DataError: there are fewer than three corners, or something is no number of at most ``FARTHEST``.
    """
    try:
        polygon = np.array(coordinates, np.float64).reshape(-1, 2)
    except (ValueError, TypeError, OverflowError):
        polygon = np.zeros((0, 2))
    if len(polygon) < 3 or not within_reach(polygon):
        found = ", ".join(map(shown, coordinates[:16])) if isinstance(coordinates, list | tuple) else shown(coordinates)
        raise DataError(f"{where}: expected the corners x1, y1, x2, y2, ... of a polygon, found {found}; correct or remove it")
    return with_even_sides(polygon)


def to_polygons(words: Sequence[Sequence[float]], where: str) -> Sequence[np.ndarray]:
    """Build the polygons of an image, see :func:`to_polygon`; all at once where they have equally many points."""
    lengths = {len(word) for word in words if isinstance(word, Sequence)}
    if len(lengths) == 1 and (length := lengths.pop()) % 4 == 0 and length > 4:
        try:
            polygons = np.array(words, np.float64).reshape(len(words), -1, 2)
        except (ValueError, TypeError, OverflowError):
            polygons = np.full(1, np.nan)
        if within_reach(polygons):
            return list(polygons.astype(np.float32))
    return [to_polygon(word, f"{where}, word {number}") for number, word in enumerate(words, start=1)]


def with_even_sides(polygon: np.ndarray) -> np.ndarray:
    """Give both sides of a polygon ``(P, 2)`` equally many points; where P is odd, the sides share the middle one."""
    middle = len(polygon) // 2
    even = np.insert(polygon, middle, polygon[middle], axis=0) if len(polygon) % 2 else polygon
    return even.astype(np.float32)


def within_reach(coordinates: np.ndarray) -> bool:
    """Whether all coordinates are numbers that can be those of a pixel.

    >>> within_reach(np.array([-3.5, 1e5])), within_reach(np.array([np.nan])), within_reach(np.array([1e39]))
    (True, False, False)
    """
    return bool((np.abs(coordinates) <= FARTHEST).all())  # never true of NaN


def box_to_polygon(left: float, top: float, right: float, bottom: float) -> list[float]:
    """Corners of an upright box, clockwise from the top left: x1, y1, ..., x4, y4."""
    return [left, top, right, top, right, bottom, left, bottom]


def clockwise(polygon: np.ndarray) -> np.ndarray:
    """Turn a polygon ``(P, 2)`` clockwise (y down) where it runs the other way, by reading it backwards.

    >>> clockwise(np.array([[0, 9], [9, 9], [9, 0], [0, 0]])).tolist()
    [[0, 0], [9, 0], [9, 9], [0, 9]]
    """
    return polygon[::-1] if signed_area(polygon) < 0 else polygon


def from_top_left(quad: np.ndarray) -> np.ndarray:
    """Order a quadrilateral ``(4, 2)`` whose corners may start anywhere: clockwise, from the corner nearest to the top left.

    >>> from_top_left(np.array([[9, 5], [9, 0], [0, 0], [0, 5]])).tolist()
    [[0, 0], [9, 0], [9, 5], [0, 5]]
    """
    turned = clockwise(quad)
    return np.roll(turned, -int(turned.sum(1).argmin()), axis=0)


def signed_area(polygon: np.ndarray) -> float:
    """Area of a polygon ``(P, 2)`` in square pixels, negative where it runs counter-clockwise (y down)."""
    x, y = polygon.astype(np.float64).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)
