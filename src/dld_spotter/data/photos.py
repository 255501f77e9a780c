"""Photos as they come: files, PIL images and arrays, and the resolution they are read at. Needs no torch."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO
from warnings import catch_warnings, simplefilter

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from dld_spotter.core.errors import ConfigError, DataError

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "JPEG2000", "TGA", "AVIF")
"""What photos may be, whatever their names end in; none of these runs a program."""
MOST_PIXELS = 10**8
"""Pixels of a photo, 10,000 by 10,000: decoding one takes up to 2 GB."""
TOO_LARGE = f"it has more than {MOST_PIXELS // 10**6} megapixels, the most that are read"
WHITES = (1, 2**8 - 1, 2**16 - 1, 2**32 - 1)
"""What white is in images of more than 8 bits: the first of these that no pixel exceeds; 1 for fractions only."""


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


def to_array(image: str | Path | Image.Image | np.ndarray) -> np.ndarray:
    """Bring a path, a PIL image or an array to ``(H, W, 3)`` uint8 RGB, upright."""
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        return np.array(to_rgb(ImageOps.exif_transpose(image)))
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ConfigError(f"an image array must be (H, W, 3) uint8 RGB, found {image.shape} {image.dtype}; convert it first")
    return image


def open_image(source: str | Path | BinaryIO) -> Image.Image:
    """Open an image without decoding it; nothing else in the package opens one with Pillow.

    Its content says which format it is, whatever its name ends in, so that what is not on ``FORMATS`` is shut out here:
    PostScript is a program, which Pillow would hand to Ghostscript.

    Raises:
        DataError: it has more than ``MOST_PIXELS``.
        Exception: it is missing, damaged or no image; Pillow raises almost anything.
    """
    with catch_warnings():
        simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is here, and it is no warning
        try:
            image = Image.open(source, formats=_formats())
        except Image.DecompressionBombError as error:
            raise DataError(TOO_LARGE) from error
    if image.width * image.height > MOST_PIXELS:
        image.close()
        raise DataError(TOO_LARGE)
    return image


def read_image(source: str | Path | BinaryIO, name: str | Path | None = None) -> np.ndarray:
    """Read an image file of ``FORMATS`` as ``(H, W, 3)`` uint8 RGB, upright, without alpha (on white).

    Args:
        source: a file, or its content.
        name: what messages call it; None for ``source`` itself.

    Raises:
        DataError: the file is missing, truncated, too large or no image.
    """
    name = source if name is None else name
    try:
        with open_image(source) as file:
            ImageOps.exif_transpose(file, in_place=True)  # as copies of a large photo take half a gigabyte each
            return np.array(to_rgb(file))
    except FileNotFoundError as error:
        raise DataError(f"{name} does not exist; restore the image or remove its annotation") from error
    except UnidentifiedImageError as error:
        empty = isinstance(source, str | Path) and not Path(source).stat().st_size
        fault = "the file is empty" if empty else f"it is in none of the formats {', '.join(FORMATS)}"
        raise DataError(f"{name} cannot be read as an image ({fault}); replace or remove it") from error
    except Exception as error:  # what Pillow stumbles over in a damaged file has any type, struct.error among others
        raise DataError(f"{name} cannot be read as an image ({error}); replace or remove it") from error


@cache
def _formats() -> tuple[str, ...]:
    """Those of ``FORMATS`` that this Pillow knows."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def to_rgb(image: Image.Image) -> Image.Image:
    """Bring an image of any mode to RGB: 16 and 32 bits, and fractions of 1, are scaled, alpha is laid on white."""
    if image.mode.startswith(("I", "F")):  # 16 or 32 bits a pixel
        values = np.nan_to_num(np.asarray(image, np.float32), posinf=0, neginf=0)
        brightest = values.max(initial=0)
        white = next((white for white in WHITES[image.mode != "F" :] if brightest <= white), brightest)
        return Image.fromarray((values * (255 / white)).clip(0, 255).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
