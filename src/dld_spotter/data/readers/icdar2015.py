"""ICDAR2015 Incidental Scene Text, and every data set in its form."""

from pathlib import Path

from dld_spotter.core.batches import TextInstances
from dld_spotter.core.errors import DataError
from dld_spotter.data.readers.fields import IGNORED, name_scripts
from dld_spotter.data.readers.paired import PairedDataset, candidate_folders, read_quads

PLAIN = ("images", "gts")
OFFICIAL = {
    "train": [("ch4_training_images", "ch4_training_localization_transcription_gt")],
    "test": [("ch4_test_images", "Challenge4_Test_Task4_GT"), ("ch4_test_images", "Challenge4_Test_Task1_GT")],
}


LISTED = "validation.txt"
"""Names of image files, one a line, that are for validation; it lies beside the folder of the images."""


class ICDAR2015(PairedDataset):
    """Words as quadrilaterals, one ``x1,y1,x2,y2,x3,y3,x4,y4,text`` a line; ``###`` marks don't-care words.

    Where a ``validation.txt`` lists images, these and no others are for validation
    (:class:`~dld_spotter.data.splits.NamedPart`).

    Args:
        root: holds ``images/`` and ``gts/``, or the official archives unpacked, or ``train/`` and ``test/`` folders of these.
        split: ``train`` or ``test``; None where ``root`` holds one split only.
        strict: raise at the first damaged entry instead of skipping it.
    """

    def __init__(self, root: str | Path | None, split: str | None = None, strict: bool = False) -> None:
        super().__init__(root, candidate_folders(split, [PLAIN], OFFICIAL), strict)

    @property
    def parts(self) -> list[str | None]:
        """Of each image ``validation`` where ``validation.txt`` lists it, else None."""
        path = self.images[0].parent.parent / LISTED
        listed = set(path.read_text("utf-8-sig").split()) if path.is_file() else set()
        return ["validation" if image.name in listed else None for image in self.images]

    @property
    def complete(self) -> tuple[str, ...]:
        """Parts that hold no image but those that :attr:`parts` gives them."""
        return ("validation",) if "validation" in self.parts else ()

    def parse(self, path: Path) -> TextInstances:
        """Read a ground-truth file.

        Raises:
            DataError: a line is malformed, or the file is in the form of MLT.
        """
        quads, texts = read_quads(path)
        if name_scripts(texts):
            raise DataError(f"{path} names a script before each text, such as {texts[0]!r}, as MLT does; give data=mlt2019")
        ignore = [text == IGNORED for text in texts]
        return TextInstances.of(quads, ["" if text == IGNORED else text for text in texts], ignore)
