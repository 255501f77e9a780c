"""COCO-Text: text in photos of everyday scenes."""

from pathlib import Path
from typing import ClassVar

from dld_spotter.core.errors import ConfigError
from dld_spotter.data.dataset import existing_folder
from dld_spotter.data.readers.indexed import ImagePaths, IndexedDataset
from dld_spotter.data.readers.linked import coco_text_word, existing_file, read_linked

FILES = ("cocotext.v2.json", "COCO_Text.json", "*coco*text*.json")
SETS = {"train": frozenset({"train"}), "test": frozenset({"val"})}
FOLDERS = ("train2014", "images", ".", "train2014/train2014")


class COCOText(IndexedDataset):
    """Words as polygons (version 2) or boxes (version 1) from one JSON file (https://bgshih.github.io/cocotext).

    Illegible words are don't-care.

    Args:
        root: holds ``cocotext.v2.json`` (or ``COCO_Text.json``) and the images of COCO, in ``train2014/``.
        split: ``train``, ``test`` (the published validation set) or None for both.
        strict: raise at the first damaged entry instead of skipping it.
    """

    curved: ClassVar = True

    def __init__(self, root: str | Path | None, split: str | None = None, strict: bool = False) -> None:
        if split is not None and split not in SETS:
            raise ConfigError(f"data split {split} is unknown; use {' or '.join(SETS)}, or null for both")
        folder = existing_folder(root)
        file = existing_file(folder, FILES)
        table = read_linked(file, file.stat().st_mtime_ns, SETS.get(split), coco_text_word)
        images = ImagePaths.locate(table.images, [folder / name for name in FOLDERS], file)
        super().__init__(table, images, file, strict)
