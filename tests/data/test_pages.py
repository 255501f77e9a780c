"""Every form in which a picture comes, and files of several pages."""

import io
import re
import sys
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote_from_bytes

import numpy as np
import pytest
from PIL import Image, ImageDraw

import dld_spotter
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.data.pages import Page, find_pages, pages
from dld_spotter.data.photos import to_array, to_rgb

PIXELS = np.random.default_rng(0).integers(0, 255, (12, 20, 3), np.uint8)


def content(form="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, form, **options)
    return stream.getvalue()


class Unseekable(io.RawIOBase):
    """As a pipe or a socket."""

    def __init__(self, held):
        self.held = held

    def read(self, size=-1):
        held, self.held = self.held, b""
        return held


@pytest.mark.parametrize(
    "given",
    [
        content(),
        bytearray(content()),
        memoryview(content()),
        io.BytesIO(content()),
        Unseekable(content()),
        "data:image/png;base64," + b64encode(content()).decode(),
        "DATA:;BASE64," + quote_from_bytes(b64encode(content())),
        "data:image/png," + quote_from_bytes(content()),
        Image.open(io.BytesIO(content())),
        PIXELS,
    ],
    ids=lambda given: type(given).__name__,
)
def test_pictures_come_in_many_forms(given):
    np.testing.assert_array_equal(to_array(given), PIXELS)


def test_open_files_and_paths(tmp_path):
    (tmp_path / "a.png").write_bytes(content())
    with (tmp_path / "a.png").open("rb") as file:
        np.testing.assert_array_equal(to_array(file), PIXELS)
        with pytest.raises(DataError, match=r"a\.png cannot be read as an image \(the file is empty\)"):
            to_array(file)
    for path in (tmp_path / "a.png", str(tmp_path / "a.png")):
        np.testing.assert_array_equal(to_array(path), PIXELS)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (None, ConfigError, "found NoneType"),
        ([PIXELS, PIXELS], ConfigError, "found list; read_all takes several"),
        (3, ConfigError, "found int"),
        (io.StringIO("text"), ConfigError, "'rb'"),
        (b"", DataError, "the file is empty"),
        (b"no image", DataError, "an image of 8 bytes cannot be read"),
        (content()[:100], DataError, "an image of 100 bytes cannot be read"),
        ("data:image/png;base64", DataError, "comma"),
        ("data:image/png;base64,abcde", DataError, "no base64"),
        ("https://example.org/a.png", DataError, "download it"),
        (PIXELS[..., 0], ConfigError, r"\(12, 20\) uint8"),
        (PIXELS.astype(float), ConfigError, "float64"),
        (b"%PDF-1.4\n", DataError, "is a PDF: read its pages"),
    ],
)
def test_what_is_no_picture_is_told_in_a_sentence(given, error, words):
    with pytest.raises(error, match=words) as caught:
        to_array(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bits", range(8, 17))
def test_grey_of_any_depth_uses_all_of_it(bits):
    grey = np.linspace(0, 2**bits - 1, 256)
    read = np.asarray(to_rgb(Image.fromarray(grey.round().astype(np.uint16)[None])))
    assert np.abs(read[0, :, 0].astype(int) - np.arange(256)).max() <= 1


@pytest.mark.parametrize(("letters", "ground"), [("white", 0), ("#ffe080", 0), ("black", 255), ("#303060", 255)])
def test_what_is_transparent_lets_letters_be_seen(letters, ground):
    image = Image.new("RGBA", (80, 40))
    ImageDraw.Draw(image).text((4, 4), "Word", fill=letters)
    read = np.asarray(to_rgb(image))
    assert (read[0, 0] == ground).all()
    assert np.abs(read.astype(int) - ground).max() > 120


def test_pages_of_a_tiff(tmp_path):
    frames = [Image.new("L", (30 + 10 * k, 20), 50 * k) for k in range(3)]
    frames[0].save(tmp_path / "fax.tif", save_all=True, append_images=frames[1:])
    found = list(dld_spotter.pages(tmp_path / "fax.tif"))
    assert [page.shape for page in found] == [(20, 30, 3), (20, 40, 3), (20, 50, 3)]
    assert [int(page[0, 0, 0]) for page in found] == [0, 50, 100]
    assert [str(page) for page in find_pages(tmp_path / "fax.tif")][2] == f"{tmp_path / 'fax.tif'}, page 3"
    np.testing.assert_array_equal(to_array(tmp_path / "fax.tif"), found[0])


def test_smaller_copies_in_a_tiff_are_no_pages(tmp_path):
    large, small = Image.new("L", (40, 20), 9), Image.new("L", (4, 2), 9)
    small.encoderinfo = {"tiffinfo": {254: 1}}
    large.save(tmp_path / "a.tif", save_all=True, append_images=[small])
    with Image.open(tmp_path / "a.tif") as file:
        assert file.n_frames == 2
    assert [page.frame for page in find_pages(tmp_path / "a.tif")] == [0]


def test_other_files_are_one_page(tmp_path):
    frames = [Image.new("L", (8, 8), 50 * k) for k in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "b.tif")
    (tmp_path / "c.pdf").write_text("no PDF")
    for name in ("a.gif", "b.tif", "c.pdf", "absent.pdf"):
        assert find_pages(tmp_path / name) == [Page(tmp_path / name)]
    assert [page.shape for page in pages(tmp_path / "a.gif")] == [(8, 8, 3)]


@pytest.mark.parametrize("name", ["a.pdf", "a.jpg"])
def test_pages_of_a_pdf_are_drawn_at_a_resolution(tmp_path, name):
    pytest.importorskip("pypdfium2")
    sheets = [Image.new("RGB", (200, 100), color) for color in ("red", "blue")]
    sheets[0].save(tmp_path / name, "PDF", save_all=True, append_images=sheets[1:], resolution=100)  # 2 by 1 inches
    for dpi in (50, 200):
        drawn = list(pages(tmp_path / name, dpi))
        assert [page.shape for page in drawn] == [(dpi, 2 * dpi, 3)] * 2
        assert [page[dpi // 2, dpi].argmax() for page in drawn] == [0, 2]  # red comes first in RGB
    with pytest.raises(ConfigError, match="dpi=0 must be"):
        next(pages(tmp_path / name, 0))
    Image.new("RGB", (600, 600)).save(tmp_path / name, "PDF", resolution=100)
    with pytest.raises(DataError, match="page 1, has more than 100 megapixels at dpi=2400"):
        next(pages(tmp_path / name, 2400))


def test_damaged_pdf_and_missing_extra_are_told(tmp_path, monkeypatch):
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7\nnothing")
    (found,) = find_pages(tmp_path / "a.pdf")
    pytest.importorskip("pypdfium2")
    with pytest.raises(DataError, match=r"a\.pdf cannot be read as a PDF"):
        found.read()
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    with pytest.raises(ConfigError, match=re.escape("pip install 'dld-spotter[pdf]'")):
        found.read()


SHARED = Path(__file__).parents[3] / "shared" / "faults" / "use"


@pytest.mark.parametrize("name", ["grey_10_of_16_bits.png", "white_on_transparent.png"])
def test_pictures_of_the_fault_list_use_their_range(name):
    if not (SHARED / name).is_file():
        pytest.skip(f"{SHARED / name} is absent")
    read = to_array(SHARED / name)
    assert (read.min(), read.max() > 250) == (0, True)


def test_a_later_page_that_is_too_large_is_refused_by_name(tmp_path):
    sheets = [Image.new("RGB", size) for size in ((20, 10), (200, 100))]
    sheets[0].save(tmp_path / "a.tif", save_all=True, append_images=sheets[1:])
    first, second = find_pages(tmp_path / "a.tif")
    assert first.read(max_pixels=19_999).shape == (10, 20, 3)
    assert second.read(max_pixels=20_000).shape == (100, 200, 3)
    with pytest.raises(DataError, match=r"a\.tif, page 2, is too large: it has 20,000 pixels, and at most 19,999"):
        second.read(max_pixels=19_999)
    with pytest.raises(DataError, match="page 2, is too large"):
        list(pages(tmp_path / "a.tif", max_pixels=19_999))
