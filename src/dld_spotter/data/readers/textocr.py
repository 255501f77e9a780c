"""TextOCR: words in the photos of TextVQA."""

from pathlib import Path
from typing import ClassVar

from dld_spotter.core.errors import ConfigError
from dld_spotter.data.dataset import existing_folder
from dld_spotter.data.readers.indexed import ImagePaths, IndexedDataset
from dld_spotter.data.readers.linked import existing_file, read_linked, text_ocr_word

FILES = {"train": ("TextOCR*train.json", "train.json"), "test": ("TextOCR*val.json", "val.json")}
FOLDERS = ("train_images", "train_val_images/train_images", "train_val_images", "images", ".")


class TextOCR(IndexedDataset):
    """Words as polygons, ``TextOCR_0.1_train.json`` and ``..._val.json`` (https://textvqa.org/textocr).

    Words whose text is ``.`` could not be read by the annotators and are don't-care.

    Args:
        root: holds the JSON files and the images, in ``train_images/``.
        split: ``train``, or ``test`` (the published validation set).
        strict: raise at the first damaged entry instead of skipping it.
    """

    curved: ClassVar = True

    def __init__(self, root: str | Path | None, split: str = "train", strict: bool = False) -> None:
        if split not in FILES:
            raise ConfigError(f"data split {split} is unknown; use {' or '.join(FILES)}")
        folder = existing_folder(root)
        file = existing_file(folder, FILES[split])
        table = read_linked(file, file.stat().st_mtime_ns, None, text_ocr_word)
        images = ImagePaths.locate(table.images, [folder / name for name in FOLDERS], file)
        super().__init__(table, images, file, strict)
