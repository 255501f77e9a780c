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

from dld_spotter.budget.requests import Request
from dld_spotter.config.entry import entry_point
from dld_spotter.config.given_predictor import given_predictor
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.data.pages import Page, find_pages
from dld_spotter.inference.inputs import find_images
from dld_spotter.inference.many import Reader, batches_of, picture_paths, read_all
from dld_spotter.inference.sharding import read_output, read_shards, spent_per_image
from dld_spotter.inference.writers import LISTS, PREDICTIONS, STDOUT, find_writer


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
    max_pixels: int = MISSING
    two_pass: bool | None = None
    second_pass: Any = MISSING
    batch: int = MISSING
    device: str | None = MISSING
    precision: str = MISSING
    dpi: float = MISSING
    workers: int = MISSING
    shards: int | None = MISSING
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
    tell_of_one_name(pages)
    request = Request(**{field.name: config[field.name] for field in fields(Request)})
    plain = OmegaConf.create(OmegaConf.to_container(config))  # which other processes know, too
    reader = Reader(partial(given_predictor, plain), request, config.batch, config.dpi, config.output == "lines")
    damaged = (read_on_workers if config.workers else read_here)(config, reader, pages, folder, others)
    if damaged:
        raise DataError(f"{damaged} of {len(pages)} images could not be read, see above; replace or remove them")


def read_here(config: DictConfig, reader: Reader, pages: Sequence[Page], folder: Path, others: Mapping[str, int]) -> int:
    """Read in this process, and draw into ``folder`` where that is asked for; returns how many images are damaged."""
    predictor = reader.predictor()
    drawn = folder / "drawn" if config.draw else None
    pictures = picture_paths([page.place for page in pages], drawn) if drawn else {}
    with find_writer(config.output, config.out, folder, pages) as writer:
        tell_left_out(others)
        fresh = [page for page in pages if not writer.has(page)]
        written, left = batches_of(pages, reader.batch, writer)
        predictor.catch_up(reader.request, map(writer.earlier, written))
        damaged = read_all(reader, predictor, left, writer, pictures, Console(stderr=True), alone=len(fresh) == 1)
    tracker = predictor.tracker(reader.request)
    places = [str(writer), *([str(drawn)] if drawn else [])]
    summarize(len(pages), len(pages) - len(fresh), damaged, places, [str(tracker)] if tracker else [])
    return damaged


def read_on_workers(config: DictConfig, reader: Reader, pages: Sequence[Page], folder: Path, others: Mapping[str, int]) -> int:
    """Read in several processes; returns how many images are damaged.

    Raises:
        ConfigError: a setting is for one process alone.
    """
    if config.draw or config.out == STDOUT or config.output not in LISTS:
        fault = "draw=true" if config.draw else "out=-" if config.out == STDOUT else f"output={config.output}"
        raise ConfigError(
            f"{fault} is for one process; with workers={config.workers} give draw=false, out=FILE.jsonl, and words or lines"
        )
    shards = config.workers if config.shards is None else config.shards
    if config.workers < 1 or shards < 1:
        raise ConfigError(f"workers={config.workers} and shards={shards} must be at least 1, or workers=0 to read here")
    out = folder / PREDICTIONS if config.out is None else Path(config.out)
    tell_left_out(others)
    before, damaged, spent = read_shards(reader, pages, out, config.workers, shards)
    total = spent_per_image(reader.request, read_output(out))
    summarize(len(pages), before, damaged, [str(out)], [*spent, *([f"in all {total}"] if total else [])])
    return damaged


def tell_left_out(others: Mapping[str, int]) -> None:
    """Say how many files of folders are in none of the formats that are read."""
    if others:
        kinds = ", ".join(f"{count} {suffix or 'without an ending'}" for suffix, count in sorted(others.items()))
        tell(f"note: files of formats that are not read were left out: {kinds}")


def tell_of_one_name(pages: Sequence[Page]) -> None:
    """Say how many images are called as another one, by which ``score`` could not tell them apart."""
    names: dict[str, list[Page]] = {}
    for page in pages:
        if page.number is None:
            names.setdefault(Path(page.path).stem, []).append(page)
    alike = [some for some in names.values() if len(some) > 1]
    if alike:
        first, second = alike[0][:2]
        tell(
            f"note: {sum(map(len, alike))} images share their name with another one, such as {first} and {second}; score knows "
            "images by their names alone"
        )


def summarize(images: int, before: int, damaged: int, places: Sequence[str], spent: Sequence[str]) -> None:
    """Say what was read, where it is, and what it took."""
    earlier = f", {before} were there before" if before else ""
    tell("; ".join([f"{images - before - damaged} of {images} images read{earlier}: {' and '.join(places)}", *spent]))


def tell(text: str) -> None:
    """Say something beside the output."""
    Console(stderr=True).print(text, soft_wrap=True, highlight=False, markup=False)


@entry_point("predict", kernels=1024)
def main(config: DictConfig) -> None:
    """Find, read, write."""
    predict(config, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    main()
