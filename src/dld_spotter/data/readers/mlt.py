"""MLT 2017 and 2019: scene text in many scripts."""

from collections.abc import Sequence
from pathlib import Path

from dld_spotter.core.batches import TextInstances
from dld_spotter.core.errors import DataError
from dld_spotter.data.readers.fields import IGNORED, clean, to_polygon, unquoted
from dld_spotter.data.readers.paired import PairedDataset, candidate_folders, read_fields

PLAIN = ("images", "gts")
OFFICIAL = {
    "train": [
        ("ch8_training_images*", "ch8_training_localization_transcription_gt_v2"),
        ("ch8_training_images*", "ch8_training_localization_transcription_gt"),
        ("ImagesPart*", "train_gt_t13"),
        ("ImagesPart*", "Train_GT"),
        ("TrainSetImages*", "TrainSetGT"),
    ],
    "test": [
        ("ch8_validation_images*", "ch8_validation_localization_transcription_gt_v2"),
        ("ch8_validation_images*", "ch8_validation_localization_transcription_gt"),
    ],
}
_EXPECTED = "x1,y1,x2,y2,x3,y3,x4,y4,script,text"


class MLT(PairedDataset):
    """Words as quadrilaterals, ``x1,y1,...,x4,y4,script,text`` a line; ``###`` marks don't-care words.

    The forms of Task 1 and 3 of ICDAR2017 (https://rrc.cvc.uab.es/?ch=8) and Task 1 and 4 of ICDAR2019
    (https://rrc.cvc.uab.es/?ch=15). The ground truth of their test images is not public: ``test`` is MLT 2017's validation set.

    Args:
        root: holds the official archives unpacked, or ``images/`` and ``gts/``, or ``train/`` and ``test/`` folders of these.
        split: ``train`` or ``test``; None where ``root`` holds one split only.
        scripts: words in other scripts are don't-care; such as ``Latin``, ``Symbols``, ``Arabic``. None to read all.
        strict: raise at the first damaged entry instead of skipping it.
    """

    def __init__(
        self,
        root: str | Path | None,
        split: str | None = None,
        scripts: Sequence[str] | None = None,
        strict: bool = False,
    ) -> None:
        self.scripts = None if scripts is None else {script.lower() for script in scripts}
        super().__init__(root, candidate_folders(split, [PLAIN], OFFICIAL), strict)

    def parse(self, path: Path) -> TextInstances:
        """Read a ground-truth file."""
        polygons, texts, ignore = [], [], []
        for number, numbers, rest in read_fields(path, 8, _EXPECTED):
            script, comma, text = rest.partition(",")
            if not comma:
                raise DataError(f"{path}, line {number}: expected {_EXPECTED}, found no script before {rest!r}; add it")
            text = unquoted(clean(text))
            polygons.append(to_polygon(numbers, f"{path}, line {number}"))
            foreign = self.scripts is not None and script.strip().lower() not in self.scripts
            texts.append("" if text == IGNORED else text)
            ignore.append(foreign or text == IGNORED)
        return TextInstances.of(polygons, texts, ignore)
