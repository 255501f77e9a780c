"""What comes from users: each odd file is read right, or reported with its place and skipped."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from dld_spotter.core.errors import DataError
from dld_spotter.data.readers.icdar2015 import ICDAR2015
from dld_spotter.data.splits import NamedPart
from tests.data.readers.trees import write_photos, write_texts

QUAD = [[1, 2], [30, 2], [30, 12], [1, 12]]
NUMBERS = "1,2,30,2,30,12,1,12"
GREY = np.random.default_rng(0).integers(0, 255, (30, 40), np.uint8)
RGB = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], -1)


def encode(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


PHOTO = Image.fromarray(RGB)
PNG = encode(PHOTO)
BOMB = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)) + chunk(b"IEND", b"")
ODD_EXIF = turned(6)
ODD_EXIF[0x010F] = "maker"
BAD_EXIF = encode(PHOTO, "JPEG", exif=ODD_EXIF).replace(b"\x01\x0f\x00\x02", b"\x01\x11\x00\x02")  # a text for an offset
DDS = encode(PHOTO, "DDS")
BAD_DDS = DDS[:80] + b"\x8a" + DDS[81:]

TRUTHS = {
    "byte-order mark": f"\ufeff{NUMBERS},word",
    "byte-order mark and CRLF": f"\ufeff{NUMBERS},word\r\n\r\n",
    "two byte-order marks": f"\ufeff\ufeff{NUMBERS},word",
    "no end of line": f"{NUMBERS},word",
    "UTF-16": f"{NUMBERS},word".encode("utf-16"),
    "spaces after commas": NUMBERS.replace(",", ", ") + " , word ",
    "zero-width space at the end": f"{NUMBERS},word\u200b",
    "NUL at the end": f"{NUMBERS},word\0",
    "no-break space": f"\u00a0{NUMBERS},\u00a0word\u00a0",
    "decimals": "1.0,2.0,30.0,2.0,30.0,12.0,1.0,12.0,word",
    "exponents": "1e0,2,3e1,2,30,12,1,12,word",
    "semicolons": NUMBERS.replace(",", ";") + ";word",
    "quotes": f'{NUMBERS},"word"',
    "empty lines between": f"\n\n{NUMBERS},word\n \n",
}
TEXTS = {
    "commas": ("a,b,,c", "a,b,,c"),
    "a semicolon": ("a;b", "a;b"),
    "many semicolons": (";;;;;;;;;;", ";;;;;;;;;;"),
    "a quote at the end": ('5"', '5"'),
    "quotes in quotes": (r'"say \"hi\""', 'say "hi"'),
    "a comma in quotes": ('"a, b"', "a, b"),
    "digits": ("1,2", "1,2"),
    "other scripts": ("\u4e2d\u6587\u0633", "\u4e2d\u6587\u0633"),
    "nothing": ("", ""),
    "hashes": ("##", "##"),
}
BAD_TRUTHS = {
    "Latin-1": (f"{NUMBERS},word\n{NUMBERS},caf\u00e9".encode("latin-1"), "line 2: expected UTF-8, found byte 0xe9"),
    "Latin-1 behind a BOM": (
        b"\xef\xbb\xbf" + f"{NUMBERS},word\n\u00e9".encode("latin-1"),
        "line 2: expected UTF-8, found byte 0xe9",
    ),
    "Latin-1 on an old Mac": (
        f"{NUMBERS},word\r{NUMBERS},caf\u00e9".encode("latin-1"),
        "line 2: expected UTF-8, found byte 0xe9",
    ),
    "half of UTF-16": (f"{NUMBERS},word".encode("utf-16")[:-1], "line 1: expected UTF-8, found"),
    "a binary file": (PNG, "line 1: expected UTF-8"),
    "missing columns": (f"{NUMBERS},word\n1,2,30,2,30,12,word", "line 2: expected x1,y1"),
    "no text": (NUMBERS, "line 1: expected x1,y1"),
    "NaN": (f"nan{NUMBERS[1:]},word", "line 1: expected x1,y1"),
    "infinity": (f"-inf{NUMBERS[1:]},word", "line 1: expected x1,y1"),
    "more than a float32 holds": (f"1e39{NUMBERS[1:]},word", "line 1: expected x1,y1"),
    "a square of more than a float32 holds": (f"-1e30{NUMBERS[1:]},word", "line 1: expected x1,y1"),
    "a word for a number": (f"left{NUMBERS[1:]},word", "line 1: expected x1,y1"),
    "a heading": (f"x1,y1,x2,y2,x3,y3,x4,y4,text\n{NUMBERS},word", "line 1: expected x1,y1"),
    "tabs": (NUMBERS.replace(",", "\t") + "\tword", "line 1: expected x1,y1"),
    "no file": (None, "has no ground truth"),
}
IMAGES = {
    "grey": encode(Image.fromarray(GREY)),
    "palette": encode(PHOTO.quantize(256)),
    "bilevel": encode(PHOTO.convert("1")),
    "alpha": encode(PHOTO.convert("RGBA")),
    "16 bits": encode(Image.fromarray(GREY.astype(np.uint16) * 257)),
    "CMYK": encode(PHOTO.convert("CMYK"), "JPEG"),
    "animated": encode(PHOTO, "GIF", save_all=True, append_images=[PHOTO.rotate(180)]),
    "progressive": encode(PHOTO, "JPEG", progressive=True),
    "WebP in a .png": encode(PHOTO, "WEBP"),
    "TIFF in a .png": encode(PHOTO, "TIFF"),
}
BAD_IMAGES = {
    "empty": (b"", "cannot be read as an image (the file is empty)"),
    "cut in half": (PNG[: len(PNG) // 2], "cannot be read as an image"),
    "head alone": (PNG[:24], "cannot be read as an image"),
    "a text": (b"no image", "cannot be read as an image (it is in none of the formats JPEG,"),
    "a web page": (b"<html>404</html>", "cannot be read as an image"),
    "EXIF that cannot be turned": (BAD_EXIF, "cannot be read as an image"),
    "an unknown kind of DDS": (BAD_DDS, "cannot be read as an image"),
    "a bomb": (BOMB, "2.png is too large: it has more than 178,956,970 pixels"),
}


def dataset(root, truth: str | bytes | None = f"{NUMBERS},word", image: bytes = PNG, strict: bool = False) -> ICDAR2015:
    """A whole image, and an odd one behind it."""
    write_photos(root, ["images/1.png"])
    write_texts(root, {"gts/1.txt": "", "images/2.png": image} | ({} if truth is None else {"gts/2.txt": truth}))
    return ICDAR2015(root, strict=strict)


@pytest.mark.parametrize("truth", TRUTHS.values(), ids=TRUTHS)
def test_odd_but_clear_truths_are_read(tmp_path, truth):
    words = dataset(tmp_path, truth, strict=True)[1].instances
    assert words.transcriptions == ("word",)
    assert [polygon.tolist() for polygon in words.polygons] == [QUAD]
    assert not words.ignore.any()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"], ids=["Unix", "Windows", "old Macs", "converted twice"])
def test_line_ends_do_not_matter(tmp_path, end):
    words = dataset(tmp_path, f"{NUMBERS},one{end}{NUMBERS},two{end}", strict=True)[1].instances
    assert words.transcriptions == ("one", "two")


@pytest.mark.parametrize(("written", "text"), TEXTS.values(), ids=TEXTS)
def test_texts_are_kept(tmp_path, written, text):
    words = dataset(tmp_path, f"{NUMBERS},{written}\n{NUMBERS},###", strict=True)[1].instances
    assert words.transcriptions == (text, "")
    assert words.ignore.tolist() == [False, True]


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_odd_images_are_read_as_rgb(tmp_path, image):
    sample = dataset(tmp_path, image=image, strict=True)[1]
    assert sample.image.shape == (30, 40, 3)
    assert sample.image.dtype == np.uint8
    assert sample.image.std() > 20, "not blank"


@pytest.mark.parametrize(
    ("truth", "image", "found"),
    [(truth, PNG, found) for truth, found in BAD_TRUTHS.values()]
    + [(f"{NUMBERS},word", image, found) for image, found in BAD_IMAGES.values()],
    ids=[*BAD_TRUTHS, *BAD_IMAGES],
)
def test_what_is_damaged_is_named_and_skipped(tmp_path, truth, image, found):
    lenient = dataset(tmp_path, truth, image)
    assert [sample.name for sample in lenient] == ["1", "1"]
    assert lenient.damaged == [1]
    assert f"{tmp_path}" in lenient.damage_report()
    assert found in lenient.damage_report()
    with pytest.raises(DataError, match="2"):
        dataset(tmp_path, truth, image, strict=True)[1]


def test_truths_without_an_image_are_told(tmp_path):
    lenient = dataset(tmp_path)
    assert lenient.damage_report() == ""
    write_texts(tmp_path, {"gts/gt_2.txt": "", "gts/gt_3.txt": "", "gts/4.txt": "", "gts/notes.md": ""})
    lenient = ICDAR2015(tmp_path)
    assert len(lenient) == 2
    assert [sentence.partition(" ")[0] for sentence in lenient.orphans] == [f"{tmp_path}/gts/{n}.txt" for n in ("4", "gt_3")]
    assert lenient.damage_report().startswith(f"2 annotations have no image: {tmp_path}/gts/4.txt has no image")
    with pytest.raises(DataError, match=r"4\.txt has no image of its name in .*images; add it or remove the file"):
        ICDAR2015(tmp_path, strict=True)


def test_names_in_another_encoding_are_told(tmp_path):
    dataset(tmp_path)
    folder = os.fsencode(tmp_path)
    for name in ("images/2.png", "gts/2.txt"):
        old = tmp_path / name
        old.rename(os.fsdecode(folder + b"/" + os.path.dirname(name).encode() + b"/caf\xe9" + old.suffix.encode()))  # noqa: PTH120
    (tmp_path / os.fsdecode(b"gts/\xff.txt")).touch()
    lenient = ICDAR2015(tmp_path)
    assert sum(len(NamedPart(lenient, {"a": 0.5, "b": 0.5}, part)) for part in "ab") == 2
    assert [sample.name for sample in lenient] == ["1", "1"]
    assert r"images/caf\xe9.png has a name that is not UTF-8; rename it" in lenient.damage_report()
    assert lenient.orphans[0].startswith(f"{tmp_path}" + r"/gts/\xff.txt has no image")
    lenient.damage_report().encode()


def test_truths_of_any_image_are_paired(tmp_path):
    photo = encode(PHOTO, "JPEG")
    write_texts(
        tmp_path,
        {f"{kind}/{n}.{end}": data for n in "12" for kind, end, data in (("images", "jfif", photo), ("gts", "txt", ""))},
    )
    assert [sample.name for sample in ICDAR2015(tmp_path, strict=True)] == ["1", "2"]


def test_coordinates_outside_the_image_are_kept_as_they_are(tmp_path):
    words = dataset(tmp_path, "-5,-2.5,30,-2,30,12,-5,12,cut\n90,2,99,2,99,12,90,12,beyond", strict=True)[1].instances
    assert words.transcriptions == ("cut", "beyond")
    assert words.polygons[0].tolist() == [[-5, -2.5], [30, -2], [30, 12], [-5, 12]]


def test_a_huge_image_is_read_and_a_large_number_of_words_with_it(tmp_path):
    image = encode(Image.new("RGB", (9000, 3000), "white"), "JPEG")
    sample = dataset(tmp_path, "\n".join([f"{NUMBERS},word"] * 20_000), image, strict=True)[1]
    assert sample.image.shape == (3000, 9000, 3)
    assert len(sample.instances) == 20_000


def test_every_kind_of_damage_at_once_is_counted_and_every_whole_image_is_served(tmp_path):
    faults = [(truth, PNG) for truth, _ in BAD_TRUTHS.values()] + [("", image) for image, _ in BAD_IMAGES.values()]
    for number, (truth, image) in enumerate(faults):
        write_texts(tmp_path, {f"images/bad{number}.png": image})
        if truth is not None:
            write_texts(tmp_path, {f"gts/bad{number}.txt": truth})
    for number in range(3):
        write_texts(tmp_path, {f"images/good{number}.png": PNG, f"gts/good{number}.txt": f"{NUMBERS},word"})
    lenient = ICDAR2015(tmp_path)
    assert {sample.name for sample in lenient} == {"good0", "good1", "good2"}
    assert len(lenient.damaged) == len(faults) == 23
    report = lenient.damage_report(examples=len(faults))
    assert report.startswith("23 of 26 entries were damaged and skipped")
    assert all(f"bad{number}." in report for number in range(len(faults)))


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1)])
def test_tiny_images_are_images(tmp_path, size):
    image = encode(Image.new("RGB", size))
    assert dataset(tmp_path, "", image, strict=True)[1].image.shape == (size[1], size[0], 3)


@pytest.mark.parametrize(("orientation", "shape"), [(1, (30, 40, 3)), (3, (30, 40, 3)), (6, (40, 30, 3)), (8, (40, 30, 3))])
def test_polygons_refer_to_the_image_as_it_is_shown(tmp_path, orientation, shape):
    marked = np.zeros((30, 40, 3), np.uint8)
    marked[2:12, 1:30] = 255
    shown = {1: marked, 3: np.rot90(marked, 2), 6: np.rot90(marked, -1), 8: np.rot90(marked)}[orientation]
    rows, columns = (np.flatnonzero(shown.any(axis).any(1)) for axis in (1, 0))
    left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    truth = f"{left},{top},{right},{top},{right},{bottom},{left},{bottom},word"
    image = encode(Image.fromarray(marked), "JPEG", quality=95, exif=turned(orientation))
    sample = dataset(tmp_path, truth, image, strict=True)[1]
    assert sample.image.shape == shape
    (left, top), (right, bottom) = sample.instances.polygons[0][[0, 2]].astype(int)
    assert sample.image[top:bottom, left:right].mean() > 200
    inside = np.zeros(shape[:2], bool)
    inside[top:bottom, left:right] = True
    assert sample.image[~inside].mean() < 20
