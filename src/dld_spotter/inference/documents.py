"""A reading as a document of its own: plain text, hOCR 1.2, ALTO 3. Needs no torch."""

import re
from collections.abc import Sequence
from math import ceil, floor
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from dld_spotter.core.words import Word
from dld_spotter.inference.layout import TextLine
from dld_spotter.inference.reading import Reading

XHTML = "http://www.w3.org/1999/xhtml"
ALTO = "http://www.loc.gov/standards/alto/ns-v3#"
WRITTEN_BY = "dld_spotter"
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML may hold."""
Box = tuple[int, int, int, int]
"""Left, top, right and bottom in whole pixels."""


def to_text(path: Path, reading: Reading) -> str:
    """The lines of an image, an empty one between blocks."""
    return reading.text + "\n"


def to_hocr(path: Path, reading: Reading) -> str:
    """An image as a page of hOCR: blocks, lines and words with upright boxes, in reading order; scores are percent."""
    html = Element("html", {"xmlns": XHTML, "lang": "en"})
    head = SubElement(html, "head")
    SubElement(head, "title").text = _plain(path.name)
    SubElement(head, "meta", {"http-equiv": "Content-Type", "content": "text/html; charset=utf-8"})
    SubElement(head, "meta", {"name": "ocr-system", "content": WRITTEN_BY})
    SubElement(head, "meta", {"name": "ocr-capabilities", "content": "ocr_page ocr_carea ocr_par ocr_line ocrx_word"})
    whole = _title((0, 0, reading.width, reading.height))
    name = _plain(str(path)).replace('"', "%22")
    page = _hocr(SubElement(html, "body"), "div", "ocr_page", "page_1", f'image "{name}"; {whole}; ppageno 0')
    for b, block in enumerate(reading.blocks, start=1):
        box = _title(_box(block.lines))
        area = _hocr(page, "div", "ocr_carea", f"block_1_{b}", box)
        paragraph = _hocr(area, "p", "ocr_par", f"par_1_{b}", box)
        for n, line in enumerate(block.lines, start=1):
            title = _title(_box([line])) + _angle(line)
            row = _hocr(paragraph, "span", "ocr_line", f"line_1_{b}_{n}", title)
            for w, word in enumerate(line.words, start=1):
                title = f"{_title(_box([word]))}; x_wconf {round(100 * word.score)}"
                one = _hocr(row, "span", "ocrx_word", f"word_1_{b}_{n}_{w}", title)
                one.text, one.tail = _plain(word.text), " "
    doctype = '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{doctype}\n{_written(html)}\n'


def to_alto(path: Path, reading: Reading) -> str:
    """An image as a page of ALTO 3: blocks, lines and words with upright boxes, in reading order; scores from 0 to 1."""
    alto = Element("alto", {"xmlns": ALTO})
    description = SubElement(alto, "Description")
    SubElement(description, "MeasurementUnit").text = "pixel"
    SubElement(SubElement(description, "sourceImageInformation"), "fileName").text = _plain(str(path))
    step = SubElement(SubElement(description, "OCRProcessing", {"ID": "OCR_1"}), "ocrProcessingStep")
    SubElement(SubElement(step, "processingSoftware"), "softwareName").text = WRITTEN_BY
    whole = (0, 0, reading.width, reading.height)
    size = {"WIDTH": str(reading.width), "HEIGHT": str(reading.height)}
    page = SubElement(SubElement(alto, "Layout"), "Page", {"ID": "page_1", "PHYSICAL_IMG_NR": "1", **size})
    space = SubElement(page, "PrintSpace", _place(whole))
    for b, block in enumerate(reading.blocks, start=1):
        box = _place(_box(block.lines))
        area = SubElement(
            SubElement(space, "ComposedBlock", {"ID": f"area_{b}", **box}), "TextBlock", {"ID": f"block_{b}", **box}
        )
        for n, line in enumerate(block.lines, start=1):
            row = SubElement(area, "TextLine", {"ID": f"line_{b}_{n}", **_place(_box([line]))})
            boxes = [_box([word]) for word in line.words]
            for w, (word, (left, top, right, bottom)) in enumerate(zip(line.words, boxes, strict=True)):
                if w:
                    end = boxes[w - 1][2]
                    SubElement(row, "SP", {"WIDTH": str(max(left - end, 0)), "HPOS": str(end), "VPOS": str(top)})
                facts = {"CONTENT": _plain(word.text), "WC": f"{word.score:.4f}"}
                SubElement(row, "String", {"ID": f"string_{b}_{n}_{w + 1}", **_place((left, top, right, bottom)), **facts})
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{_written(alto)}\n'


DOCUMENTS = {"text": (to_text, ".txt"), "hocr": (to_hocr, ".hocr"), "alto": (to_alto, ".alto.xml")}
"""Name of a form -> what writes it, and the suffix of its files."""


def _box(pieces: Sequence[Word | TextLine]) -> Box:
    """Upright box around words or lines, rounded outwards and never empty."""
    corners = np.concatenate(
        [word.polygon for piece in pieces for word in (piece.words if isinstance(piece, TextLine) else [piece])]
    )
    (left, top), (right, bottom) = corners.min(0).tolist(), corners.max(0).tolist()
    box = max(floor(left), 0), max(floor(top), 0), ceil(right), ceil(bottom)
    return *box[:2], max(box[2], box[0] + 1), max(box[3], box[1] + 1)


def _title(box: Box) -> str:
    return "bbox " + " ".join(map(str, box))


def _angle(line: TextLine) -> str:
    """Degrees by which a line is turned to the left, where it is."""
    (x, y) = line.polygon[1] - line.polygon[0]
    degrees = round(float(np.degrees(np.arctan2(-y, x))))
    return f"; textangle {degrees % 360}" if degrees else ""


def _place(box: Box) -> dict[str, str]:
    left, top, right, bottom = box
    return {"HPOS": str(left), "VPOS": str(top), "WIDTH": str(right - left), "HEIGHT": str(bottom - top)}


def _hocr(parent: Element, tag: str, kind: str, name: str, title: str) -> Element:
    return SubElement(parent, tag, {"class": kind, "id": name, "title": title})


def _plain(text: str) -> str:
    return NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _written(root: Element) -> str:
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode")
