"""What a data set is, how its images are read, and what happens to damaged files."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch.utils.data import Dataset, Subset

from dld_spotter.core.batches import Sample
from dld_spotter.core.errors import DataError
from dld_spotter.data.photos import read_image as read_image

logger = logging.getLogger(__name__)


@runtime_checkable
class TextDataset(Protocol):
    """Images with their words, by index.

    A data set with a true attribute ``endless`` also takes indices beyond its length and gives something new there
    (rendered scenes, random transforms): pass e over the data asks for ``e * len(dataset) + i``.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


class FileDataset(Dataset[Sample], ABC):
    """A data set of files, where an entry that cannot be read is counted and replaced by the next one that can.

    Whoever must count every image once goes by ``Sample.name``: a replacement keeps its own name. Readers whose words may be
    polygons of any number of points, rather than quadrilaterals, say so by ``curved``.

    Args:
        length: number of entries.
        strict: raise at the first damaged entry instead, and at once where there are orphans.
        orphans: a sentence for each annotation that belongs to no image, and so is no entry.
    """

    curved: ClassVar[bool] = False

    def __init__(self, length: int, strict: bool = False, orphans: Sequence[str] = ()) -> None:
        if strict and orphans:
            raise DataError(orphans[0])
        self.strict, self.orphans = strict, orphans
        self._damaged = torch.zeros(length, dtype=torch.bool).share_memory_()  # seen by every loader worker

    @abstractmethod
    def load(self, index: int) -> Sample:
        """Read one entry; raises :class:`~dld_spotter.core.errors.DataError` if its files are missing or damaged."""

    def __len__(self) -> int:
        return len(self._damaged)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} of a data set with {len(self)} entries")
        for candidate in [*range(index, len(self)), *range(index)]:
            try:
                if not self._damaged[candidate]:
                    return self.load(candidate)
            except DataError:
                if self.strict:
                    raise
                self._damaged[candidate] = True
        raise DataError(f"none of the {len(self)} entries can be read: {self.damage_report(1)}")

    @property
    def damaged(self) -> list[int]:
        """Indices of the entries found damaged so far, by any worker."""
        return self._damaged.nonzero().flatten().tolist()

    def damage_report(self, examples: int = 3) -> str:
        """Tell how many entries were skipped and why the first ones were, and of orphans; empty if there was neither."""
        reasons = []
        for index in self.damaged[:examples]:
            try:
                self.load(index)
            except DataError as error:
                reasons.append(str(error))
        skipped = f"{len(self.damaged)} of {len(self)} entries were damaged and skipped: {'; '.join(reasons)}"
        orphaned = f"{len(self.orphans)} annotations have no image: {'; '.join(self.orphans[:examples])}"
        return "; ".join([skipped] * bool(reasons) + [orphaned] * bool(self.orphans))


def existing_folder(root: str | Path | None, key: str = "data.root") -> Path:
    """Return ``root`` as a path; raises :class:`~dld_spotter.core.errors.DataError` if there is no such folder."""
    if root is None or not Path(root).is_dir():
        raise DataError(f"{key}={root} is not a folder; set {key} to the folder of the data set")
    return Path(root)


def has_curved_words(dataset: TextDataset) -> bool:
    """Whether the reader behind subsets, parts and transforms gives polygons of any number of points."""
    while (inner := getattr(dataset, "dataset", None)) is not None:
        dataset = inner
    return getattr(dataset, "curved", False)


def report_damage(datasets: Sequence[TextDataset | None]) -> None:
    """Log how many entries of data sets of files were skipped, if any; what several parts of one folder say is told once."""
    told = set()
    for given in datasets:
        dataset = given.dataset if isinstance(given, Subset) else given
        report = dataset.damage_report() if hasattr(dataset, "damage_report") else ""
        if report and report not in told:
            told.add(report)
            logger.warning("%s: %s", type(dataset).__name__, report)
