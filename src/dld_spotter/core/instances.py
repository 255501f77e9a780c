"""Images of a data set with their true words. Needs no torch, as scoring a file takes less time than loading it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np


@dataclass(frozen=True)
class TextInstances:
    """The words of one image.

    Args:
        polygons: per word ``(P, 2)`` float32 pixels, P even and at least 4, clockwise from the text's top left: the
            first half is the upper side in reading direction, the second half the lower side going back.
        transcriptions: per word its text; empty where it is unknown.
        ignore: ``(N,)`` bool, True for don't-care words.
    """

    polygons: tuple[np.ndarray, ...]
    transcriptions: tuple[str, ...]
    ignore: np.ndarray

    def __post_init__(self) -> None:
        if not len(self.polygons) == len(self.transcriptions) == len(self.ignore):
            raise ValueError(
                f"polygons, transcriptions and ignore must be equally many, found {len(self.polygons)}, "
                f"{len(self.transcriptions)} and {len(self.ignore)}"
            )

    def __len__(self) -> int:
        return len(self.polygons)

    @classmethod
    def of(cls, polygons: Sequence[np.ndarray], transcriptions: Sequence[str], ignore: Sequence[bool] | None = None) -> Self:
        """Build from plain sequences; without ``ignore`` every word counts."""
        flags = np.zeros(len(polygons), bool) if ignore is None else np.asarray(ignore, bool)
        return cls(tuple(np.asarray(p, np.float32).reshape(-1, 2) for p in polygons), tuple(transcriptions), flags)

    def scaled(self, x: float, y: float) -> "TextInstances":
        """Multiply every coordinate, as a change of resolution does."""
        factor = np.array([x, y], np.float32)
        return replace(self, polygons=tuple(p * factor for p in self.polygons))


@dataclass(frozen=True)
class Sample:
    """One image of a data set with its words: ``image`` is ``(H, W, 3)`` uint8 RGB, ``name`` identifies it."""

    image: np.ndarray
    instances: TextInstances
    name: str
