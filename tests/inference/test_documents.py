"""Documents are read back by readers of other projects: archive-hocr-tools and alto-xml."""

from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from dld_spotter.core.words import Word
from dld_spotter.inference.documents import DOCUMENTS, to_alto, to_hocr, to_text
from dld_spotter.inference.output import to_json
from dld_spotter.inference.reading import Reading
from tests.inference.pages import article, receipt, turned

ODD = 'a "photo" & <b>ü.jpg'


def reading_of(words, width=1300, height=900):
    return Reading(tuple(words), 1.0, 1.0, 0.1, 1.0, width, height)


def box_of(word):
    (left, top), (right, bottom) = word.polygon.min(0), word.polygon.max(0)
    return [float(left), float(top), float(right), float(bottom)]


@pytest.mark.parametrize(
    "words", [article().words, receipt().words, turned(receipt().words, 90)], ids=["page", "receipt", "side"]
)
def test_hocr_comes_back_from_another_reader(words):
    parse = pytest.importorskip("hocr.parse")
    reading = reading_of(words)
    page = next(parse.hocr_page_iterator(BytesIO(to_hocr(Path(ODD), reading).encode())))  # which it clears afterwards
    assert parse.hocr_page_get_dimensions(page) == (1300, 900)
    paragraphs = parse.hocr_page_to_word_data(page)
    lines = [line for paragraph in paragraphs for line in paragraph["lines"]]
    assert [len(paragraph["lines"]) for paragraph in paragraphs] == [len(block.lines) for block in reading.blocks]
    assert [" ".join(word["text"] for word in line["words"]) for line in lines] == [line.text for line in reading.lines]
    read = [word for line in lines for word in line["words"]]
    ordered = [word for line in reading.lines for word in line.words]
    assert [word["confidence"] for word in read] == [round(100 * word.score) for word in ordered]
    assert np.abs(np.array([word["bbox"] for word in read]) - [box_of(word) for word in ordered]).max() <= 1


@pytest.mark.parametrize("words", [article().words, receipt().words], ids=["page", "receipt"])
def test_alto_comes_back_from_another_reader(words):
    alto = pytest.importorskip("alto")
    reading = reading_of(words)
    document = alto.Alto.parse(to_alto(Path(ODD), reading))
    assert document.description.file_name == ODD
    (page,) = document.layout.pages
    assert (page.width, page.height) == (1300, 900)
    assert [line.extract_words() for line in page.extract_lines()] == [line.text.split() for line in reading.lines]
    ordered = [word for line in reading.lines for word in line.words]
    read = [[s.hpos, s.vpos, s.hpos + s.width, s.vpos + s.height] for s in page.extract_strings()]
    assert np.abs(np.array(read) - [box_of(word) for word in ordered]).max() <= 1
    assert [string.confidence for string in page.extract_strings()] == [round(word.score, 4) for word in ordered]


def test_text_has_a_line_for_each_line():
    assert to_text(Path("x"), reading_of(receipt().words)).splitlines()[4:6] == ["Brown bread 2.40", "Milk 1 l 1.15"]
    assert to_text(Path("x"), reading_of([])) == "\n"


@pytest.mark.parametrize("text", ["a<b>&\"c'", "\x00\x0b\ud800\ufffe", "ü漢🙂"])
@pytest.mark.parametrize("form", ["hocr", "alto"])
def test_every_text_makes_a_document_that_can_be_parsed(form, text):
    word = Word(np.array([[-3, 4], [-3, 4], [-3, 4], [-3, 4]], np.float32), text, 1.0)
    written = DOCUMENTS[form][0](Path("x.jpg"), reading_of([word]))
    tree = ElementTree.fromstring(written)
    held = [*tree.itertext(), *(value for element in tree.iter() for value in element.attrib.values())]
    assert any(part in held for part in (text, "\N{REPLACEMENT CHARACTER}" * len(text)))


def test_turned_lines_say_so():
    words = turned(receipt().words, 90)  # clockwise
    assert "textangle 270" in to_hocr(Path("x"), reading_of(words))
    assert "textangle" not in to_hocr(Path("x"), reading_of(receipt().words))


def test_lines_as_json():
    reading = reading_of(receipt().words[::-1])
    entry = to_json(Path("x.pdf"), reading, lines=True, page=2)
    assert (entry["page"], "words" in entry) == (2, False)
    line = entry["lines"][4]
    assert line["text"] == "Brown bread 2.40" == " ".join(word["text"] for word in line["words"])
    assert line["score"] == 0.9
    assert [line["block"] for line in entry["lines"]] == sorted(line["block"] for line in entry["lines"])
    (left, top), (right, bottom) = np.array(line["polygon"])[[0, 2]]
    for word in line["words"]:
        inside = np.array(word["polygon"])
        assert (inside >= [left - 0.1, top - 0.1]).all()
        assert (inside <= [right + 0.1, bottom + 0.1]).all()
