"""SROIE: scanned receipts with text lines."""

from pathlib import Path

from dld_spotter.core.batches import TextInstances
from dld_spotter.core.geometry import split_line
from dld_spotter.data.readers.paired import PairedDataset, candidate_folders, read_quads

FOLDERS = [("images", "gts"), ("img", "box"), (".", ".")]


class SROIE(PairedDataset):
    """Text lines as quadrilaterals, one ``x1,y1,x2,y2,x3,y3,x4,y4,text with spaces`` a line.

    Args:
        root: holds ``images/`` and ``gts/``, or ``img/`` and ``box/``, or images and texts side by side.
        split: ``train`` or ``test``; None where ``root`` holds one split only.
        split_words: cut every line into words, see :func:`~dld_spotter.core.geometry.split_line`.
        strict: raise at the first damaged entry instead of skipping it.
    """

    def __init__(
        self, root: str | Path | None, split: str | None = None, split_words: bool = True, strict: bool = False
    ) -> None:
        self.split_words = split_words
        super().__init__(root, candidate_folders(split, FOLDERS, {}), strict)

    def parse(self, path: Path) -> TextInstances:
        """Read a ground-truth file."""
        quads, texts = read_quads(path)
        if not self.split_words:
            return TextInstances.of(quads, texts)
        words = [word for quad, text in zip(quads, texts, strict=True) for word in split_line(quad, text)]
        return TextInstances.of([quad for quad, _ in words], [text for _, text in words])
