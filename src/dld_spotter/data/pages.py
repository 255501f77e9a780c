"""Files of several pages: PDF, whose pages are drawn at a stated resolution, and TIFF. Needs no torch."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.data.photos import MOST_PIXELS, PDF, read_image, tiff_pages
from dld_spotter.data.stores import Place, read_address

DPI = 200
"""Pixels per inch at which pages of a PDF are drawn where nothing else is asked for."""
POINTS = 72
"""Units of a PDF per inch."""
TIFFS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""What stands at the beginning of a TIFF."""


@dataclass(frozen=True)
class Page:
    """An image in a file.

    Args:
        path: of the file; or its address in an object store, of which one with several pages gives the first.
        number: from 1 on; None where the file is one image.
        frame: where it lies in the file.
    """

    path: Place
    number: int | None = None
    frame: int = 0

    def read(self, dpi: float = DPI, max_pixels: int = MOST_PIXELS) -> np.ndarray:
        """The image, ``(H, W, 3)`` uint8 RGB.

        Args:
            dpi: pixels per inch, of a page of a PDF.
            max_pixels: of the image; it is refused before it is decoded where it has more.

        Raises:
            DataError: the file is missing, damaged, too large or no image.
            ConfigError: it is a PDF and pypdfium2 is not installed, or there is no such resolution.
        """
        if isinstance(self.path, str):
            return read_image(BytesIO(read_address(self.path)), self.path, max_pixels=max_pixels)
        if _head(self.path).startswith(PDF):
            return _drawn(self.path, self.frame, dpi, max_pixels)
        name = None if self.number is None else f"{self.path}, page {self.number},"
        return read_image(self.path, name, self.frame, max_pixels)

    def __str__(self) -> str:
        return str(self.path) if self.number is None else f"{self.path}, page {self.number}"

    @property
    def key(self) -> str:
        """The same text for all ways in which its path can be written."""
        return str(self if isinstance(self.path, str) else replace(self, path=Path(os.path.realpath(self.path))))

    @property
    def place(self) -> Place:
        """A path of its own."""
        if self.number is None or isinstance(self.path, str):
            return self.path
        return self.path.with_name(f"{self.path.name}-{self.number}")


def find_pages(path: Place) -> list[Page]:
    """The pages of a file; one without a number where it is an image, or cannot be read: reading it tells why."""
    if isinstance(path, str):
        return [Page(path)]
    head = _head(path)
    try:
        if head.startswith(PDF):
            with _opened(path) as document:
                frames: list[int] | None = list(range(len(document)))
        else:
            frames = tiff_pages(path) if head.startswith(TIFFS) else None
    except (DataError, ConfigError):
        frames = None
    return [Page(path, k, frame) for k, frame in enumerate(frames, start=1)] if frames else [Page(path)]


def pages(path: str | Path, dpi: float = DPI, max_pixels: int = MOST_PIXELS) -> Iterator[np.ndarray]:
    """Give each page of a PDF or TIFF, and of any other image the image itself, as ``(H, W, 3)`` uint8 RGB, one at a time.

    Args:
        path: of the file.
        dpi: pixels per inch at which pages of a PDF are drawn.
        max_pixels: of a page; it is refused before it is decoded or drawn where it has more.

    Raises:
        DataError: the file is missing, damaged, too large or no image.
        ConfigError: it is a PDF and pypdfium2 is not installed, or there is no such resolution.
    """
    for page in find_pages(Path(path)):
        yield page.read(dpi, max_pixels)


def _head(path: Path) -> bytes:
    """The first bytes of a file, without white space before them; none where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip()
    except OSError:
        return b""


def _drawn(path: Path, frame: int, dpi: float, max_pixels: int) -> np.ndarray:
    if not (isinstance(dpi, int | float) and 1 <= dpi <= 2400):
        raise ConfigError(f"dpi={dpi} must be from 1 to 2400 pixels per inch; documents are usually read at {DPI}")
    with _opened(path) as document:
        if not len(document):
            raise DataError(f"{path} is a PDF without pages; remove it")
        page = document[frame]
        width, height = page.get_size()
        if (width * dpi / POINTS + 1) * (height * dpi / POINTS + 1) > max_pixels:
            raise DataError(
                f"{path}, page {frame + 1}, has more than {max_pixels / 10**6:.3g} megapixels at dpi={dpi:g}; give a lower dpi="
            )
        drawn = page.render(scale=dpi / POINTS, rev_byteorder=True, prefer_bgrx=False).to_numpy()
        return np.ascontiguousarray(drawn[..., :3] if drawn.shape[2] >= 3 else drawn[..., :1].repeat(3, 2))


def _opened(path: Path) -> Any:
    """The document of pypdfium2; raises what :meth:`Page.read` says."""
    try:
        import pypdfium2
    except ImportError as error:
        raise ConfigError(
            f"{path} is a PDF, which takes pypdfium2 to be read; install the extra pdf: pip install 'dld-spotter[pdf]'"
        ) from error
    try:
        return pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        raise DataError(f"{path} cannot be read as a PDF ({error}); replace it, or save it without a password") from error
