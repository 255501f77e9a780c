"""Shows the fates of words: tables on stderr, a picture of what they cost, and one of examples."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from dld_spotter.core.errors import DataError
from dld_spotter.core.files import whole
from dld_spotter.metrics.fate_tables import CLOSE, Cost, FateReport, Shares
from dld_spotter.metrics.fates import Claim, Fate
from dld_spotter.metrics.formats import printable
from dld_spotter.metrics.reliability import Reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dld_spotter.evaluation.fates import Example

NAMES = {
    Fate.READ: "read",
    Fate.CASE: "read, but for case",
    Fate.SIGN: "right but for a sign",
    Fate.MISREAD_OWN: "misread; right from the truth's box",
    Fate.MISREAD_BOTH: "misread, from the truth's box too",
    Fate.MISREAD: "found, misread",
    Fate.MERGED: "merged with a neighbour",
    Fate.SPLIT: "split in parts",
    Fate.OFF: "cut, or box off",
    Fate.NOT_FOUND: "not found",
    Fate.BELOW_SCORE: "right, below the score",
    Fate.UNMATCHED: "right, but paired otherwise",
    Claim.DUPLICATE: "false: duplicate",
    Claim.DONT_CARE: "false: at a don't-care word",
    Claim.INVENTED: "false: invented",
}
"""What tables call a fate."""
READ_COLOR, LOST_COLOR, FALSE_COLOR = "#1b7f4b", "#c01c28", "#8a2be2"
DOTS = 120
CELL = 2.4, 1.5
"""Width and height of an example, inches."""


def show_fates(report: FateReport, title: str) -> None:
    """Print every table of a report."""
    console = Console(stderr=True, width=100 if not Console(stderr=True).is_terminal else None)
    total, counts = report.total, report.counts
    figures = f"Hmean {_percent(total.hmean)}, precision {_percent(total.precision)}, recall {_percent(total.recall)}"
    counted = f"{counts.matched} matched, {counts.predicted} predicted, {counts.true} true"
    console.print(f"{title}\n{figures}; {counted}", highlight=False, soft_wrap=True)
    console.print(_cost_table(report.costs))
    console.print(_shares_table(report))
    close = f"of the found, IoU at least {CLOSE:g}: {_percent(report.close)}"
    console.print(f"{close}; of the matches, exact in case: {_percent(report.exact)}", highlight=False)
    if report.reliability is not None and report.reliability.bins:
        console.print(_reliability_table(report.reliability))


def _cost_table(costs: Sequence[Cost]) -> Table:
    table = _table("fate", "words", "share", "false", "Hmean if mended", "cost")
    for cost in _worth_telling(costs):
        numbers = (str(cost.words), _percent(cost.share)) if cost.fate in list(Fate) else ("", "")
        table.add_row(NAMES[_key(cost.fate)], *numbers, str(cost.false), _percent(cost.mended), f"{100 * cost.cost:+.1f}")
    return table


def _shares_table(report: FateReport) -> Table:
    table = _table("words", "count", "found", "own region, of found", "truth's box", "read")
    _add(table, "all", report.overall)
    for name, rows in report.groups.items():
        table.add_section()
        for row in rows:
            if row.words:
                _add(table, f"{name}: {row.group}", row)
    return table


def _add(table: Table, name: str, row: Shares) -> None:
    table.add_row(name, str(row.words), *map(_percent, (row.found, row.own, row.box, row.read)))


def _reliability_table(reliability: Reliability) -> Table:
    table = _table("score", "predictions", "mean score", "right")
    for row in reliability.bins:
        table.add_row(f"{row.low:.1f} to {row.high:.1f}", str(row.predictions), _percent(row.score), _percent(row.right))
    table.add_section()
    table.add_row("expected calibration error", "", "", _percent(reliability.error))
    return table


def _table(first: str, *columns: str) -> Table:
    table = Table(first, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _worth_telling(costs: Sequence[Cost]) -> list[Cost]:
    """Fates that some word or prediction has, ``read`` always."""
    return [cost for cost in costs if cost.words or cost.false or cost.fate == Fate.READ]


def _key(fate: str) -> Fate | Claim:
    return Fate(fate) if fate in list(Fate) else Claim(fate)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def draw_fates(report: FateReport, title: str, path: Path) -> None:
    """Draw three panels: words of each fate, Hmean that each costs, and shares by height."""
    figure = Figure(figsize=(12, 8), dpi=DOTS, layout="constrained")
    panels = figure.subplot_mosaic([["count", "cost"], ["height", "height"]], height_ratios=(3, 2))
    costs = _worth_telling(report.costs)
    colors = [_color(cost.fate) for cost in costs]
    names = [NAMES[_key(cost.fate)] for cost in costs]
    counted = [cost.words or cost.false for cost in costs]
    _bars(panels["count"], names, counted, colors, "{:.0f}", "true words, or false predictions")
    _bars(panels["cost"], names, [100 * cost.cost for cost in costs], colors, "{:.1f}", "Hmean that it costs, points")
    panels["cost"].set_yticklabels([])
    _draw_heights(panels["height"], report.groups["height"])
    figure.suptitle(f"{title}: Hmean {_percent(report.total.hmean)}", x=0.01, ha="left", fontsize=11)
    _save(figure, path)


def _bars(axes: "Axes", names: Sequence[str], values: Sequence[float], colors: Sequence[str], form: str, label: str) -> None:
    bars = axes.barh(range(len(names)), values, color=colors)
    axes.bar_label(bars, [form.format(value) for value in values], padding=2, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel(label)
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_heights(axes: "Axes", rows: Sequence[Shares]) -> None:
    """Bars of the shares of each bin that holds a word."""
    rows = [row for row in rows if row.words]
    parts = {"found": "found", "own": "own region, of found", "box": "truth's box", "read": "read"}
    width = 0.8 / len(parts)
    for k, (part, label) in enumerate(parts.items()):
        heights = [100 * (getattr(row, part) or 0) for row in rows]
        known = any(getattr(row, part) is not None for row in rows)
        if known:
            axes.bar(np.arange(len(rows)) + (k - 1.5) * width, heights, width, label=label)
    axes.set_xticks(range(len(rows)), [f"{row.group}\n{row.words} word{'s' * (row.words != 1)}" for row in rows], fontsize=9)
    axes.set(ylabel="share of words, %", ylim=(0, 105), xlabel="height of the word in the original image")
    if rows:
        axes.legend(frameon=False, fontsize=8, ncols=len(parts), loc="upper left", bbox_to_anchor=(0, 1.14))
    axes.spines[["top", "right"]].set_visible(False)


def _color(fate: str) -> str:
    if fate not in list(Fate):
        return FALSE_COLOR
    return READ_COLOR if Fate(fate).matched else LOST_COLOR


def draw_examples(examples: Mapping[str, Sequence["Example"]], path: Path) -> None:
    """Draw examples, one row a fate: the truth's box solid, the region dashed, the true text and what was read below."""
    order = [name for name in NAMES if examples.get(name)]
    rows, columns = max(len(order), 1), max((len(examples[name]) for name in order), default=1)
    figure = Figure(figsize=(CELL[0] * columns, CELL[1] * rows), dpi=DOTS)
    around = {"left": 0.01, "right": 0.99, "bottom": 0.45 / (CELL[1] * rows), "top": 1 - 0.25 / (CELL[1] * rows)}
    grid = figure.subplots(rows, columns, squeeze=False, gridspec_kw={"hspace": 0.9, "wspace": 0.1, **around})
    for axes in grid.flat:
        axes.set_axis_off()
    for row, name in zip(grid, order, strict=False):
        for axes, example in zip(row, examples[name], strict=False):
            _draw_example(axes, example)
        corner = row[0].get_position()
        figure.text(corner.x0, corner.y1 + 0.06 / (CELL[1] * rows), NAMES[name], fontsize=8, fontweight="bold", va="bottom")
    _save(figure, path)


def _draw_example(axes: "Axes", example: "Example") -> None:
    height, width = example.crop.shape[:2]
    axes.imshow(example.crop, extent=(0, width, height, 0))
    for polygon, color, style in ((example.truth, READ_COLOR, "-"), (example.region, LOST_COLOR, "--")):
        if polygon is not None:
            axes.fill(*polygon.T, fill=False, edgecolor=color, linestyle=style, linewidth=1.2)
    axes.set(xlim=(0, width), ylim=(height, 0), anchor="NW")
    caption = "\n".join(map(printable, example.caption.splitlines()))
    axes.text(0, -0.04, caption, transform=axes.transAxes, fontsize=7, va="top", parse_math=False)


def _save(figure: Any, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        try:
            with whole(path) as partial:
                figure.savefig(partial, format=path.suffix[1:])
        except OSError as error:
            raise DataError(f"{path} cannot be written ({error}); give another paths.output_dir=FOLDER") from error
