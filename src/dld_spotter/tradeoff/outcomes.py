"""The table of outcomes: what reading each image at each scale gave and what it cost."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from dld_spotter.core import hmean as core
from dld_spotter.core.errors import DataError

MEASURES = ("matched", "predicted", "true", "relative_cost", "gflops", "seconds")
MATCHED, PREDICTED, TRUE, COST, GFLOPS, SECONDS = range(len(MEASURES))


class Overhead(NamedTuple):
    """What a selector costs per image, beside the reading itself."""

    relative_cost: float = 0.0
    gflops: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Outcomes:
    """N images, each read once at each of K scales.

    Args:
        names: N image names; tables of the same images can be compared pairwise.
        scales: K scales, ascending, 1.0 being the reference.
        matched: ``(N, K)`` int words found and read.
        predicted: ``(N, K)`` int words predicted that count.
        true: ``(N, K)`` int true words that count.
        relative_cost: ``(N, K)`` cost relative to the reference resolution.
        gflops: ``(N, K)`` GFLOPs.
        seconds: ``(N, K)`` wall time.
    """

    names: tuple[str, ...]
    scales: tuple[float, ...]
    matched: np.ndarray
    predicted: np.ndarray
    true: np.ndarray
    relative_cost: np.ndarray
    gflops: np.ndarray
    seconds: np.ndarray

    def __post_init__(self) -> None:
        expected = (len(self.names), len(self.scales))
        for measure in MEASURES:
            found = np.shape(getattr(self, measure))
            if found != expected:
                raise DataError(f"outcomes.{measure} must have shape {expected} (images, scales), found {found}")
        if not self.names or list(self.scales) != sorted(set(self.scales)):
            raise DataError(f"outcomes need at least one image and ascending scales, found {len(self.names)} and {self.scales}")

    @property
    def totals(self) -> np.ndarray:
        """All measures as one ``(N, K, 6)`` float array in the order of ``MEASURES``."""
        return np.stack([getattr(self, measure) for measure in MEASURES], axis=-1).astype(float)

    def save(self, path: str | Path) -> None:
        """Write a compressed ``.npz``."""
        arrays = {measure: getattr(self, measure) for measure in MEASURES}
        np.savez_compressed(path, names=np.array(self.names, str), scales=np.array(self.scales), **arrays)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what :meth:`save` wrote; raises :class:`DataError` on any other file."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {measure: archive[measure] for measure in MEASURES}
                return cls(tuple(archive["names"].tolist()), tuple(archive["scales"].tolist()), **arrays)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is no table of outcomes ({error}); write one with Outcomes.save") from error


def spend(outcomes: Outcomes, weights: np.ndarray, overhead: Overhead | None = None) -> np.ndarray:
    """Expected measures per image ``(N, 6)`` when image i is read at scale k with probability ``weights[i, k]``."""
    totals = np.einsum("nk,nkm->nm", weights, outcomes.totals)
    totals[:, COST:] += overhead or Overhead()
    return totals


def precision(totals: np.ndarray) -> np.ndarray:
    """Matched over predicted words of ``(..., 6)`` measures, 0 where nothing was predicted."""
    return core.precision(totals[..., MATCHED], totals[..., PREDICTED])


def recall(totals: np.ndarray) -> np.ndarray:
    """Matched over true words of ``(..., 6)`` measures, 0 where there is none."""
    return core.recall(totals[..., MATCHED], totals[..., TRUE])


def hmean(totals: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall of ``(..., 6)`` measures."""
    return core.hmean(totals[..., MATCHED], totals[..., PREDICTED], totals[..., TRUE])
