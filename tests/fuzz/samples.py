"""Whole files to begin with: real ones that travel with the tests, and what the package writes itself."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

from tests.data.readers.test_ctw1500 import FLAT, XML
from tests.data.readers.test_davar import LIST
from tests.data.readers.test_linked import COCO, OCR
from tests.data.readers.test_synthtext import IMAGES
from tests.data.readers.test_totaltext import OFFICIAL, PLAIN
from tests.data.samples import box, sample
from tests.inference.test_onnx_meta import META_FACTS

CASES = Path(__file__).parents[1] / "metrics" / "cases"
SHARED = Path(__file__).parents[3] / "shared" / "data"
ICDAR2013 = '10, 5, 60, 25, "WORD"\n10 30 60 45 "a, b"\n1,2,9,8,"###"\n'
MLT = "8,8,58,8,58,28,8,28,Latin,word\n8,8,58,8,58,28,8,28,Arabic,###\n"
SCENE = sample(48, 64, [box(8, 8, 40, 20)], ["cat"]).image


def members(name: str, most: int = 6) -> list[bytes]:
    """The first files of an archive of ``tests/metrics/cases``, none of them empty."""
    with zipfile.ZipFile(CASES / name) as archive:
        found = [archive.read(member) for member in sorted(archive.namelist())]
    return [content for content in found if content][:most]


def archives(*names: str) -> list[bytes]:
    """Archives of the tests, of each the first files alone."""
    return [zipped({f"gt_img_{n}.txt": content for n, content in enumerate(members(name), 1)}) for name in names]


def zipped(files: dict[str, bytes]) -> bytes:
    """An archive of some files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def as_json(*values: Any) -> list[bytes]:
    """JSON documents."""
    return [json.dumps(value).encode() for value in values]


def json_lines() -> list[bytes]:
    """What ``predict`` and ``check_data`` write."""
    word = {"polygon": [[8, 8], [48, 8], [48, 28], [8, 28]], "text": "cat", "score": 0.9}
    entry = {"image": "images/img_1.jpg", "width": 64, "height": 48, "scale": 1.0, "words": [word, word | {"ignore": True}]}
    return [b"\n".join(as_json(entry, entry | {"image": "images/img_2.jpg", "split": "test"})) + b"\n"]


def photos() -> list[bytes]:
    """A small scene in every format that is read, and a piece of a real photo where the development data are."""
    pictures = [Image.fromarray(SCENE)]
    real = sorted((SHARED / "icdar2015" / "val" / "images").glob("*.jpg"))[:1]
    pictures += [Image.open(path).crop((400, 300, 520, 380)) for path in real]
    found = []
    for picture in pictures:
        for form in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "JPEG2000", "TGA", "AVIF"):
            found.append(_saved(picture, form))
        found += [
            _saved(picture.convert("CMYK"), "JPEG"),
            _saved(picture.convert("RGBA"), "PNG"),
            _saved(picture.quantize(), "PNG"),
        ]
        found += [
            _saved(picture.convert("I;16"), "PNG"),
            _saved(picture.convert("F"), "TIFF"),
            _saved(picture.convert("1"), "TIFF"),
        ]
        found += [_saved(picture, "TIFF", compression=way) for way in ("tiff_lzw", "tiff_deflate", "jpeg")]
        exif = Image.Exif()
        exif[0x0112] = 6
        found += [_saved(picture, "JPEG", exif=exif, progressive=True), _saved(picture, "PNG", exif=exif)]
    return found


def _saved(picture: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def synthtext() -> list[bytes]:
    """``gt.mat`` of a few images, plain and compressed."""
    cells = {key: np.empty((1, len(IMAGES)), object) for key in ("imnames", "wordBB", "txt", "charBB")}
    for place, (name, (boxes, texts)) in enumerate(IMAGES.items()):
        cells["imnames"][0, place], cells["charBB"][0, place] = np.array([name]), np.zeros((2, 4, 9))
        cells["wordBB"][0, place], cells["txt"][0, place] = boxes.astype(float), np.array(texts)
    return _mats(cells)


def totaltext() -> list[bytes]:
    """A file of Total-Text as MATLAB writes it, plain and compressed."""
    cells = np.empty((2, 6), object)
    for place, text in enumerate(("it's", "#")):
        row = ("x:", [[10, 40, 40, 10]], "y:", [[5, 5, 15, 15]], [text], ["h"])
        cells[place] = [np.array(cell) for cell in row]
    return _mats({"polygt": cells})


def _mats(cells: dict[str, np.ndarray]) -> list[bytes]:
    found = []
    for packed in (False, True):
        stream = io.BytesIO()
        savemat(stream, cells, do_compression=packed)
        found.append(stream.getvalue())
    return found


def texts() -> dict[str, list[bytes]]:
    """Ground truth of each data set of text files."""
    icdar = members("icdar2015_gt.zip")
    return {
        "icdar2015": [*icdar, *members("icdar2015_perturbed.zip", 2)],
        "icdar2013": [ICDAR2013.encode()],
        "mlt": [MLT.encode()],
        "sroie": icdar,
        "ctw1500": [f"{FLAT},####a b\n".encode(), ",".join(map(str, range(32))).encode()],
        "ctw1500_xml": [XML.encode()],
        "totaltext": [OFFICIAL.encode(), PLAIN.encode(), *members("totaltext_gt.zip", 2)],
    }


def documents() -> dict[str, list[bytes]]:
    """Annotation files that hold a whole data set."""
    return {
        "cocotext": as_json(COCO),
        "textocr": as_json(OCR),
        "davar": as_json(LIST),
        "jsonl": json_lines(),
        "meta": as_json(META_FACTS, META_FACTS | {"selector": None, "reads": "pixels", "margin": 0.1}),
    }
