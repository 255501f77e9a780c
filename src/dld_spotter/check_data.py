"""Say what is in a data set and what is wrong with it.

``python -m dld_spotter.check_data data=NAME data.root=FOLDER``; ``--help`` lists what can be overridden.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rich
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from rich.console import Console, Group
from rich.markup import escape
from rich.progress import track
from rich.table import Table
from torch.utils.data import DataLoader

from dld_spotter.assembly import create
from dld_spotter.charset import Charset
from dld_spotter.data.census import all_problems, take_census
from dld_spotter.data.dataset import TextDataset
from dld_spotter.data.inspection import PROBLEMS, Finding, Inspection
from dld_spotter.data.readers.jsonl import to_line
from dld_spotter.drawing import draw_samples
from dld_spotter.entry import entry_point
from dld_spotter.errors import ConfigError, DataError, SpotterError

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
    """Look at every image that ``config`` names; report, and leave ``problems.txt`` and the picture in ``folder``.

    Raises:
        ConfigError: limit, workers, examples or sheet is no number of the right kind.
        DataError: nothing at all can be read.
    """
    _refuse_wrong_numbers(config)
    if OmegaConf.is_missing(config.data, "root"):
        raise ConfigError(f"data.root= is missing; give data.root=FOLDER, where the files of data={config.data.name} lie")
    charset: Charset = create(config.charset)
    parts, refused = build_parts(config)
    export = Path(config.export) if config.export else None
    if export is not None:
        export.parent.mkdir(parents=True, exist_ok=True)
    inspection = Inspection(parts, config.limit, export and export.with_name(f"{export.stem}_images"))
    findings = inspect(inspection, config.workers)
    problems = all_problems(findings)
    if not any(finding.size for finding in findings):
        reason = problems[0].message if problems else "it is empty"
        raise DataError(f"data={config.data.name} holds no image that can be read: {reason}")
    census = {"dataset": config.data.name, "unusable_parts": refused}
    census |= take_census(findings, problems, charset, config.max_length, config.examples)
    if config.json:
        print(json.dumps(census, ensure_ascii=False))
    else:
        rich.print(describe(census))
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "problems.txt"]
    written[0].write_text("".join(f"{problem.kind}: {problem.message}\n" for problem in problems), "utf-8")
    if config.picture:
        written.append(Path(config.picture))
        draw_sheet(inspection, findings, config.sheet, written[-1])
    if export is not None:
        written.append(export)
        write_lines(export, findings)
    summary = f"written: {', '.join(map(str, written))}"
    Console(stderr=bool(config.json)).print(summary, soft_wrap=True, highlight=False, markup=False)


def build_parts(config: DictConfig) -> tuple[dict[str, TextDataset], dict[str, str]]:
    """Build train, validation and test, each for itself.

    Returns:
        the parts that could be opened, and for the others why not; a folder that holds a test set alone is fine.

    Raises:
        DataError: none could be opened; the message is that of the first.
    """
    parts: dict[str, TextDataset] = {}
    refused: dict[str, SpotterError] = {}
    for part in PARTS:
        try:
            parts[part] = create(OmegaConf.to_container(config.data[part], resolve=True))
        except (InstantiationException, SpotterError) as error:
            refused[part] = _own_error(error)
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


def inspect(inspection: Inspection, workers: int) -> list[Finding]:
    """Look at every image, in ``workers`` processes; a bar on stderr shows how far it is."""
    loader = DataLoader(inspection, batch_size=None, num_workers=workers, collate_fn=_unchanged)
    return list(track(loader, "checking", total=len(inspection), console=Console(stderr=True), transient=True))


def write_lines(path: Path, findings: Sequence[Finding]) -> None:
    """Write what can be read as JSON lines, which name images below the file's folder relative to it, so that both can move."""
    folder = path.parent.resolve()
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for finding in findings:
            if finding.words is not None and finding.size is not None:
                image = Path(finding.image).resolve()
                name = image.relative_to(folder) if image.is_relative_to(folder) else image
                height, width = finding.size
                file.write(to_line(name.as_posix(), width, height, finding.words, finding.part) + "\n")


def draw_sheet(inspection: Inspection, findings: Sequence[Finding], count: int, path: Path) -> None:
    """Draw ``count`` images with their words, evenly spread over those that have words that count, if any has."""
    readable = [number for number, finding in enumerate(findings) if finding.size]
    numbers = [number for number in readable if not findings[number].words.ignore.all()] or readable
    chosen = [numbers[i * len(numbers) // count] for i in range(count)] if len(numbers) > count else numbers
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_samples([inspection.sample(number) for number in chosen]).save(path, quality=90)


def describe(census: Mapping[str, Any]) -> Group:
    """Show a census as tables."""
    blocks: list[Any] = [_counts_table(census)]
    blocks += [f"[red]{part} cannot be used:[/red] {escape(reason)}" for part, reason in census["unusable_parts"].items()]
    for key, title in (("word_heights", "word heights, pixels"), ("image_long_sides", "long sides of images, pixels")):
        percentiles = ", ".join(f"{share} % below {value}" for share, value in census[key]["percentiles"].items())
        blocks += [f"\n{title}: {percentiles}", _histogram_table(census[key])]
    if census["unknown_characters"]:
        shown = "  ".join(f"{char!r} {count}" for char, count in list(census["unknown_characters"].items())[:MOST_CHARACTERS])
        more = max(0, len(census["unknown_characters"]) - MOST_CHARACTERS)
        blocks.append(escape(f"\ncharacters outside the charset: {shown}{f'  and {more} more' if more else ''}"))
    return Group(*blocks, *_problem_lines(census["problems"]))


def _counts_table(census: Mapping[str, Any]) -> Table:
    table = Table("", *census["parts"], title=f"data={census['dataset']}", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for key, name in ROWS.items():
        table.add_row(name, *(str(counts[key]) for counts in census["parts"].values()))
    return table


def _histogram_table(histogram: Mapping[str, Any]) -> Table:
    table = Table(show_header=False, box=None)
    edges, counts = histogram["edges"], histogram["counts"]
    for low, high, count in zip(edges, [*edges[1:], None], counts, strict=True):
        bar = "█" * max(bool(count), round(BAR * count / max(*counts, 1)))
        table.add_row(f"{low}-{high}" if high else f"{low} or more", str(count), bar)
    return table


def _problem_lines(problems: Mapping[str, Any]) -> list[str]:
    lines = ["\nno problems were found"] if not problems else []
    for kind, found in problems.items():
        lines.append(f"\n[bold]{kind}[/bold] ({found['count']}): {PROBLEMS[kind]}")
        lines += [f"  {escape(example)}" for example in found["examples"]]
    return lines


def _refuse_wrong_numbers(config: DictConfig) -> None:
    for key, least, nullable in (("limit", 1, True), ("examples", 0, True), ("workers", 0, False), ("sheet", 1, False)):
        value = config[key]
        if not (nullable and value is None) and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            null = ", or null for all" if nullable else ""
            raise ConfigError(f"{key}={value} must be a whole number of at least {least}{null}; correct {key}=")


def _unchanged(finding: Finding) -> Finding:
    """What a loader without batches does with a finding."""
    return finding


@entry_point("check_data")
def main(config: DictConfig) -> None:
    """Look, count, report."""
    check(config, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    main()
