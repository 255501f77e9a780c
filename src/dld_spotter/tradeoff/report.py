"""Shows trade-offs: a picture and a table for the terminal."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dld_spotter.core.files import whole
from dld_spotter.tradeoff.points import Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

# One style per method; models differ by colour where a method has several.
STYLES: dict[str, dict[str, Any]] = {
    "static": {"linestyle": "-", "marker": "o", "linewidth": 1.8, "markersize": 5, "zorder": 3},
    "random_mix": {"linestyle": ":", "color": "#e08b00", "linewidth": 2.0, "zorder": 4},
    "oracle": {"linestyle": "--", "color": "#7a7a7a", "linewidth": 1.6, "zorder": 2},
    "dynamic": {"linestyle": "-", "color": "#c1272d", "marker": "D", "linewidth": 2.2, "markersize": 6, "zorder": 5},
}
STATIC_COLORS = (
    *("#222222", "#1f6fb4", "#2b8a3e", "#8e44ad", "#0f8b8d"),
    *("#c1272d", "#e08b00", "#6b8e23", "#d6569b", "#8c564b"),
)
WORDS = {"static": "fixed scale", "random_mix": "random policy", "oracle": "oracle", "dynamic": "dynamic"}
TICKS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0)


def plot(points: Iterable[Point], path: str | Path, title: str = "", size: tuple[float, float] = (7.2, 4.6)) -> None:
    """Draw Hmean over relative cost and save it; the ending of ``path`` decides the form.

    Static and dynamic points carry their 95 % intervals, the lowest static line its scales.
    """
    from matplotlib.figure import Figure  # takes long to import, and only pictures need it

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    draw(axes, points)
    if title:
        axes.set_title(title, loc="left", fontsize=11)
    with whole(path) as partial:
        figure.savefig(partial, format=Path(path).suffix[1:], dpi=160)


def draw(axes: "Axes", points: Iterable[Point]) -> None:
    """Draw one line per method and model into existing axes."""
    lines = _lines(points)
    statics = [model for method, model in lines if method == "static"]
    methods = [method for method, _ in lines]
    models = list(dict.fromkeys(model for _, model in lines))
    for (method, model), line in lines.items():
        style = dict(STYLES[method])
        if method == "static" or methods.count(method) > 1:
            style["color"] = STATIC_COLORS[models.index(model) % len(STATIC_COLORS)]
        _draw_line(axes, line, f"{model}, {WORDS[method]}", style, with_bars="marker" in style)
    if statics:
        _name_scales(axes, min((lines["static", model] for model in statics), key=lambda line: line[0].hmean))
    _dress(axes, [point.relative_cost for line in lines.values() for point in line])


def table(points: Iterable[Point], title: str = "Trade-off") -> "Table":
    """Lay points out for a terminal of 80 columns, line by line of the picture; print it with ``rich.print``."""
    from rich.box import SIMPLE_HEAD  # here, as an exported spotter reads without rich
    from rich.table import Table

    result = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in ("model", "method", "at"):
        result.add_column(column, no_wrap=True)
    for column in ("Hmean", "95 %", "cost", "GFLOPs", "ms"):
        result.add_column(column, justify="right", no_wrap=True)
    for line in _lines(points).values():
        for point in line:
            result.add_row(point.model, WORDS[point.method], *_cells(point))
        result.add_section()
    return result


def _lines(points: Iterable[Point]) -> dict[tuple[str, str], list[Point]]:
    """Points of each method and model by rising cost; methods in the order of ``STYLES``, models as they come."""
    lines: dict[tuple[str, str], list[Point]] = {}
    order = list(STYLES)
    for point in sorted(points, key=lambda point: order.index(point.method)):
        lines.setdefault((point.method, point.model), []).append(point)
    return {key: sorted(line, key=lambda point: point.relative_cost) for key, line in lines.items()}


def _draw_line(axes: "Axes", line: list[Point], label: str, style: dict[str, Any], with_bars: bool) -> None:
    costs, heights = [point.relative_cost for point in line], [100 * point.hmean for point in line]
    axes.plot(costs, heights, label=label, **style)
    bars = [(point, point.hmean_interval) for point in line if point.hmean_interval]
    if with_bars and bars:
        below = [100 * (point.hmean - low) for point, (low, _) in bars]
        above = [100 * (high - point.hmean) for point, (_, high) in bars]
        axes.errorbar(
            [point.relative_cost for point, _ in bars],
            [100 * point.hmean for point, _ in bars],
            yerr=[[max(0, value) for value in below], [max(0, value) for value in above]],
            fmt="none",
            ecolor=style["color"],
            elinewidth=1,
            capsize=2.5,
            alpha=0.45,
            zorder=style["zorder"] - 1,
        )


def _name_scales(axes: "Axes", line: list[Point]) -> None:
    for point in line:
        axes.annotate(
            f"scale {point.scale:g}" if point is line[0] else f"{point.scale:g}",
            (point.relative_cost, 100 * point.hmean),
            xytext=(5, -11),
            textcoords="offset points",
            fontsize=8,
            color=STATIC_COLORS[0],
        )


def _dress(axes: "Axes", costs: list[float]) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.set_xscale("log")
    if costs:
        low, high = min(costs) / 1.12, max(costs) * 1.12
        axes.set_xlim(low, high)
        axes.set_xticks([tick for tick in TICKS if low <= tick <= high])
        axes.legend(frameon=False, fontsize=9, loc="best")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda cost, _: f"{cost:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=0)
    axes.set_xlabel("cost per image relative to full resolution (log scale)")
    axes.set_ylabel("Hmean (%)")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _cells(point: Point) -> list[str]:
    given = {name: getattr(point, name) for name in ("scale", "gamma", "budget")}
    interval = point.hmean_interval
    return [
        ", ".join(f"{name} {value:.3g}" for name, value in given.items() if value is not None),
        f"{100 * point.hmean:.1f}",
        f"{100 * interval[0]:.1f}-{100 * interval[1]:.1f}" if interval else "",
        f"{point.relative_cost:.3f}",
        "" if point.gflops is None else f"{point.gflops:.2f}",
        "" if point.seconds is None else f"{1000 * point.seconds:.1f}",
    ]
