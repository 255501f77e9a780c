"""Say what is in a data set and what is wrong with it.

``python -m dld_spotter.check_data data=NAME data.root=FOLDER``; ``--help`` lists what can be overridden.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from rich.console import Console, Group
from rich.markup import escape
from rich.progress import track
from rich.table import Table
from torch.utils.data import DataLoader

from dld_spotter.config.assembly import create
from dld_spotter.config.entry import entry_point
from dld_spotter.core.batches import Sample, SpottingBatch
from dld_spotter.core.charset import Charset
from dld_spotter.core.errors import ConfigError, DataError, SpotterError
from dld_spotter.core.files import save_picture, whole, write_text
from dld_spotter.data.census import Census
from dld_spotter.data.datamodule import Loading, SpottingDataModule
from dld_spotter.data.dataset import TextDataset
from dld_spotter.data.inspection import PROBLEMS, Finding, Inspection
from dld_spotter.data.readers.jsonl import to_line
from dld_spotter.data.splits import refuse_overlap
from dld_spotter.data.views import fill_frames
from dld_spotter.inference.drawing import draw_samples

PARTS = ("train", "validation", "test")
ROWS = {
    "images": "images",
    "damaged": "  that cannot be read",
    "without_words": "  without words",
    "words": "words",
    "ignored": "  ignored",
    "without_text": "  without text",
    "outside_charset": "  with characters outside the charset",
    "too_long": "  longer than max_length",
    "readable": "  that training can read",
}
"""Count -> its name in the table."""
BAR = 32
"""Characters of the longest bar of a histogram."""
MOST_CHARACTERS = 40
"""So many characters outside the charset are shown, the most frequent ones."""


def check(config: DictConfig, folder: Path) -> None:
    """Look at every image that ``config`` names; report, and leave ``problems.txt`` and the contact sheet in ``folder``.

    Raises:
        ConfigError: limit, workers, examples, contact_sheet, batches or max_length is no number of the right kind, data.strict
            is neither true nor false, parts names none, the contact sheet can have no such name, the file to export to is
            there, or batches are to be drawn without a training set.
        DataError: nothing at all can be read; or, once everything else is reported, a part cannot be used.
    """
    _refuse_wrong_numbers(config)
    _refuse_wrong_values(config)
    if OmegaConf.is_missing(config.data, "root"):
        raise ConfigError(f"data.root= is missing; give data.root=FOLDER, where the files of data={config.data.name} lie")
    charset: Charset = create(config.charset)
    parts, refused = build_parts(config)
    overlap = shared_files(parts)
    batches = training_batches(config, parts) if config.batches else None  # built first: what is wrong is told at once
    export = Path(config.export) if config.export else None
    if export is not None:
        if export.exists():
            raise ConfigError(f"export={export} exists already; name another file, or remove it")
        export.parent.mkdir(parents=True, exist_ok=True)
    inspection = Inspection(parts, config.limit, export and export.with_name(f"{export.stem}_images"))
    census = Census(charset, config.max_length, inspection.problems)
    with exported(export) as lines:
        for finding in look_at_all(inspection, config.workers):
            census.add(finding)
            if lines and finding.words is not None:
                lines.write(export_line(finding, export.parent) + "\n")
        _refuse_nothing(census, config.data.name)
    report = {"dataset": config.data.name, "unusable_parts": refused, "overlap": overlap} | census.report(config.examples)
    if config.json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        Console().print(describe(report), soft_wrap=True)  # no path is broken in two
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "problems.txt"]
    lines = [f"{part} cannot be used: {reason}\n" for part, reason in refused.items()]
    lines += [f"{overlap}\n"] if overlap else []
    lines += [f"{problem.kind}: {problem.message}\n" for problem in census.problems]
    write_text(written[0], "".join(lines))
    if config.picture:
        written.append(Path(config.picture))
        draw_contact_sheet(inspection, census.with_words or census.readable, config.contact_sheet, written[-1])
    if batches is not None:
        written.append(folder / "batches.jpg")
        draw_batches(islice(batches, config.batches), written[-1])
    if export is not None:
        written.append(export)
    summary = f"written: {', '.join(map(str, written))}"
    Console(stderr=bool(config.json)).print(summary, soft_wrap=True, highlight=False, markup=False)
    if refused:
        raise DataError(
            f"{' and '.join(refused)} of data={config.data.name} cannot be used, see above; mend that, "
            f"or give parts=[{','.join(parts)}] to check the rest alone"
        )
    if overlap:
        raise DataError(f"training would be refused: {overlap}")


@contextmanager
def exported(path: Path | None) -> Iterator[TextIO | None]:
    """Lines that are the file at ``path`` once all are written; None without a path."""
    if path is None:
        yield None
        return
    with whole(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as lines:
        yield lines


def _refuse_nothing(census: Census, name: str) -> None:
    """Raise DataError where no image could be read."""
    if not census.readable:
        reason = census.problems[0].message if census.problems else "it is empty"
        raise DataError(f"data={name} holds no image that can be read: {reason}")


def shared_files(parts: Mapping[str, TextDataset]) -> str:
    """What training would say of parts that share a file; empty where none do."""
    try:
        refuse_overlap(**parts)
    except ConfigError as error:
        return str(error)
    return ""


def build_parts(config: DictConfig) -> tuple[dict[str, TextDataset], dict[str, str]]:
    """Build those of train, validation and test that are asked for, each for itself.

    Returns:
        the parts that could be opened, and for the others why not.

    Raises:
        DataError: none could be opened, or one could not under ``data.strict=true``; the message is that of the first.
    """
    parts: dict[str, TextDataset] = {}
    refused: dict[str, SpotterError] = {}
    for part in config.parts:
        try:
            parts[part] = create(OmegaConf.to_container(config.data[part], resolve=True))
        except (InstantiationException, SpotterError) as error:
            refused[part] = _own_error(error)
            if config.data.strict and isinstance(refused[part], DataError):
                raise refused[part] from None
    if not parts:
        raise next(iter(refused.values()))
    return parts, {part: str(error) for part, error in refused.items()}


def _own_error(error: BaseException) -> SpotterError:
    """Find the error of ours that Hydra wrapped; raises ``error`` where there is none."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, SpotterError):
        cause = cause.__cause__
    if cause is None:
        raise error
    return cause


def look_at_all(inspection: Inspection, workers: int) -> Iterable[Finding]:
    """Look at every image, in ``workers`` processes; a bar on stderr shows how far it is."""
    loader = DataLoader(inspection, batch_size=None, num_workers=workers, collate_fn=_unchanged)
    return track(loader, "checking", total=len(inspection), console=Console(stderr=True), transient=True)


def export_line(finding: Finding, folder: Path) -> str:
    """A line of JSON lines; an image below ``folder``, that of the file, is named relative to it, so that both can move."""
    image, folder = Path(finding.image).resolve(), folder.resolve()
    name = image.relative_to(folder) if image.is_relative_to(folder) else image
    height, width = finding.size
    return to_line(name.as_posix(), width, height, finding.words, finding.part)


def draw_contact_sheet(inspection: Inspection, numbers: Sequence[int], count: int, path: Path) -> None:
    """Draw ``count`` images with their words, evenly spread over those with ``numbers``."""
    chosen = [numbers[i * len(numbers) // count] for i in range(count)] if len(numbers) > count else numbers
    path.parent.mkdir(parents=True, exist_ok=True)
    save_picture(draw_samples([inspection.sample(number) for number in chosen]), path, quality=90)


def training_batches(config: DictConfig, parts: Mapping[str, TextDataset]) -> DataLoader:
    """Build the loader of a training.

    Raises:
        ConfigError: there is no training set.
    """
    train = parts.get("train")
    if train is None:
        raise ConfigError(f"batches={config.batches} draws from training images, but there are none; give batches=0")
    collates = [create(OmegaConf.to_container(config.data[key], resolve=True)) for key in ("collate", "train_collate")]
    size = min(config.data.batch_size, len(train))
    return SpottingDataModule(train, None, None, *collates, Loading(size, seed=config.seed)).train_dataloader()


def draw_batches(batches: Iterable[SpottingBatch], path: Path) -> None:
    """Draw batches: every image in a row of its own, once for each view."""
    drawn = list(map(fill_frames, batches))  # the views that training leaves to the device, too
    samples = [sample for batch in drawn for sample in samples_of(batch)]
    path.parent.mkdir(parents=True, exist_ok=True)
    save_picture(draw_samples(samples, columns=len(drawn[0].views)), path, quality=90)


def samples_of(batch: SpottingBatch) -> list[Sample]:
    """Take a batch apart: for each image its views, in the order of the batch, with the words in pixels of the view."""
    samples = []
    for index, (name, words) in enumerate(zip(batch.names, batch.instances, strict=True)):
        for scale, view in batch.views.items():
            height, width = view.sizes[index].tolist()
            image = view.images[index, :, :height, :width].permute(1, 2, 0).contiguous().numpy()
            samples.append(Sample(image, words.scaled(*view.factors[index].tolist()), f"{name} at {scale:g}"))
    return samples


def describe(report: Mapping[str, Any]) -> Group:
    """Show what :meth:`Census.report` gives as tables."""
    blocks: list[Any] = [_counts_table(report)]
    blocks += [f"[red]{part} cannot be used:[/red] {escape(reason)}" for part, reason in report["unusable_parts"].items()]
    for key, title in (("word_heights", "word heights, pixels"), ("image_long_sides", "long sides of images, pixels")):
        percentiles = ", ".join(f"{share} % below {value}" for share, value in report[key]["percentiles"].items())
        blocks += [f"\n{title}: {percentiles}", _histogram_table(report[key])]
    if report["unknown_characters"]:
        shown = "  ".join(f"{char!r} {count}" for char, count in list(report["unknown_characters"].items())[:MOST_CHARACTERS])
        more = max(0, len(report["unknown_characters"]) - MOST_CHARACTERS)
        blocks.append(escape(f"\ncharacters outside the charset: {shown}{f'  and {more} more' if more else ''}"))
    return Group(*blocks, *_problem_lines(report))


def _counts_table(report: Mapping[str, Any]) -> Table:
    table = Table("", *report["parts"], title=f"data={report['dataset']}", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for key, name in ROWS.items():
        table.add_row(name, *(str(counts[key]) for counts in report["parts"].values()))
    return table


def _histogram_table(histogram: Mapping[str, Any]) -> Table:
    table = Table(show_header=False, box=None)
    edges, counts = histogram["edges"], histogram["counts"]
    for low, high, count in zip(edges, [*edges[1:], None], counts, strict=True):
        bar = "█" * max(bool(count), round(BAR * count / max(*counts, 1)))
        table.add_row(f"{low}-{high}" if high else f"{low} or more", str(count), bar)
    return table


def _problem_lines(report: Mapping[str, Any]) -> list[str]:
    problems = report["problems"]
    looked_at = [part for part in report["parts"] if part != "all"]
    where = f" in {' and '.join(looked_at)}" if report["unusable_parts"] else ""
    lines = [] if problems else [f"\nno problems were found{where}"]
    for kind, found in problems.items():
        lines.append(f"\n[bold]{kind}[/bold] ({found['count']}): {PROBLEMS[kind]}")
        lines += [f"  {escape(example)}" for example in found["examples"]]
        if more := found["count"] - len(found["examples"]):
            lines.append(f"  and {more} more in problems.txt")
    return lines


def _refuse_wrong_numbers(config: DictConfig) -> None:
    for key, least, nullable in (
        ("limit", 1, True),
        ("examples", 0, True),
        ("workers", 0, False),
        ("contact_sheet", 1, False),
        ("batches", 0, False),
        ("max_length", 1, False),
    ):
        value = config[key]
        if not (nullable and value is None) and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            null = ", or null for all" if nullable else ""
            raise ConfigError(f"{key}={value} must be a whole number of at least {least}{null}; correct {key}=")


def _refuse_wrong_values(config: DictConfig) -> None:
    parts = config.parts
    if not isinstance(parts, Sequence) or isinstance(parts, str) or not parts or any(part not in PARTS for part in parts):
        shown = str(parts).replace("'", "").replace(" ", "")
        raise ConfigError(f"parts={shown} must be a list of some of {', '.join(PARTS)}; give parts=[test], for instance")
    if not isinstance(config.data.strict, bool):
        raise ConfigError(f"data.strict={config.data.strict} must be true or false; correct data.strict=")
    if config.picture and Path(config.picture).suffix.lower() not in Image.registered_extensions():
        raise ConfigError(f"picture={config.picture} has the ending of no picture; call it .jpg or .png, or give picture=null")


def _unchanged(finding: Finding) -> Finding:
    """What a loader without batches does with a finding."""
    return finding


@entry_point("check_data")
def main(config: DictConfig) -> None:
    """Look, count, report."""
    check(config, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    main()
