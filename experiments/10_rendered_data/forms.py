"""Writes an image with its words in the form of each data set, and reads it back with the reader of that set."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image
from scipy.io import savemat

from dld_spotter.core.batches import Sample
from dld_spotter.core.geometry import boundaries_to_polygon, polygon_to_boundaries
from dld_spotter.data.dataset import FileDataset
from dld_spotter.data.readers.cocotext import COCOText
from dld_spotter.data.readers.ctw1500 import CTW1500
from dld_spotter.data.readers.davar import DavarDatalist
from dld_spotter.data.readers.icdar2013 import ICDAR2013
from dld_spotter.data.readers.icdar2015 import ICDAR2015
from dld_spotter.data.readers.jsonl import JsonLines, to_line
from dld_spotter.data.readers.mlt import MLT
from dld_spotter.data.readers.sroie import SROIE
from dld_spotter.data.readers.synthtext import SynthText
from dld_spotter.data.readers.textocr import TextOCR
from dld_spotter.data.readers.totaltext import TotalText

IMAGE = "0001.png"
Word = tuple[np.ndarray, str]


def words_of(sample: Sample) -> list[Word]:
    """Polygons ``(P, 2)`` and texts; ``###`` where the word is don't-care."""
    words = zip(sample.instances.polygons, sample.instances.transcriptions, sample.instances.ignore, strict=True)
    return [(polygon.round(1), "###" if ignore else text) for polygon, text, ignore in words]


def quad(polygon: np.ndarray) -> np.ndarray:
    """The ends of both sides ``(4, 2)``."""
    half = len(polygon) // 2
    return polygon[[0, half - 1, half, -1]]


def commas(numbers: np.ndarray) -> str:
    """Numbers, flat and separated by commas."""
    return ",".join(f"{number:g}" for number in np.ravel(numbers))


def write(root: Path, sample: Sample, image: str, truths: dict[str, str]) -> Path:
    """Write an image and its text files by their paths below ``root``."""
    (root / image).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sample.image).save(root / image)
    for name, content in truths.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    return root


def lines(parts: Iterable[str]) -> str:
    """A text of lines."""
    return "".join(part + "\n" for part in parts)


def icdar2013(root: Path, sample: Sample) -> FileDataset:
    """Boxes ``left top right bottom "text"``."""
    boxes = ((np.concatenate([p.min(0), p.max(0)]), text) for p, text in words_of(sample))
    truth = lines(" ".join(f"{edge:g}" for edge in box) + f' "{text}"' for box, text in boxes)
    images = "Challenge2_Training_Task12_Images"
    return ICDAR2013(
        write(root, sample, f"{images}/{IMAGE}", {"Challenge2_Training_Task1_GT/gt_0001.txt": truth}), "train", True
    )


def icdar2015(root: Path, sample: Sample) -> FileDataset:
    """Quadrilaterals ``x1,y1,...,x4,y4,text``, behind a byte-order mark."""
    truth = "\ufeff" + lines(f"{commas(quad(p))},{text}" for p, text in words_of(sample))
    gts = "ch4_training_localization_transcription_gt"
    return ICDAR2015(write(root, sample, f"ch4_training_images/{IMAGE}", {f"{gts}/gt_0001.txt": truth}), "train", True)


def mlt2019(root: Path, sample: Sample) -> FileDataset:
    """The same with the script before the text."""
    truth = lines(f"{commas(quad(p))},Latin,{text}" for p, text in words_of(sample))
    return MLT(write(root, sample, f"ImagesPart1/{IMAGE}", {"train_gt_t13/0001.txt": truth}), strict=True)


def totaltext(root: Path, sample: Sample) -> FileDataset:
    """The authors' text form."""
    truth = lines(
        f"x: [[{commas(p[:, 0]).replace(',', ' ')}]], y: [[{commas(p[:, 1]).replace(',', ' ')}]], "
        f"ornt: [u'c'], transcriptions: [u{(text if text != '###' else '#')!r}]"
        for p, text in words_of(sample)
    )
    files = {"Groundtruth/Polygon/Train/poly_gt_0001.txt": truth}
    return TotalText(write(root, sample, f"Images/Train/{IMAGE}", files), "Train", strict=True)


def totaltext_mat(root: Path, sample: Sample) -> FileDataset:
    """The authors' MATLAB form."""
    words = words_of(sample)
    cells = np.empty((len(words), 6), object)
    for place, (polygon, text) in enumerate(words):
        label = "#" if text == "###" else text
        cells[place] = [np.array(cell) for cell in ("x:", polygon[:, :1].T, "y:", polygon[:, 1:].T, [label], ["c"])]
    write(root, sample, f"Images/Train/{IMAGE}", {"Groundtruth/Polygon/Train/.keep": ""})
    savemat(root / "Groundtruth" / "Polygon" / "Train" / "poly_gt_0001.mat", {"polygt": cells})
    return TotalText(root, "Train", strict=True)


def ctw1500(root: Path, sample: Sample) -> FileDataset:
    """XML with 14 points a line of text."""
    boxes = (
        f"<box><label>{escape(text)}</label>"
        f"<segs>{commas(boundaries_to_polygon(polygon_to_boundaries(p, 7)).round(1))}</segs></box>"
        for p, text in words_of(sample)
    )
    truth = f'<Annotations><image file="{IMAGE}">\n{lines(boxes)}</image></Annotations>'
    return CTW1500(write(root, sample, f"train_images/{IMAGE}", {"ctw1500_train_labels/0001.xml": truth}), "train", strict=True)


def sroie(root: Path, sample: Sample) -> FileDataset:
    """Lines of text, here of one word each."""
    truth = lines(f"{commas(quad(p))},{text}" for p, text in words_of(sample))
    return SROIE(write(root, sample, f"train/img/{IMAGE}", {"train/box/0001.txt": truth}), "train", strict=True)


def synthtext(root: Path, sample: Sample) -> FileDataset:
    """``gt.mat``, which knows no don't-care words."""
    words = words_of(sample)
    cells = {key: np.empty((1, 1), object) for key in ("imnames", "wordBB", "txt")}
    cells["imnames"][0, 0] = np.array([f"1/{IMAGE}"])
    cells["wordBB"][0, 0] = np.stack([quad(p) for p, _ in words]).transpose(2, 1, 0).astype(float)
    cells["txt"][0, 0] = np.array([text for _, text in words])
    write(root, sample, f"1/{IMAGE}", {})
    savemat(root / "gt.mat", cells)
    return SynthText(root, strict=True)


def linked(sample: Sample, key: str) -> dict:
    """What COCO-Text and TextOCR have in common, with the corners under ``key``."""
    words = {
        str(number): {
            "image_id": "1",
            key: np.ravel(p).tolist(),
            "bbox": [*p.min(0).tolist(), *np.ptp(p, axis=0).tolist()],
            "utf8_string": "." if text == "###" else text,
            "legibility": "illegible" if text == "###" else "legible",
        }
        for number, (p, text) in enumerate(words_of(sample))
    }
    return {"imgs": {"1": {"id": "1", "set": "train", "file_name": IMAGE}}, "anns": words}


def cocotext(root: Path, sample: Sample) -> FileDataset:
    """``cocotext.v2.json``."""
    content = json.dumps(linked(sample, "mask"))
    return COCOText(write(root, sample, f"train2014/{IMAGE}", {"cocotext.v2.json": content}), "train", strict=True)


def textocr(root: Path, sample: Sample) -> FileDataset:
    """``TextOCR_0.1_train.json``."""
    content = json.dumps(linked(sample, "points"))
    return TextOCR(write(root, sample, f"train_images/{IMAGE}", {"TextOCR_0.1_train.json": content}), "train", strict=True)


def davar(root: Path, sample: Sample) -> FileDataset:
    """A data list of DAVAR-Lab-OCR."""
    words = words_of(sample)
    content = {
        "bboxes": [np.ravel(p).tolist() for p, _ in words],
        "texts": [text for _, text in words],
        "cares": [1] * len(words),
    }
    listed = json.dumps({IMAGE: {"content_ann": content}})
    return DavarDatalist(write(root, sample, IMAGE, {"a_train_datalist.json": listed}), "train", strict=True)


def jsonl(root: Path, sample: Sample) -> FileDataset:
    """Our own form."""
    height, width = sample.image.shape[:2]
    line = to_line(IMAGE, width, height, sample.instances)
    return JsonLines(write(root, sample, IMAGE, {"labels.jsonl": line + "\n"}) / "labels.jsonl", strict=True)


FORMS: dict[str, Callable[[Path, Sample], FileDataset]] = {
    "icdar2013": icdar2013,
    "icdar2015": icdar2015,
    "mlt2019": mlt2019,
    "totaltext": totaltext,
    "totaltext, MATLAB": totaltext_mat,
    "ctw1500": ctw1500,
    "sroie": sroie,
    "synthtext": synthtext,
    "cocotext": cocotext,
    "textocr": textocr,
    "davar": davar,
    "jsonl": jsonl,
}
"""Name of the data set -> writes an image with its words below a folder, and opens that folder."""

BENT = {"totaltext", "totaltext, MATLAB", "ctw1500", "cocotext", "textocr", "davar", "jsonl"}
"""Those that can say how a curved word runs."""
