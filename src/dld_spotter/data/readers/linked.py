"""COCO-Text and TextOCR: one JSON file with ``imgs`` and ``anns`` that name their image."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dld_spotter.core.errors import DataError
from dld_spotter.data.readers.fields import box_to_polygon, clean, clockwise, from_top_left, to_polygon
from dld_spotter.data.readers.indexed import WordTable
from dld_spotter.data.readers.json_stream import JsonCursor

Word = tuple[np.ndarray, str, bool]
ToWord = Callable[[dict[str, Any], str], Word]


@lru_cache(maxsize=8)
def read_linked(path: Path, mtime: int, sets: frozenset[str] | None, to_word: ToWord) -> WordTable:
    """Read such a file.

    Args:
        path: of the file.
        mtime: when it was changed; tells a new file from an old one.
        sets: keep images whose ``set`` is one of these; None for all.
        to_word: makes polygon, text and ignore flag of an annotation and where it stands; may raise DataError.

    Raises:
        DataError: the file is no JSON of this form.
    """
    images: dict[str, str] = {}
    left_out: set[str] = set()
    words: dict[str, list[Word]] = {}
    faults: dict[str, DataError] = {}
    with JsonCursor(path) as cursor:
        for section in cursor.members():
            if section not in ("imgs", "anns"):
                cursor.value()
                continue
            for key in cursor.members():
                entry, where = cursor.value(), f"{path}, {section} {key}"
                if section == "imgs":
                    if sets is not None and str(_field(entry, "set", where)) not in sets:
                        left_out.add(str(entry.get("id", key)))
                    else:
                        name = str(_field(entry, "file_name", where))
                        image = str(entry.get("id", key))
                        if images.setdefault(image, name) != name:
                            faults[image] = DataError(f"{where}: {images[image]} has the id {image} too; give each its own")
                    continue
                image = str(_field(entry, "image_id", where))
                try:
                    words.setdefault(image, []).append(to_word(entry, where))
                except DataError as error:
                    faults[image] = error
                except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
                    faults[image] = DataError(f"{where}: found a fault ({type(error).__name__}: {error}); mend it")
    if not images:
        wanted = f" of set {' or '.join(sorted(sets))}" if sets else ""
        raise DataError(f"{path} names no images{wanted} in imgs; give the published file")
    table = _pack(images, words, faults)
    strangers = sorted((words.keys() | faults.keys()) - images.keys() - left_out)
    table.orphans = [f"{path}: anns name an image {key} that imgs lacks; add it or remove them" for key in strangers]
    return table


def _field(entry: Any, name: str, where: str) -> Any:
    if not isinstance(entry, dict) or name not in entry:
        raise DataError(f"{where}: expected an object with {name}, found {str(entry)[:60]}; mend it")
    return entry[name]


def _pack(images: dict[str, str], words: dict[str, list[Word]], faults: dict[str, DataError]) -> WordTable:
    table = WordTable()
    for key, image in images.items():
        if key in faults:
            table.add_damaged(image, faults[key])
        else:
            polygons, texts, ignore = zip(*words.pop(key, []), strict=True) if key in words else ((), (), ())
            table.add(image, polygons, texts, ignore)
    return table


def coco_text_word(entry: dict[str, Any], where: str) -> Word:
    """A word of COCO-Text: corners in any order, ``bbox`` where they are too few; illegible words are don't-care."""
    corners = entry.get("mask") or entry.get("polygon") or []
    if len(corners) < 6:
        left, top, width, height = entry["bbox"]
        corners = box_to_polygon(left, top, left + width, top + height)
    polygon = to_polygon(corners, where)
    text = clean(entry.get("utf8_string") or "")
    ordered = from_top_left(polygon) if len(polygon) == 4 else clockwise(polygon)
    return ordered, text, entry.get("legibility") == "illegible" or not text


def text_ocr_word(entry: dict[str, Any], where: str) -> Word:
    """A word of TextOCR; those whose text is a single full stop could not be read, and are don't-care."""
    text = clean(entry["utf8_string"])
    return clockwise(to_polygon(entry["points"], where)), "" if text == "." else text, text in (".", "")


def existing_file(root: Path, names: Iterable[str]) -> Path:
    """Find the first of some files, with ``*`` in their names, in a folder or its ``annotations/``; raises DataError."""
    names = list(names)
    for folder in (root, root / "annotations"):
        for name in names:
            for file in sorted(folder.glob(name)):
                return file
    raise DataError(f"data.root={root} holds no {' or '.join(names)}; point data.root to the folder with the published file")
