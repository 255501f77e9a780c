"""Shows how words were counted: tables on stderr, a picture of one image."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dld_spotter.core.errors import DataError
from dld_spotter.core.files import whole
from dld_spotter.core.words import Word
from dld_spotter.data.photos import read_image
from dld_spotter.metrics.explanation import Verdict
from dld_spotter.metrics.formats import printable
from dld_spotter.metrics.lexicons import image_key

COLORS = {
    "matched": "#1b7f4b",
    "misread": "#c46a00",
    "missed": "#c01c28",
    "extra": "#8a2be2",
    "ignored": "#77777f",
    "dropped": "#8b5a2b",
}
LONGEST_TABLE = 40
LONG_SIDE, DOTS = 12.0, 120
"""Of the picture: inches and dots per inch."""


def show_verdicts(verdicts: Sequence[Verdict], title: str) -> None:
    """Print what was decided on each word of an image."""
    table = Table("", "text", "outcome", "with", "IoU", "why", box=SIMPLE_HEAD, title=title)
    for verdict in verdicts:
        table.add_row(
            _name(verdict.side, verdict.index),
            Text(printable(verdict.text)),
            Text(verdict.outcome, COLORS[verdict.outcome]),
            "" if verdict.partner is None else _name("prediction" if verdict.side == "truth" else "truth", verdict.partner),
            "" if verdict.iou is None else f"{verdict.iou:.3f}",
            Text(printable(verdict.reason)),
        )
    Console(stderr=True).print(table)


def show_comparison(reports: Mapping[str, Mapping[str, Any]], differing: Sequence[Mapping[str, Any]]) -> None:
    """Print the figures of each protocol side by side, and the first words on which they differ."""
    keys = ("precision", "recall", "hmean", "matched", "predicted", "true", "ignored_truth", "ignored_predictions")
    figures = Table("", *reports, box=SIMPLE_HEAD)
    for key in keys:
        values = [report[key] for report in reports.values()]
        figures.add_row(key, *(f"{value:.4f}" if isinstance(value, float) else str(value) for value in values))
    title = f"{len(differing)} words on which they differ" + ", the first ones" * (len(differing) > LONGEST_TABLE)
    words = Table("image", "", "text", *reports, box=SIMPLE_HEAD, title=title)
    for row in differing[:LONGEST_TABLE]:
        outcomes = [Text(f"{outcome}: {printable(reason)}") for outcome, reason in row["verdicts"].values()]
        words.add_row(Text(row["image"]), _name(row["side"], row["index"]), Text(printable(row["text"])), *outcomes)
    console = Console(stderr=True)
    console.print(figures)
    if differing:
        console.print(words)


def find_photo(folder: Path, image: str) -> np.ndarray:
    """Read the photo of an image ``(H, W, 3)`` uint8 RGB, by its key.

    Raises:
        DataError: there is none, or it cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"images={folder} is no folder; give the folder of the photos, or leave images= out")
    found = [path for path in sorted(folder.iterdir()) if image_key(path.stem) == image and path.suffix != ".txt"]
    if not found:
        raise DataError(f"images={folder} holds no photo of image {image}; name it img_{image}.jpg, or leave images= out")
    return read_image(found[0])


def draw_verdicts(
    verdicts: Sequence[Verdict], truth: Sequence[Word], words: Sequence[Word], photo: np.ndarray | None, path: Path
) -> None:
    """Draw true words (solid) and predictions (dashed) in the colour of their outcome, on that part of the photo or on white.

    Args:
        verdicts: of the true words, then of the predictions.
        truth: the true words.
        words: the predictions.
        photo: ``(H, W, 3)`` uint8 RGB.
        path: gets the picture.
    """
    points = np.concatenate([word.polygon for word in (*truth, *words)] or [np.zeros((1, 2))])
    margin = 0.03 * np.ptp(points, axis=0).max() + 10
    low, high = points.min(0) - margin, points.max(0) + margin
    size = high - low
    figure = Figure(figsize=np.maximum(LONG_SIDE * size / size.max(), LONG_SIDE / 3), dpi=DOTS, layout="constrained")
    axes = figure.subplots()
    if photo is not None:
        axes.imshow(photo, alpha=0.6, extent=(0, photo.shape[1], photo.shape[0], 0))
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(high[1], low[1])
    axes.set(aspect="equal", xticks=[], yticks=[])
    for verdict, word in zip(verdicts, (*truth, *words), strict=True):
        _draw(axes, verdict, word)
    styles = (("T true word", "-"), ("P prediction", "--"))
    handles = [Line2D([], [], color=color, label=name) for name, color in COLORS.items()]
    lines = [Line2D([], [], color="black", linestyle=style, label=name) for name, style in styles]
    figure.legend(handles=handles + lines, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole(path) as partial:
                figure.savefig(partial, format=path.suffix[1:])
        except OSError as error:
            raise DataError(f"{path} cannot be written ({error}); give another paths.output_dir=FOLDER") from error


def _draw(axes: Any, verdict: Verdict, word: Word) -> None:
    color, true = COLORS[verdict.outcome], verdict.side == "truth"
    axes.fill(*word.polygon.T, fill=False, edgecolor=color, linestyle="-" if true else "--", linewidth=1.4 if true else 1.1)
    corner = (word.polygon[:, 0].min(), word.polygon[:, 1].min() if true else word.polygon[:, 1].max())
    told = verdict.outcome == "ignored" or (verdict.outcome == "matched" and not true)
    label = _name(verdict.side, verdict.index) + f" {printable(verdict.text)}" * (not told)
    axes.text(
        *corner, label, color=color, fontsize=7, va="bottom" if true else "top", parse_math=False, clip_on=True,
        bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.5},
    )  # fmt: skip


def _name(side: str, index: int) -> str:
    return f"{'T' if side == 'truth' else 'P'}{index}"
