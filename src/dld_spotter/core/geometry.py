"""Polygons, their two boundaries, and lines cut into words."""

import re
from collections.abc import Sequence

import numpy as np


def polygons_to_boundaries(polygons: Sequence[np.ndarray], points: int = 8) -> np.ndarray:
    """Describe words by their upper and lower side, both in reading direction.

    Args:
        polygons: N polygons ``(P, 2)`` as in :class:`~dld_spotter.core.batches.TextInstances`; P may differ.
        points: number of points K per side, evenly spaced by arc length, both ends included.

    Returns:
        ``(N, 2, K, 2)`` float32.
    """
    boundaries = np.zeros((len(polygons), 2, points, 2), np.float32)
    lengths = np.array([len(polygon) for polygon in polygons], int)
    for length in np.unique(lengths).tolist():
        words = np.flatnonzero(lengths == length)
        stacked = np.stack([polygons[word] for word in words.tolist()])
        upper, lower = stacked[:, : length // 2], stacked[:, : length // 2 - 1 : -1]
        boundaries[words, 0] = _resample(upper, points)
        boundaries[words, 1] = _resample(lower, points)
    return boundaries


def polygon_to_boundaries(polygon: np.ndarray, points: int = 8) -> np.ndarray:
    """Describe one word ``(P, 2)`` by its boundaries ``(2, K, 2)``, see :func:`polygons_to_boundaries`."""
    boundaries: np.ndarray = polygons_to_boundaries([polygon], points)[0]
    return boundaries


def boundaries_to_polygon(boundaries: np.ndarray) -> np.ndarray:
    """Join sides ``(2, K, 2)`` to a polygon ``(2K, 2)``, clockwise from the text's top left."""
    polygon: np.ndarray = np.concatenate([boundaries[0], boundaries[1, ::-1]])
    return polygon


def word_heights(boundaries: np.ndarray) -> np.ndarray:
    """Measure words ``(N, 2, K, 2)``: the mean distance between their boundaries, ``(N,)`` in pixels."""
    heights: np.ndarray = np.linalg.norm(boundaries[:, 0] - boundaries[:, 1], axis=-1).mean(-1)
    return heights


def grown(boundaries: np.ndarray, margin: float) -> np.ndarray:
    """Move both sides of words ``(N, 2, K, 2)``, and both of their ends, outwards by ``margin`` of the word's height.

    >>> word = np.array([[[[0.0, 0.0], [30.0, 0.0]], [[0.0, 10.0], [30.0, 10.0]]]])
    >>> grown(word, 0.1)[0].tolist()
    [[[-1.0, -1.0], [31.0, -1.0]], [[-1.0, 11.0], [31.0, 11.0]]]
    """
    if not margin or not len(boundaries):
        return boundaries
    across = margin * (boundaries[:, 0] - boundaries[:, 1])
    sides = np.stack([boundaries[:, 0] + across, boundaries[:, 1] - across], axis=1)
    length = margin * word_heights(boundaries)[:, None, None]
    for end, next_to_it in ((0, 1), (-1, -2)):
        along = boundaries[:, :, end] - boundaries[:, :, next_to_it]
        norm = np.linalg.norm(along, axis=-1, keepdims=True)
        sides[:, :, end] += length * np.divide(along, norm, out=np.zeros_like(along), where=norm > 0)
    words, _, points, _ = sides.shape
    even: np.ndarray = _resample(sides.reshape(2 * words, points, 2), points).reshape(sides.shape)
    return even.astype(boundaries.dtype)


def between(boundaries: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Cut words ``(N, 2, K, 2)`` off at shares ``(N, 2)`` of the length of their sides, from 0 to 1: where they begin and end.

    >>> line = np.array([[[[0.0, 0.0], [30.0, 0.0]], [[0.0, 10.0], [30.0, 10.0]]]])
    >>> between(line, np.array([[0.5, 0.8]]))[0, 0].tolist()
    [[15.0, 0.0], [24.0, 0.0]]
    """
    words, _, points, _ = boundaries.shape
    start, end = shares[:, :1], shares[:, 1:]
    places = np.repeat(start + (end - start) * np.linspace(0, 1, points), 2, axis=0)
    part: np.ndarray = _along(boundaries.reshape(2 * words, points, 2), places).reshape(boundaries.shape)
    return part.astype(boundaries.dtype)


def split_line(quad: np.ndarray, text: str) -> list[tuple[np.ndarray, str]]:
    """Cut a line ``(4, 2)`` into its words, as if every character, spaces included, were equally wide.

    A line without text stays one word without text, and one without spaces stays as it is: there, any polygon will do.

    >>> [(quad[:2, 0].tolist(), word) for quad, word in split_line(np.array([[0, 0], [50, 0], [50, 9], [0, 9]]), "AB CD")]
    [([0.0, 20.0], 'AB'), ([30.0, 50.0], 'CD')]
    """
    if not re.search(r"\s", text):
        return [(quad, text)]
    top_left, top_right, bottom_right, bottom_left = quad
    words = []
    for match in re.finditer(r"\S+", text):
        start, end = match.start() / len(text), match.end() / len(text)
        upper = [top_left + share * (top_right - top_left) for share in (start, end)]
        lower = [bottom_left + share * (bottom_right - bottom_left) for share in (end, start)]
        words.append((np.stack([*upper, *lower]), match.group()))
    return words or [(quad, "")]


def _resample(lines: np.ndarray, points: int) -> np.ndarray:
    """Resample polylines ``(N, Q, 2)`` to ``(N, points, 2)``, evenly by arc length."""
    return _along(lines, np.broadcast_to(np.linspace(0, 1, points), (len(lines), points)))


def _along(lines: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Points ``(N, P, 2)`` of polylines ``(N, Q, 2)`` at shares ``(N, P)`` of their length."""
    lines = lines.astype(np.float64)
    steps = np.linalg.norm(np.diff(lines, axis=1), axis=-1)
    travelled = np.concatenate([np.zeros((len(lines), 1)), steps.cumsum(1)], axis=1)
    wanted = travelled[:, -1:] * shares
    last = lines.shape[1] - 2
    segment = np.clip((travelled[:, None, :] <= wanted[:, :, None]).sum(-1) - 1, 0, last)
    start, step = np.take_along_axis(travelled, segment, 1), np.take_along_axis(steps, segment, 1)
    share = np.divide(wanted - start, step, out=np.zeros_like(wanted), where=step > 0)[..., None]
    first = np.take_along_axis(lines, segment[..., None], 1)
    second = np.take_along_axis(lines, segment[..., None] + 1, 1)
    found: np.ndarray = first + share * (second - first)
    return found
