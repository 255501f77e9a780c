"""Data lists of DAVAR-Lab-OCR, the code of the DLD paper."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.data.dataset import existing_folder
from dld_spotter.data.readers.fields import IGNORED, box_to_polygon, to_polygons
from dld_spotter.data.readers.indexed import ImagePaths, IndexedDataset, WordTable
from dld_spotter.data.readers.json_stream import JsonCursor
from dld_spotter.data.readers.linked import existing_file

FILES = {
    "train": ("*train*datalist*.json", "*train*.json"),
    "test": ("*test*datalist*.json", "*test*.json", "*val*.json"),
    None: ("*datalist*.json", "*.json"),
}
COMMENT = "###"
"""Key of a remark that some lists begin with."""


class DavarDatalist(IndexedDataset):
    """Images and words from ``{"path/of/image.jpg": {"height", "width", "content_ann": {"bboxes", "texts", "cares"}}}``.

    See https://github.com/hikopensource/DAVAR-Lab-OCR, ``demo/text_spotting/datalist``. Boxes have 4 numbers (left, top, right,
    bottom), 8, or more, also as pairs; words whose ``cares`` is 0 or whose text is ``###`` are don't-care.

    Args:
        root: holds the lists; paths of images start there.
        split: ``train`` or ``test``, of ``*train*.json`` and ``*test*.json``, preferably a ``datalist``; None for the first
            list there is.
        file: the list, relative to ``root``, where it has another name.
        images: folder that the paths of images start from; None for ``root``.
        strict: raise at the first damaged entry instead of skipping it.
    """

    curved: ClassVar = True

    def __init__(
        self,
        root: str | Path | None,
        split: str | None = None,
        file: str | None = None,
        images: str | Path | None = None,
        strict: bool = False,
    ) -> None:
        if split not in FILES:
            raise ConfigError(f"data split {split} is unknown; use train or test, or null for a single list")
        folder = existing_folder(root)
        path = existing_file(folder, FILES[split] if file is None else (file,))
        table = _read(path, path.stat().st_mtime_ns)
        folders = [existing_folder(images, "data.images")] if images is not None else [folder, folder / "images"]
        super().__init__(table, ImagePaths.locate(table.images, folders, path), path, strict)


@lru_cache(maxsize=8)
def _read(path: Path, mtime: int) -> WordTable:
    table = WordTable()
    with JsonCursor(path) as cursor:
        for image in cursor.members():
            entry = cursor.value()
            if image == COMMENT:
                continue
            try:
                table.add(image, *_words(entry, f"{path}, image {image}"))
            except DataError as error:
                table.add_damaged(image, error)
    return table


def _words(entry: Any, where: str) -> tuple[Sequence[np.ndarray], list[str], list[bool]]:
    try:
        content = entry["content_ann"]
        boxes = content["bboxes"]
        texts = [text or "" for text in content.get("texts") or [""] * len(boxes)]
        cares = content.get("cares") or [1] * len(boxes)
        if not len(boxes) == len(texts) == len(cares):
            raise ValueError(f"{len(boxes)} bboxes, {len(texts)} texts, {len(cares)} cares")
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("texts must be strings")
        corners = [box if isinstance(box[0], list) or len(box) != 4 else box_to_polygon(*box) for box in boxes]
        ignore = [not int(care) or text == IGNORED for care, text in zip(cares, texts, strict=True)]
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        expected = '{"content_ann": {"bboxes": [[x1, y1, ...], ...], "texts": [...], "cares": [...]}}'
        raise DataError(f"{where}: expected {expected}, found a fault ({type(error).__name__}: {error}); mend it") from error
    return to_polygons(corners, where), ["" if text == IGNORED else text for text in texts], ignore
