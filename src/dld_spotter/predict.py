"""Read photos: ``python -m dld_spotter.predict input=PHOTO_OR_FOLDER``; ``--help`` lists what can be overridden."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import MISSING, DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track

from dld_spotter.budget.requests import Request
from dld_spotter.config.entry import entry_point
from dld_spotter.config.given_engine import given_engine
from dld_spotter.config.second_pass import refuse_idle_single_pass, second_pass_of
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.data.pages import Page, find_pages
from dld_spotter.data.readers.paired import IMAGE_SUFFIXES
from dld_spotter.data.views import ReferenceSize
from dld_spotter.inference.drawing import draw_reading
from dld_spotter.inference.inputs import find_images
from dld_spotter.inference.loading import load
from dld_spotter.inference.pieces import PieceRule
from dld_spotter.inference.predictor import LONG, Predictor
from dld_spotter.inference.reading import Reading
from dld_spotter.inference.writers import Writer, find_writer, folder_layout

REDUCED = 4
"""How many times smaller an image may become before it is said."""
ONLY_OF_MODELS = {
    "ckpt": ("bundled",),
    "vocabulary": (None,),
    "device": (None, "cpu"),
    "precision": ("fp32",),
    "two_pass": (None, False),
}
"""Keys that an engine has no use for, and the values that they may have beside it."""


@dataclass
class Settings:
    """Types of what ``conf/predict.yaml`` holds."""

    input: Any = MISSING
    ckpt: str = MISSING
    engine: Any = None
    policy: str | None = None
    vocabulary: str | None = None
    gamma: float | None = MISSING
    scale: float | None = MISSING
    budget: float | None = MISSING
    budget_gflops: float | None = MISSING
    budget_ms: float | None = MISSING
    max_cost: float | None = MISSING
    reference: dict[str, int | None] = MISSING
    tiles: str = MISSING
    overlap: int = MISSING
    orientation: bool = MISSING
    two_pass: bool | None = None
    second_pass: Any = MISSING
    batch: int = MISSING
    device: str | None = MISSING
    precision: str = MISSING
    dpi: float = MISSING
    output: str = MISSING
    out: str | None = MISSING
    draw: bool = MISSING
    paths: Any = None


def predict(config: DictConfig, folder: Path) -> None:
    """Read the images that ``config`` names and write a line for each; drawn pictures go to ``folder``.

    Raises:
        DataError: no image was found, or some could not be read; the others are written nevertheless.
    """
    if OmegaConf.is_missing(config, "input"):
        raise ConfigError("input= is missing; give input=PHOTO, a folder, a glob, a list.txt or [a,list]")
    OmegaConf.resolve(config)  # once, as the folder of a run is named after the time
    config = OmegaConf.merge(OmegaConf.structured(Settings), config)
    if config.batch < 1:
        raise ConfigError(f"batch={config.batch} must be at least 1; give how many photos are read at a time")
    others: Counter[str] = Counter()
    source = config.input if isinstance(config.input, str) else list(config.input)
    pages = [page for path in find_images(source, others) for page in find_pages(path)]
    predictor = predictor_of(config)
    request = Request(**{field.name: config[field.name] for field in fields(Request)})
    predictor.check(request)
    refuse_idle_single_pass(config, predictor)
    console = Console(stderr=True)
    say = partial(console.print, soft_wrap=True, highlight=False, markup=False)
    drawn = folder / "drawn" if config.draw else None
    pictures = picture_paths([page.place for page in pages], drawn) if drawn else {}
    with find_writer(config.output, config.out, folder, pages) as writer:
        if others:
            kinds = ", ".join(f"{count} {suffix or 'without an ending'}" for suffix, count in sorted(others.items()))
            say(f"note: files of formats that are not read were left out: {kinds}")
        fresh = [page for page in pages if not writer.has(page)]
        predictor.catch_up(request, writer.earlier(pages))
        damaged = read_all(predictor, request, fresh, writer, pictures, console, config)
    before = f", {len(pages) - len(fresh)} were there before" if len(fresh) < len(pages) else ""
    places = [str(writer), *([str(drawn)] if drawn else [])]
    summary = f"{len(fresh) - damaged} of {len(pages)} images read{before}: {' and '.join(places)}"
    tracker = predictor.tracker(request)
    summary += f"; {tracker}" if tracker else ""
    say(summary)
    if damaged:
        raise DataError(f"{damaged} of {len(pages)} images could not be read, see above; replace or remove them")


def predictor_of(config: DictConfig) -> Predictor:
    """Load the spotter, or build the engine with its policy, that ``config`` names."""
    rule, reference = second_pass_of(config), ReferenceSize(**config.reference)
    pieces = PieceRule(config.tiles, config.overlap, config.orientation)
    if config.engine is None:
        if config.policy is not None:
            raise ConfigError(f"policy={config.policy} is one of an engine; give engine=NAME with it, or leave it out")
        return load(config.ckpt, reference, config.device, rule, config.vocabulary, config.precision, pieces)
    engine = given_engine(config, ONLY_OF_MODELS)
    if config.policy is None:
        return Predictor(engine, reference=reference, pieces=pieces)
    if reference != ReferenceSize(long=LONG):
        raise ConfigError(
            f"reference={config.reference} does nothing beside policy={config.policy}, which has its own; leave it out"
        )
    from dld_spotter.inference.adaptive_engine import AdaptiveEngine  # here, as an export is read without torch

    return AdaptiveEngine(engine, config.policy, pieces)


def picture_paths(images: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Where the drawn picture of each image goes: in ``folder`` as the images lie below the folder that holds them all."""
    paths = folder_layout(images, folder)
    return {path: to if to.suffix.lower() in IMAGE_SUFFIXES else to.with_name(to.name + ".png") for path, to in paths.items()}


def read_all(
    predictor: Predictor,
    request: Request,
    pages: Sequence[Page],
    writer: Writer,
    pictures: Mapping[Path, Path],
    console: Console,
    config: DictConfig,
) -> int:
    """Read images, ``batch`` of them at a time, write each, and draw those that ``pictures`` has a place for.

    Returns:
        how many were damaged.

    Raises:
        DataError: the only one is.
    """
    damaged = 0
    say = partial(console.print, soft_wrap=True, highlight=False, markup=False)
    chunks = [pages[start : start + config.batch] for start in range(0, len(pages), config.batch)]
    for chunk in track(chunks, "reading", console=console, transient=True, disable=len(pages) == 1):
        photos = {}
        for page in chunk:
            try:
                photo = page.read(config.dpi)
                predictor.check_cap(photo, request)
                photos[page] = photo
            except (DataError, ConfigError) as error:
                if len(pages) == 1:
                    raise
                say(f"error: {page}: {error}" if isinstance(error, ConfigError) else f"error: {error}", style="red")
                damaged += 1
        readings = predictor.read_request(list(photos.values()), request)
        for (page, pixels), reading in zip(photos.items(), readings, strict=True):
            if page.place in pictures:
                pictures[page.place].parent.mkdir(parents=True, exist_ok=True)
                draw_reading(pixels, reading).save(pictures[page.place], quality=92)
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


@entry_point("predict", kernels=1024)
def main(config: DictConfig) -> None:
    """Find, read, write."""
    predict(config, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    main()
