"""Photos as they come: files, their content, PIL images and arrays, and the resolution they are read at. Needs no torch."""

import binascii
from base64 import b64decode
from collections.abc import Container
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes
from warnings import catch_warnings, simplefilter

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from dld_spotter.core.errors import ConfigError, DataError, shown

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "JPEG2000", "TGA", "AVIF")
"""What photos may be, whatever their names end in; none of these runs a program."""
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jfif", ".jpe", ".ppm", ".pgm"}
IMAGE_SUFFIXES |= {".jp2", ".j2k", ".tga", ".avif", ".pnm"}
"""What the names of photos end in."""
PDF = b"%PDF-"
"""What stands at the beginning of a PDF."""
MOST_PIXELS = 10**8
"""Pixels of a photo where nothing else is asked for, 10,000 by 10,000: decoding one takes up to 2 GB."""
LARGEST_PIXELS = 2 * (2**30 // 4 // 3)
"""Pixels beyond which Pillow opens no file, about 179 million."""
WHITES = (1, *(2**bits - 1 for bits in range(8, 17)), 2**32 - 1)
"""What white is in images of more than 8 bits: the first of these that no pixel exceeds; 1 for fractions only.

Cameras and scanners write 10, 12 or 14 bits into 16.
"""
LIGHT = 127.5
"""Middle of grey values, and of opacity."""
TIFF_PREVIEW = 0x00FE
"""Tag of a TIFF whose lowest bit marks a smaller copy of another page."""
ImageLike = str | Path | bytes | bytearray | memoryview | BinaryIO | Image.Image | np.ndarray
"""A path, a data URL, the content of a file, an open file, a PIL image, or ``(H, W, 3)`` uint8 RGB."""


class TooLargeError(DataError):
    """An image has more pixels than are read."""


@dataclass(frozen=True)
class ReferenceSize:
    """The rule that turns the size of a file into the size of the reference view.

    Args:
        short: the short side in pixels; None leaves the image as it is, apart from ``long``.
        long: the long side never exceeds this; None for no limit.
    """

    short: int | None = None
    long: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("short", self.short), ("long", self.long)):
            if value is not None and value < 1:
                raise ConfigError(f"reference.{name} must be at least 1 pixel, found {value}; raise it or set it to null")

    def __call__(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of the reference, at least 1."""
        factor = 1.0 if self.short is None else self.short / min(height, width)
        if self.long is not None:
            factor = min(factor, self.long / max(height, width))
        return scaled_size(height, width, factor)


def scaled_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """Round a scaled size to whole pixels, at least 1."""
    return max(1, round(height * scale)), max(1, round(width * scale))


def to_array(image: ImageLike, max_pixels: int = MOST_PIXELS) -> np.ndarray:
    """Bring an image to ``(H, W, 3)`` uint8 RGB, upright; of a file of several pages the first.

    Args:
        image: what it comes as.
        max_pixels: images of more pixels are refused, files before they are decoded.

    Raises:
        DataError: a file cannot be read, or the image is too large.
        ConfigError: it is nothing of ``ImageLike``.
    """
    if isinstance(image, str) and image.lower().startswith("data:"):
        return read_image(BytesIO(_decoded(image)), "the data URL", max_pixels=max_pixels)
    if isinstance(image, str) and "://" in image[:10]:
        raise DataError(f"{shown(image)} is an address, and photos are not fetched; download it and give the file")
    if isinstance(image, str | Path):
        return read_image(Path(image), max_pixels=max_pixels)
    if isinstance(image, bytes | bytearray | memoryview):
        return read_image(BytesIO(image), f"an image of {len(image)} bytes", max_pixels=max_pixels)
    if isinstance(image, Image.Image):
        _check_pixels(image.width * image.height, max_pixels, "the image")
        return np.array(to_rgb(ImageOps.exif_transpose(image)))
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ConfigError(
                f"an image array must be (H, W, 3) uint8 RGB, found {image.shape} {image.dtype}; convert it first"
            )
        _check_pixels(image.shape[0] * image.shape[1], max_pixels, "the image")
        return image
    if callable(getattr(image, "read", None)):
        content = image.read()
        if isinstance(content, bytes):
            return read_image(BytesIO(content), str(getattr(image, "name", "an open file")), max_pixels=max_pixels)
        raise ConfigError("an open file was given that is read as text; open it in binary mode, 'rb'")
    raise ConfigError(
        f"an image must be a path, bytes, an open file, a PIL image or an array, found {type(image).__name__}"
        + ("; read_all takes several" if isinstance(image, list | tuple) else "")
    )


def _decoded(url: str) -> bytes:
    """Content of a data URL (RFC 2397)."""
    head, comma, content = url.partition(",")
    if not comma:
        raise DataError(f"{shown(url)} is a data URL without content; it needs a comma before it")
    try:
        raw = unquote_to_bytes(content)
        return b64decode(raw, validate=False) if head.lower().endswith(";base64") else raw
    except binascii.Error as error:
        raise DataError(f"{shown(url)} is a data URL whose content is no base64 ({error}); encode it again") from error


def _check_pixels(pixels: int, most: int, name: str = "it") -> None:
    """Raise TooLargeError where there are more than ``most``."""
    if pixels > most:
        raise TooLargeError(f"{name} has {pixels:,} pixels, and at most {most:,} are read (max_pixels); make it smaller")


def open_image(source: str | Path | BinaryIO, max_pixels: int = MOST_PIXELS) -> Image.Image:
    """Open an image without decoding it; nothing else in the package opens one with Pillow.

    Its content says which format it is, whatever its name ends in, so that what is not on ``FORMATS`` is shut out here:
    PostScript is a program, which Pillow would hand to Ghostscript.

    Raises:
        TooLargeError: it has more than ``max_pixels``.
        Exception: it is missing, damaged or no image; Pillow raises almost anything.
    """
    with catch_warnings():
        simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is here, and it is no warning
        try:
            image = Image.open(source, formats=_formats())
        except Image.DecompressionBombError as error:
            raise TooLargeError(
                f"it has more than {LARGEST_PIXELS:,} pixels, the most that are read; make it smaller"
            ) from error
    try:
        _check_pixels(image.width * image.height, max_pixels)
    except TooLargeError:
        image.close()
        raise
    return image


def read_image(
    source: str | Path | BinaryIO, name: str | Path | None = None, page: int = 0, max_pixels: int = MOST_PIXELS
) -> np.ndarray:
    """Read an image file of ``FORMATS`` as ``(H, W, 3)`` uint8 RGB, upright, without alpha (see :func:`to_rgb`).

    Args:
        source: a file, or its content.
        name: what messages call it; None for ``source`` itself.
        page: which of its pages, see :func:`tiff_pages`.
        max_pixels: a file of more is refused before it is decoded.

    Raises:
        DataError: the file is missing, truncated, too large or no image.
    """
    name = source if name is None else name
    try:
        with open_image(source, max_pixels) as file:
            file.seek(page)
            _check_pixels(file.width * file.height, max_pixels)  # pages of a TIFF differ in size
            ImageOps.exif_transpose(file, in_place=True)  # as copies of a large photo take half a gigabyte each
            return np.array(to_rgb(file))
    except TooLargeError as error:
        raise DataError(f"{name} is too large: {error}") from error
    except FileNotFoundError as error:
        raise DataError(f"{name} does not exist; restore the image or remove its annotation") from error
    except UnidentifiedImageError as error:
        head = _head(source)
        if PDF in head:
            raise DataError(f"{name} is a PDF: read its pages, dld_spotter.pages(FILE) gives them") from error
        fault = "it is in none of the formats " + ", ".join(FORMATS) if head else "the file is empty"
        raise DataError(f"{name} cannot be read as an image ({fault}); replace or remove it") from error
    except Exception as error:  # what Pillow stumbles over in a damaged file has any type, struct.error among others
        raise DataError(f"{name} cannot be read as an image ({error}); replace or remove it") from error


def tiff_pages(path: Path) -> list[int] | None:
    """Frames of a TIFF that are pages, smaller copies of others left out; None where it is none or has but one."""
    try:
        with open_image(path, LARGEST_PIXELS) as file:
            if file.format != "TIFF" or getattr(file, "n_frames", 1) < 2:
                return None
            pages = []
            for frame in range(file.n_frames):
                file.seek(frame)
                if not int(file.tag_v2.get(TIFF_PREVIEW, 0)) & 1:
                    pages.append(frame)
            return pages or None
    except Exception:  # damaged: told where it is read
        return None


def _head(source: str | Path | BinaryIO) -> bytes:
    """The first bytes of a file or content."""
    if isinstance(source, str | Path):
        with Path(source).open("rb") as file:
            return file.read(1024)
    source.seek(0)
    return source.read(1024)


@cache
def _formats() -> tuple[str, ...]:
    """Those of ``FORMATS`` that this Pillow knows."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def to_rgb(image: Image.Image) -> Image.Image:
    """Bring an image of any mode to RGB: 9 to 32 bits, and fractions of 1, are scaled by what is used of them.

    What is transparent is laid on white, or on black where what can be seen is nearer to white: white letters stay legible.
    """
    if image.mode.startswith(("I", "F")):  # 16 or 32 bits a pixel
        values = np.nan_to_num(np.asarray(image, np.float32), posinf=0, neginf=0)
        brightest = values.max(initial=0)
        white = next((white for white in WHITES[image.mode != "F" :] if brightest <= white), brightest)
        return Image.fromarray((values * (255 / white)).clip(0, 255).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        grey, alpha = np.asarray(image.convert("RGB").convert("L")), np.asarray(image.getchannel("A"), np.float32)
        seen = float(alpha.sum())
        bright = float((grey * alpha).sum()) > LIGHT * seen if seen else False
        ground = "black" if bright and alpha.min() < LIGHT else "white"
        return Image.alpha_composite(Image.new("RGBA", image.size, ground), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def is_photo(path: Path, suffixes: Container[str] = IMAGE_SUFFIXES) -> bool:
    """Whether a file is called as a photo is, and is none that macOS adds to it (``._a.jpg``)."""
    return path.suffix.lower() in suffixes and not path.name.startswith("._")
