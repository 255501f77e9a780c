"""ICDAR2013 Focused Scene Text: upright words."""

import re
from pathlib import Path

from dld_spotter.core.batches import TextInstances
from dld_spotter.core.errors import DataError
from dld_spotter.core.files import read_lines
from dld_spotter.data.readers.fields import IGNORED, box_to_polygon, clean, to_polygon, unquoted
from dld_spotter.data.readers.paired import PairedDataset, candidate_folders

PLAIN = ("images", "gts")
OFFICIAL = {
    "train": [
        ("Challenge2_Training_Task12_Images", "Challenge2_Training_Task1_GT"),
        ("ch2_training_images", "ch2_training_localization_transcription_gt"),
    ],
    "test": [
        ("Challenge2_Test_Task12_Images", "Challenge2_Test_Task1_GT"),
        ("ch2_test_images", "Challenge2_Test_Task1_GT"),
        ("ch2_test_images", "Challenge2_Test_Task4_GT"),
    ],
}
_NUMBER = r"\s*(-?\d+(?:\.\d*)?)\s*"
_BOX = re.compile(rf"{_NUMBER}[,\s]{_NUMBER}[,\s]{_NUMBER}[,\s]{_NUMBER}[,\s](.*)")


class ICDAR2013(PairedDataset):
    """Words as boxes, ``left top right bottom "text"`` a line, with commas (test set) or without (training set).

    The form of Challenge 2, Task 1 of the ICDAR Robust Reading Competition 2013 (https://rrc.cvc.uab.es/?ch=2).

    Args:
        root: holds the official archives unpacked, or ``images/`` and ``gts/``, or ``train/`` and ``test/`` folders of these.
        split: ``train`` or ``test``; None where ``root`` holds one split only.
        strict: raise at the first damaged entry instead of skipping it.
    """

    def __init__(self, root: str | Path | None, split: str | None = None, strict: bool = False) -> None:
        super().__init__(root, candidate_folders(split, [PLAIN], OFFICIAL), strict)

    def parse(self, path: Path) -> TextInstances:
        """Read a ground-truth file."""
        polygons, texts = [], []
        for number, line in enumerate(map(clean, read_lines(path)), start=1):
            if not line:
                continue
            found = _BOX.fullmatch(line)
            if not found:
                expected = 'left, top, right, bottom, "text"'
                raise DataError(f"{path}, line {number}: expected {expected}, found {line!r}; correct or remove the line")
            polygons.append(to_polygon(box_to_polygon(*map(float, found.groups()[:4])), f"{path}, line {number}"))
            texts.append(unquoted(clean(found[5])))
        ignore = [text == IGNORED for text in texts]
        return TextInstances.of(polygons, ["" if text == IGNORED else text for text in texts], ignore)
