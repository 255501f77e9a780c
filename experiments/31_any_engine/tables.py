"""From the readings that collect.py and again.py left to tables of outcomes; of images thumbnails alone are looked at."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import inf
from pathlib import Path

import numpy as np
from collect import DEFAULT, FOLDERS, SIZES, resized

from dld_spotter.core.words import Word
from dld_spotter.data.photos import read_image, scaled_size
from dld_spotter.data.readers.icdar2015 import ICDAR2015
from dld_spotter.data.readers.sroie import SROIE
from dld_spotter.data.resizing import resize
from dld_spotter.evaluation.predictions import PredictionForm
from dld_spotter.metrics.rules import Rules
from dld_spotter.selection.sizes.features import describe
from dld_spotter.selection.sizes.outcomes import EngineOutcomes, Way

REFERENCE = max(SIZES)
READERS = {"icdar2015": ICDAR2015, "sroie": SROIE}
RULES = Rules()

Key = tuple[str, str, float]
"""Kind, name and factor of an image."""


@dataclass(frozen=True)
class Readings:
    """Readings of one part of the data by one engine.

    Args:
        rows: image -> way -> its line in the file; the engine as it comes has the way ``DEFAULT``.
        data: folder of the data sets.
        part: train or val.
    """

    rows: dict[Key, dict[Way, dict]]
    data: Path
    part: str

    @classmethod
    def of(cls, files: Sequence[Path], data: Path, part: str) -> "Readings":
        """Read files of JSON lines."""
        rows: dict[Key, dict[Way, dict]] = {}
        for line in (line for file in files for line in file.open()):
            row = json.loads(line)
            way = Way(row["size"], row.get("gain_threshold", inf))
            rows.setdefault((row["kind"], row["name"], row["factor"]), {})[way] = row
        return cls(rows, data, part)

    def complete(self, ways: Sequence[Way]) -> list[Key]:
        """Images that were read in all ways, in the order of their names."""
        return sorted(key for key, known in self.rows.items() if all(way in known for way in ways))

    def counts(self, key: Key, way: Way, min_score: float) -> tuple[float, ...]:
        """Matched, predicted, true words; words written, share read again, seconds of the processor."""
        row, factor = self.rows[key][way], key[2]
        words = [Word(np.array(p, np.float32), text, score) for p, text, score in row["words"] if score >= min_score]
        truth = truths(self.data, self.part, key[0])[key[1]].scaled(factor, factor)
        counts = RULES.count(key[1], truth, PredictionForm().as_read(words))
        return (*counts, len(words), row.get("again", 0.0), row["processor"])

    def table(self, ways: Sequence[Way], engine: str, min_score: float, keys: Sequence[Key] | None = None) -> EngineOutcomes:
        """Outcomes of the images that were read in all ways; an image and its resized version are two."""
        keys = self.complete(ways) if keys is None else keys
        columns = np.array([[self.counts(key, way, min_score) for way in ways] for key in keys])
        seen = [features_of(self.data, self.part, key) for key in keys]
        sizes, thresholds = (np.array(column) for column in zip(*ways, strict=True))
        names = np.array(["/".join(map(str, key)) for key in keys])
        sides = np.array([sides for sides, _ in seen])
        features = np.stack([features for _, features in seen])
        return EngineOutcomes(engine, names, sides, features, sizes, thresholds, *np.moveaxis(columns, 2, 0))


@cache
def truths(data: Path, part: str, kind: str) -> dict:
    """Name of the file -> true words, of a data set."""
    dataset = READERS[kind](data / FOLDERS[part][kind])
    return {path.name: dataset.truth(k) for k, path in enumerate(dataset.images)}


@cache
def features_of(data: Path, part: str, key: Key) -> tuple[tuple[int, int], np.ndarray]:
    """Height and width of the reference, and what its thumbnail tells."""
    kind, name, factor = key
    image = resized(read_image(data / FOLDERS[part][kind] / "images" / name), factor)
    scale = min(1.0, REFERENCE / max(image.shape[:2]))
    reference = resize(image, *scaled_size(*image.shape[:2], scale))
    return reference.shape[:2], describe(reference)


ONCE = tuple(map(Way, SIZES))
AS_IT_COMES = Way(DEFAULT)
