"""Many images, read a batch at a time: what is damaged is told, and the others are read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dld_spotter.budget.requests import Request
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.core.files import save_picture
from dld_spotter.data.pages import DPI, Page
from dld_spotter.data.photos import IMAGE_SUFFIXES
from dld_spotter.data.stores import Place
from dld_spotter.inference.drawing import draw_reading
from dld_spotter.inference.predictor import Predictor
from dld_spotter.inference.reading import Reading
from dld_spotter.inference.writers import Writer, folder_layout

if TYPE_CHECKING:
    from rich.console import Console

REDUCED = 4
"""How many times smaller an image may become before it is said."""


@dataclass(frozen=True)
class Reader:
    """How images are read; it can travel to other processes.

    Args:
        load: builds the predictor.
        request: budget, scale or cost weight.
        batch: images at a time.
        dpi: pixels per inch at which pages of a PDF are drawn.
        lines: whether lines of words are written, rather than words.
    """

    load: Callable[[], Predictor]
    request: Request
    batch: int = 1
    dpi: float = DPI
    lines: bool = False

    def predictor(self) -> Predictor:
        """Build the predictor, and see that it can do what is asked of it."""
        predictor = self.load()
        predictor.check(self.request)
        return predictor


def batches_of(pages: Sequence[Page], size: int, writer: Writer) -> tuple[list[list[Page]], list[list[Page]]]:
    """Put images together as a run that nothing disturbs does.

    Images of one batch are decided on together. That which an earlier run was writing when it ended is read again as a whole,
    so that those that are left are read as they would have been.

    Returns:
        batches of images that are written and stay so, and batches that are to be read.
    """
    every = [list(pages[start : start + size]) for start in range(0, len(pages), size)]
    begun = [k for k, batch in enumerate(every) if any(map(writer.has, batch))]
    last = begun[-1] if begun and not all(map(writer.has, every[begun[-1]])) else None
    written = [[page for page in batch if writer.has(page)] for k, batch in enumerate(every) if k != last]
    left = [batch if k == last else [page for page in batch if not writer.has(page)] for k, batch in enumerate(every)]
    return list(filter(None, written)), list(filter(None, left))


def read_all(
    reader: Reader,
    predictor: Predictor,
    batches: Sequence[Sequence[Page]],
    writer: Writer,
    pictures: Mapping[Place, Path],
    console: "Console",
    alone: bool,
) -> int:
    """Read images, a batch at a time, write each, and draw those that ``pictures`` has a place for.

    Args:
        reader: how they are read.
        predictor: that it has built.
        batches: the images.
        writer: gets the readings of images that it has none of.
        pictures: place of an image -> where its picture goes.
        console: gets what is wrong.
        alone: whether the one image is all there is to do, which must not be damaged and needs no progress bar.

    Returns:
        how many were damaged.

    Raises:
        DataError: the only one is.
    """
    from rich.progress import track  # an exported spotter reads without rich

    damaged = 0
    say = partial(console.print, soft_wrap=True, highlight=False, markup=False)
    for batch in track(batches, "reading", console=console, transient=True, disable=alone or not console.is_terminal):
        photos = {}
        for page in batch:
            try:
                photo = page.read(reader.dpi, predictor.pieces.max_pixels)
                predictor.check_cap(photo, reader.request)
                photos[page] = photo
            except (DataError, ConfigError) as error:
                if alone:
                    raise
                say(f"error: {page}: {error}" if isinstance(error, ConfigError) else f"error: {error}", style="red")
                damaged += 1
        readings = predictor.read_request(list(photos.values()), reader.request)
        for (page, pixels), reading in zip(photos.items(), readings, strict=True):
            if writer.has(page):
                continue
            if page.place in pictures:
                pictures[page.place].parent.mkdir(parents=True, exist_ok=True)
                save_picture(draw_reading(pixels, reading), pictures[page.place], quality=92)
            for note in notes_of(reading):
                say(f"note: {page}: {note}")
            writer.write(page, reading)
    return damaged


def notes_of(reading: Reading) -> list[str]:
    """What a user should know of how an image was read."""
    notes = []
    if reading.dropped:
        notes.append(f"{reading.dropped} more regions than postprocess.max_words of the checkpoint were not read")
    if reading.reduced > REDUCED:
        notes.append(
            f"{reading.width} x {reading.height} pixels were made {reading.reduced:.1f} times smaller, and small text is lost; "
            f"tiles=true reads all of them"
        )
    if reading.turned:
        notes.append(f"most of its text is turned clockwise by {reading.turned} degrees")
    return notes


def picture_paths(images: Sequence[Place], folder: Path) -> dict[Place, Path]:
    """Where the drawn picture of each image goes: in ``folder`` as the images lie below the folder that holds them all.

    Raises:
        ConfigError: an image lies in an object store.
    """
    paths = folder_layout(images, folder)
    return {place: to if to.suffix.lower() in IMAGE_SUFFIXES else to.with_name(to.name + ".png") for place, to in paths.items()}
