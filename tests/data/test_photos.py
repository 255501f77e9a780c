"""Photos are opened in one place, in formats that run nothing, and up to a stated size."""

import ast
import os
import stat
import struct
import warnings
import zlib
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dld_spotter
from dld_spotter.core.errors import DataError
from dld_spotter.data import photos
from dld_spotter.data.inspection import image_problems
from dld_spotter.data.photos import FORMATS, LARGEST_PIXELS, MOST_PIXELS, read_image, to_array
from dld_spotter.demo import decode
from dld_spotter.evaluation.score_view import find_photo

SOURCE = Path(dld_spotter.__file__).parent
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nnewpath 1 1 moveto 9 9 lineto stroke\nshowpage\n"
DOS_EPS = b"\xc5\xd0\xd3\xc6" + struct.pack("<6IH", 30, len(EPS), 0, 0, 0, 0, 0xFFFF) + EPS
"""The same, in the binary form."""
LOOP = Path(__file__).parents[3] / "shared" / "faults" / "inputs" / "13-eps" / "loop.jpg"


@pytest.fixture
def ghost(tmp_path, monkeypatch):
    """A Ghostscript that leaves a file behind when somebody starts it."""
    folder, started = tmp_path / "bin", tmp_path / "started"
    folder.mkdir()
    (folder / "gs").write_text(f"#!/bin/sh\ntouch {started}\n")
    (folder / "gs").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # so that Pillow looks for it anew
    return started


def assert_one_sentence(action, name):
    with pytest.raises(DataError) as caught:
        action()
    message = str(caught.value)
    assert message.count(name) == 1
    assert "\n" not in message
    return message


def test_the_ghost_is_what_pillow_would_start(ghost, tmp_path):
    """What the tests below rely on."""
    (tmp_path / "a.jpg").write_bytes(EPS)
    with pytest.raises(OSError), Image.open(tmp_path / "a.jpg") as image:
        image.load()
    assert ghost.exists()


@pytest.mark.parametrize("content", [EPS, DOS_EPS], ids=["text", "binary"])
@pytest.mark.parametrize("name", ["a.eps", "a.jpg", "a.png"])
def test_postscript_is_no_photo(ghost, tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    grey = np.arange(4, dtype=np.uint8).reshape(2, 2, 1).repeat(3, 2)
    for action in (
        lambda: read_image(path),
        lambda: to_array(path),
        lambda: decode(content, name),
        lambda: find_photo(tmp_path, "a"),
    ):
        assert_one_sentence(action, name)
    with pytest.raises(Image.UnidentifiedImageError):
        image_problems(grey, path, "a")
    assert not ghost.exists()


def test_an_endless_program_is_no_photo(ghost):
    if not LOOP.is_file():
        pytest.skip(f"{LOOP} is absent")
    assert "none of the formats" in assert_one_sentence(lambda: read_image(LOOP), "loop.jpg")
    assert_one_sentence(lambda: decode(LOOP.read_bytes(), "loop.jpg"), "loop.jpg")
    assert not ghost.exists()


@pytest.mark.parametrize("form", FORMATS)
def test_formats_that_are_read_whatever_the_name(tmp_path, form):
    if form not in photos._formats():
        pytest.skip(f"this Pillow has no {form}")
    image = np.full((32, 48, 3), 200, np.uint8)
    Image.fromarray(image).save(tmp_path / "a.jpg", form)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - image).max() <= 4


@pytest.mark.parametrize("form", ["PDF", "EPS", "PCX", "ICNS", "SGI", "DDS"])
def test_formats_that_are_not_read(tmp_path, form):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.jpg", form)
    assert_one_sentence(lambda: read_image(tmp_path / "a.jpg"), "a.jpg")


def png(width, height):
    """The head of an image of one bit a pixel; its pixels are missing."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9_900, 11_600, 60_000])
def test_photos_of_too_many_pixels_are_told_and_never_warned_of(tmp_path, side):
    (tmp_path / "a.png").write_bytes(png(side, side))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        message = assert_one_sentence(lambda: read_image(tmp_path / "a.png"), "a.png")
    assert ("most" in message) == (side**2 > MOST_PIXELS)


def test_pillow_opens_what_the_highest_limit_allows():
    assert LARGEST_PIXELS == 2 * Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("given", ["path", "bytes", "data URL", "PIL", "array"])
def test_the_limit_is_the_number_of_pixels_whatever_holds_them(tmp_path, given):
    image = Image.new("RGB", (20, 10))
    image.save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    forms = {
        "path": tmp_path / "a.png",
        "bytes": content,
        "data URL": "data:image/png;base64," + b64encode(content).decode(),
        "PIL": image,
        "array": np.asarray(image),
    }
    assert to_array(forms[given], max_pixels=200).shape == (10, 20, 3)
    with pytest.raises(DataError, match="200 pixels, and at most 199 are read"):
        to_array(forms[given], max_pixels=199)


def opened(tree):
    """Lines of a module on which Pillow opens something."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "open":
            owner = node.value
            if getattr(owner, "id", getattr(owner, "attr", "")) in ("Image", "PILImage", "PIL"):
                yield node.lineno
        if isinstance(node, ast.ImportFrom) and node.module == "PIL.Image":
            yield node.lineno
        if isinstance(node, ast.alias) and node.asname and node.name in ("Image", "PIL.Image"):
            yield node.lineno


def test_one_place_opens_images():
    found = {
        str(path.relative_to(SOURCE)): lines
        for path in SOURCE.rglob("*.py")
        if (lines := list(opened(ast.parse(path.read_text("utf-8")))))
    }
    assert list(found) == ["data/photos.py"]
    assert len(found["data/photos.py"]) == 1
