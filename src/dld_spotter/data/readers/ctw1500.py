"""SCUT-CTW1500: curved text lines."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

import numpy as np

from dld_spotter.core.batches import TextInstances
from dld_spotter.core.errors import DataError
from dld_spotter.core.files import read_bounded, read_lines
from dld_spotter.data.readers.fields import IGNORED, clean, clockwise, to_polygon
from dld_spotter.data.readers.paired import PairedDataset, candidate_folders

PLAIN = ("images", "gts")
OFFICIAL = {
    "train": [("train_images", "ctw1500_train_labels"), ("ctwtrain_text_image", "ctw1500_train_labels")],
    "test": [
        ("test_images", "gt_ctw1500"),
        ("test_images", "ctw1500_test_labels"),
        ("test_images", "test_labels"),
        ("ctwtest_text_image", "gt_ctw1500"),
    ],
}
FIRST = ("text_image", "text_label_curve")
FIRST_TEST = ("text_image", "text_label_circumference")
"""Folders in ``train/`` and ``test/`` of the first release."""
OFFSETS = 32
"""Numbers of a line of the first release: a box, and 14 points relative to its top left."""
LARGEST, DEEPEST = 2**24, 16
"""Bytes of a file, and most levels of its elements."""
Record = tuple[np.ndarray, str]


class _Refused(Exception):
    """What no annotation holds."""


class _Outline(ElementTree.TreeBuilder):
    """Builds a tree, unless it is too deep or defines a kind of document: entities may stand for texts without an end."""

    depth = 0

    def start(self, tag: str, attrs: dict[str, str]) -> ElementTree.Element:
        self.depth += 1
        if self.depth > DEEPEST:
            raise _Refused(f"more than {DEEPEST} levels of elements")
        return super().start(tag, attrs)

    def end(self, tag: str) -> ElementTree.Element:
        self.depth -= 1
        return super().end(tag)

    def doctype(self, name: str, pubid: str, system: str) -> None:
        raise _Refused("a document type")


class CTW1500(PairedDataset):
    """Text lines as polygons of 14 points, in any form that was published (https://github.com/Yuliang-Liu/Curve-Text-Detector).

    XML with ``label`` and ``segs`` (training set of 2020); ``x1,y1,...,####text`` (its test set); or 32 numbers a line
    without text: a box and 14 offsets (first release). ``###`` marks don't-care lines.

    Args:
        root: holds the archives unpacked, or ``images/`` and ``gts/``, or ``train/`` and ``test/`` folders of these.
        split: ``train`` or ``test``; None where ``root`` holds one split only.
        strict: raise at the first damaged entry instead of skipping it.
    """

    curved: ClassVar = True
    prefixes: ClassVar = ("", "000", "gt_")
    suffixes: ClassVar = (".xml", ".txt")

    def __init__(self, root: str | Path | None, split: str | None = None, strict: bool = False) -> None:
        super().__init__(root, candidate_folders(split, [FIRST, FIRST_TEST, PLAIN], OFFICIAL), strict)

    def parse(self, path: Path) -> TextInstances:
        """Read a ground-truth file."""
        records = list(_xml_records(path) if path.suffix.lower() == ".xml" else _text_records(path))
        ignore = [text == IGNORED for _, text in records]
        texts = ["" if text == IGNORED else text for _, text in records]
        return TextInstances.of([clockwise(polygon) for polygon, _ in records], texts, ignore)


def _xml_records(path: Path) -> Iterator[Record]:
    try:
        boxes = ElementTree.fromstring(read_bounded(path, LARGEST), ElementTree.XMLParser(target=_Outline())).iter("box")
    except ElementTree.ParseError as error:
        raise DataError(f"{path}, line {error.position[0]}: expected XML, found a fault ({error}); mend the file") from error
    except _Refused as error:
        raise DataError(f"{path}: expected plain XML, found {error}; remove it") from error
    except (ValueError, LookupError, MemoryError) as error:  # an encoding that Python's XML parser does not know
        raise DataError(f"{path}, line 1: expected XML in UTF-8, found a fault ({error}); save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); restore it") from error
    for number, box in enumerate(boxes, start=1):
        corners = (box.findtext("segs") or "").split(",")
        yield to_polygon(corners, f"{path}, box {number}"), clean(box.findtext("label") or "")


def _text_records(path: Path) -> Iterator[Record]:
    for number, line in enumerate(map(clean, read_lines(path)), start=1):
        if not line:
            continue
        numbers, marked, text = line.partition(",####")
        values, where = numbers.split(","), f"{path}, line {number}"
        if marked or len(values) != OFFSETS:
            yield to_polygon(values, where), clean(text)
        else:
            box, offsets = to_polygon([*values[:4], *values[:2]], where), to_polygon(values[4:], where)
            yield offsets + box[0], ""
