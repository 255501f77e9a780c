"""Read photos: ``python -m dld_spotter.predict input=PHOTO_OR_FOLDER``; ``--help`` lists what can be overridden."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import MISSING, DictConfig, OmegaConf
from rich.console import Console

from dld_spotter.budget.requests import Request
from dld_spotter.config.entry import entry_point
from dld_spotter.config.second_pass import second_pass_of
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.data.views import ReferenceSize
from dld_spotter.inference.files import STDOUT, Photo, find_images, open_output, picture_paths, read_all
from dld_spotter.inference.sharding import Reader, read_output, read_shards, spent_per_image


@dataclass
class Settings:
    """Types of what ``conf/predict.yaml`` holds."""

    input: Any = MISSING
    ckpt: str = MISSING
    vocabulary: str | None = None
    gamma: float | None = MISSING
    scale: float | None = MISSING
    budget: float | None = MISSING
    budget_gflops: float | None = MISSING
    budget_ms: float | None = MISSING
    max_cost: float | None = MISSING
    reference: dict[str, int | None] = MISSING
    two_pass: bool = MISSING
    second_pass: Any = MISSING
    batch: int = MISSING
    device: str | None = MISSING
    precision: str = MISSING
    workers: int = MISSING
    shards: int | None = MISSING
    out: str = MISSING
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
    source = config.input if isinstance(config.input, str) else list(config.input)
    images = find_images(source)
    request = Request(**{field.name: config[field.name] for field in fields(Request)})
    reader = Reader(
        config.ckpt,
        ReferenceSize(**config.reference),
        config.device,
        second_pass_of(config),
        config.vocabulary,
        config.precision,
        request,
        config.batch,
    )
    damaged = read_on_workers(config, reader, images) if config.workers else read_here(config, reader, images, folder)
    if damaged:
        raise DataError(f"{damaged} of {len(images)} images could not be read, see above; replace or remove them")


def read_here(config: DictConfig, reader: Reader, images: list[Photo], folder: Path) -> int:
    """Read in this process, and draw into ``folder`` where that is asked for; returns how many images are damaged."""
    predictor = reader.load()
    console = Console(stderr=True)
    drawn = folder / "drawn" if config.draw else None
    pictures = picture_paths(images, drawn) if drawn else {}
    with open_output(config.out) as (out, done):
        fresh = [path for path in images if str(path) not in done]
        damaged = read_all(predictor, reader.request, fresh, out, pictures, console, config.batch, alone=len(fresh) == 1)
    tracker = predictor.tracker(reader.request)
    places = ["stdout" if config.out == STDOUT else str(config.out), *([str(drawn)] if drawn else [])]
    summarize(len(images), len(images) - len(fresh), damaged, places, [str(tracker)] if tracker else [])
    return damaged


def read_on_workers(config: DictConfig, reader: Reader, images: list[Photo]) -> int:
    """Read in several processes; returns how many images are damaged.

    Raises:
        ConfigError: a setting is for one process alone.
    """
    if config.draw or config.out == STDOUT:
        fault = "draw=true" if config.draw else "out=-"
        raise ConfigError(f"{fault} is for one process; with workers={config.workers} give draw=false and out=FILE.jsonl")
    shards = config.workers if config.shards is None else config.shards
    if config.workers < 1 or shards < 1:
        raise ConfigError(f"workers={config.workers} and shards={shards} must be at least 1, or workers=0 to read here")
    before, damaged, spent = read_shards(reader, images, Path(config.out), config.workers, shards)
    total = spent_per_image(reader.request, read_output(Path(config.out)))
    summarize(len(images), before, damaged, [str(config.out)], [*spent, *([f"in all {total}"] if total else [])])
    return damaged


def summarize(images: int, before: int, damaged: int, places: Sequence[str], spent: Sequence[str]) -> None:
    """Say what was read, where it is, and what it took."""
    earlier = f", {before} were there before" if before else ""
    parts = [f"{images - before - damaged} of {images} images read{earlier}: {' and '.join(places)}", *spent]
    Console(stderr=True).print("; ".join(parts), soft_wrap=True, highlight=False, markup=False)


@entry_point("predict", kernels=1024)
def main(config: DictConfig) -> None:
    """Find, read, write."""
    predict(config, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    main()
