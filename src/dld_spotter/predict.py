"""Read photos: ``python -m dld_spotter.predict input=PHOTO_OR_FOLDER``; ``--help`` lists what can be overridden."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from glob import glob
from pathlib import Path
from typing import Any, TextIO

from hydra.core.hydra_config import HydraConfig
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf
from rich.console import Console
from rich.progress import track

from dld_spotter.budget.requests import Request
from dld_spotter.config.entry import entry_point
from dld_spotter.config.given_engine import given_engine
from dld_spotter.config.second_pass import second_pass_of
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.data.dataset import read_image
from dld_spotter.data.readers.paired import IMAGE_SUFFIXES, read_lines
from dld_spotter.data.views import ReferenceSize
from dld_spotter.inference.drawing import draw_reading
from dld_spotter.inference.loading import load
from dld_spotter.inference.output import to_json
from dld_spotter.inference.predictor import LONG, Predictor

STDIN = STDOUT = "-"
ONLY_OF_MODELS = {
    "ckpt": ("bundled",),
    "vocabulary": (None,),
    "device": (None, "cpu"),
    "precision": ("fp32",),
    "two_pass": (False,),
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
    two_pass: bool = MISSING
    second_pass: Any = MISSING
    batch: int = MISSING
    device: str | None = MISSING
    precision: str = MISSING
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
    images = find_images(config.input)
    predictor = predictor_of(config)
    request = Request(**{field.name: config[field.name] for field in fields(Request)})
    predictor.check(request)
    console = Console(stderr=True)
    drawn = folder / "drawn" if config.draw else None
    pictures = picture_paths(images, drawn) if drawn else {}
    with open_output(config.out) as (out, done):
        fresh = [path for path in images if str(path) not in done]
        damaged = read_all(predictor, request, fresh, out, pictures, console, config.batch)
    before = f", {len(images) - len(fresh)} were there before" if len(fresh) < len(images) else ""
    places = ["stdout" if config.out == STDOUT else str(config.out), *([str(drawn)] if drawn else [])]
    summary = f"{len(fresh) - damaged} of {len(images)} images read{before}: {' and '.join(places)}"
    tracker = predictor.tracker(request)
    summary += f"; {tracker}" if tracker else ""
    console.print(summary, soft_wrap=True, highlight=False, markup=False)
    if damaged:
        raise DataError(f"{damaged} of {len(images)} images could not be read, see above; replace or remove them")


def predictor_of(config: DictConfig) -> Predictor:
    """Load the spotter, or build the engine with its policy, that ``config`` names."""
    if config.engine is None:
        if config.policy is not None:
            raise ConfigError(f"policy={config.policy} is one of an engine; give engine=NAME with it, or leave it out")
        rule, reference = second_pass_of(config), ReferenceSize(**config.reference)
        return load(config.ckpt, reference, config.device, rule, config.vocabulary, config.precision)
    engine = given_engine(config, ONLY_OF_MODELS)
    if config.policy is None:
        return Predictor(engine, reference=ReferenceSize(**config.reference))
    if ReferenceSize(**config.reference) != ReferenceSize(long=LONG):
        raise ConfigError(
            f"reference={config.reference} does nothing beside policy={config.policy}, which has its own; leave it out"
        )
    from dld_spotter.inference.adaptive_engine import AdaptiveEngine  # here, as an export is read without torch

    return AdaptiveEngine(engine, config.policy)


def picture_paths(images: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Where the drawn picture of each image goes: in ``folder`` as the images lie below the folder that holds them all."""
    root = os.path.commonpath([path.absolute().parent for path in images])
    paths = {path: folder / path.absolute().relative_to(root) for path in images}
    return {path: to if to.suffix.lower() in IMAGE_SUFFIXES else to.with_name(to.name + ".png") for path, to in paths.items()}


def read_all(
    predictor: Predictor,
    request: Request,
    images: Sequence[Path],
    out: TextIO,
    pictures: Mapping[Path, Path],
    console: Console,
    batch: int,
) -> int:
    """Read images, ``batch`` of them at a time, write a line for each, and draw those that ``pictures`` has a place for.

    Returns:
        how many were damaged.

    Raises:
        DataError: the only one is.
    """
    damaged = 0
    chunks = [images[start : start + batch] for start in range(0, len(images), batch)]
    for chunk in track(chunks, "reading", console=console, transient=True, disable=len(images) == 1):
        photos = {}
        for path in chunk:
            try:
                photo = read_image(path)
                predictor.check_cap(photo, request)
                photos[path] = photo
            except (DataError, ConfigError) as error:
                if len(images) == 1:
                    raise
                what = f"{path}: {error}" if isinstance(error, ConfigError) else error
                console.print(f"error: {what}", style="red", soft_wrap=True, highlight=False, markup=False)
                damaged += 1
        readings = predictor.read_request(list(photos.values()), request)
        for (path, pixels), reading in zip(photos.items(), readings, strict=True):
            if path in pictures:
                pictures[path].parent.mkdir(parents=True, exist_ok=True)
                draw_reading(pixels, reading).save(pictures[path], quality=92)
            if reading.dropped:
                note = (
                    f"note: {path}: {reading.dropped} more regions than postprocess.max_words of the checkpoint were not read"
                )
                console.print(note, soft_wrap=True, highlight=False, markup=False)
            out.write(json.dumps(to_json(path, reading), ensure_ascii=False) + "\n")
            out.flush()
    return damaged


def find_images(source: str | ListConfig | Sequence[str]) -> list[Path]:
    """Find images by path, folder, glob, text file (``-``: standard input) with one of these a line, or list; each once.

    Raises:
        DataError: a source leads to no image.
    """
    sources = [source] if isinstance(source, str) else list(source)
    entries = [entry for source in sources for entry in _entries(str(source))]
    found = list(dict.fromkeys(path for entry in entries for path in _expand(entry)))
    if not found:
        raise DataError("input is an empty list; give at least one photo")
    return found


def _entries(source: str) -> list[str]:
    """The lines of a text file or of standard input, else the source itself."""
    if source == STDIN:
        return _names_from_stdin()
    path = Path(source).expanduser()
    return [line.strip() for line in read_lines(path) if line.strip()] if path.suffix == ".txt" else [source]


def _names_from_stdin() -> list[str]:
    try:
        names = [line.strip() for line in sys.stdin.buffer.read().decode("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(
            "input=- takes the names of photos, one a line, and standard input is no text; give input=PHOTO"
        ) from error
    if not names:
        raise DataError("input=- takes names of photos, one a line, but standard input is empty; give input=PHOTO")
    return names


def _expand(source: str) -> list[Path]:
    path = Path(source).expanduser()
    if path.is_file():
        return [path]
    # Path.glob takes no absolute pattern
    names = path.iterdir() if path.is_dir() else map(Path, glob(str(path), recursive=True))  # noqa: PTH207
    images = sorted(name for name in names if name.suffix.lower() in IMAGE_SUFFIXES and name.is_file())
    if not images:
        problem = "holds no image" if path.is_dir() else "matches no file" if set("*?[") & set(source) else "does not exist"
        raise DataError(f"input={source} {problem}; give a photo, a folder, a glob such as 'photos/*.jpg', or a list.txt")
    return images


@contextmanager
def open_output(out: str) -> Iterator[tuple[TextIO, set[str]]]:
    """Open a file of JSON lines to go on with, or stdout for ``-``; also gives the images that are in it.

    A last line that was cut off while it was written is dropped.

    Raises:
        DataError: the file holds something else.
    """
    if out == STDOUT:
        yield sys.stdout, set()
        return
    path = Path(out)
    if path.exists() and not path.is_file():
        raise DataError(f"out={path} is no file that could be gone on with; name a file, or out=- for standard output")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8", newline="\n") as file:
        file.seek(0)
        *lines, rest = file.read().split("\n")
        done = {_image_of(path, number, line) for number, line in enumerate(lines, start=1)}
        if rest:
            file.truncate(sum(len(line.encode()) + 1 for line in lines))
        yield file, done


def _image_of(path: Path, number: int, line: str) -> str:
    try:
        return json.loads(line)["image"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"out={path}, line {number} is none that predict writes ({line[:40]!r}); name another file") from error


@entry_point("predict", kernels=1024)
def main(config: DictConfig) -> None:
    """Find, read, write."""
    predict(config, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    main()
