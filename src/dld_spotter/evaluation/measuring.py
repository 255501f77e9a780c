"""From a reader, our own or an engine, and a data set to one table of outcomes, and from tables to the trade-off."""

import subprocess
import time
from collections.abc import Container, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor, nn
from torch.utils.data import DataLoader

from dld_spotter.budget.cap import CostCap
from dld_spotter.budget.cost import AreaCost, CostModel, FlopCost, selector_gflops
from dld_spotter.budget.operating_points import OperatingPoint
from dld_spotter.budget.requests import BudgetTracker
from dld_spotter.core.batches import SpottingBatch, View, Word
from dld_spotter.core.bootstrap import resample
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.inference.engines.engine import Engine
from dld_spotter.inference.second_pass.reader import SecondLook, look
from dld_spotter.metrics.matching import ImageCounts
from dld_spotter.metrics.rules import Rules
from dld_spotter.models.spotter import Spotter
from dld_spotter.selection.operating_points import OperatingPointPolicy
from dld_spotter.selection.selectors import FixedScale, Selector
from dld_spotter.tradeoff import (
    Choices,
    Outcomes,
    Overhead,
    Point,
    TradeOff,
    cost_grid,
    mix_points,
    oracle_points,
    static_points,
)
from dld_spotter.training.routing import read_at

Reader = Spotter | SecondLook | Engine
"""What finds and reads the words of a view."""


def measure(reader: Reader, loader: DataLoader, scales: Sequence[float], cost: CostModel, rules: Rules, label: str) -> Outcomes:
    """Read every image at every scale once.

    Args:
        reader: reads, on the device it is on.
        loader: batches with a view per scale.
        scales: ascending, with 1.0.
        cost: GFLOP of an image, all words that went through the recogniser included; or its area, where no GFLOP are known.
        rules: how words are counted.
        label: what the progress bar says.

    Returns:
        N images, K scales; seconds are wall time per image from pixels to words, GFLOP are NaN where they are not known.
    """
    device = _get_ready(reader)
    rows: dict[str, list[tuple[ImageCounts, float, float]]] = {}
    for number, batch in enumerate(track(loader, description=label)):
        fresh = [i for i, name in enumerate(batch.names) if name not in rows]  # a damaged file's place is taken by another
        columns = [_read(reader, batch, scale, cost, rules, device, warm_up=not number) for scale in scales]
        rows |= {batch.names[i]: [column[i] for column in columns] for i in fresh}
    counts = np.array([[cell[0] for cell in row] for row in rows.values()])
    costs, seconds = (np.array([[cell[k] for cell in row] for row in rows.values()]) for k in (1, 2))
    relative = costs / costs[:, [list(scales).index(1.0)]]
    gflops = np.full_like(costs, np.nan) if isinstance(cost, AreaCost) else costs
    return Outcomes(tuple(rows), tuple(scales), *np.moveaxis(counts, -1, 0), relative, gflops, seconds)


def _get_ready(reader: Reader | Selector) -> torch.device:
    """Put a network into evaluation mode; returns the device it is on, the CPU for what has no weights."""
    if not isinstance(reader, nn.Module):
        return torch.device("cpu")
    parameter = next(reader.eval().parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def _read(
    reader: Reader, batch: SpottingBatch, scale: float, cost: CostModel, rules: Rules, device: torch.device, warm_up: bool
) -> list[tuple[ImageCounts, float, float]]:
    view = batch.view(scale).to(device)
    if warm_up:
        reader.spot(view)
    start = time.perf_counter()
    results = look(reader, view)
    seconds = (time.perf_counter() - start) / len(batch)
    return [
        (rules.count(name, truth, found.words), found.spent(cost.cost), seconds)
        for name, truth, found in zip(batch.names, batch.instances, results, strict=True)
    ]


def spotter_of(reader: Spotter | SecondLook) -> Spotter:
    """What reads, however often it looks."""
    return reader.spotter if isinstance(reader, SecondLook) else reader


@torch.inference_mode()
def choose(selector: Selector, loader: DataLoader, names: Sequence[str], flops: CostModel, full_gflops: float) -> Choices:
    """Let a selector choose for every image that a table of outcomes names.

    Args:
        selector: on the device it is on.
        loader: the batches the table was measured on.
        names: the table's images, in its order.
        flops: cost of the spotter that will read.
        full_gflops: mean GFLOP at scale 1.0, to express the selector's own as a relative cost.

    Raises:
        DataError: the table is of other images.
    """
    device = _get_ready(selector)
    chosen: dict[str, list[int]] = {}
    seconds, thumbnail = 0.0, 1
    for number, batch in enumerate(track(loader, description="choosing scales")):
        thumbnails, sizes = batch.thumbnails.to(device), batch.views[1.0].sizes.to(device)
        if not number:  # the first call prepares kernels
            selector(thumbnails, sizes, flops.relative(sizes, selector.scales))
        start = time.perf_counter()
        choices = selector(thumbnails, sizes, flops.relative(sizes, selector.scales))
        index = torch.stack([choice.index for choice in choices], dim=1).tolist()
        seconds += time.perf_counter() - start
        thumbnail = thumbnails.shape[-1]
        chosen |= {name: row for name, row in zip(batch.names, index, strict=True) if name not in chosen}
    refuse_missing(names, chosen)
    gflops = selector_gflops(selector, thumbnail)
    overhead = Overhead(gflops / full_gflops, gflops, seconds / len(chosen))
    return Choices(selector.gammas, np.array([chosen[name] for name in names]).T, overhead)


def read_steps(
    reader: SecondLook, selector: Selector, loader: DataLoader, rules: Rules, names: Sequence[str]
) -> dict[float, np.ndarray]:
    """Read every image once at each of the selector's cost weights, at the scale and the price of a second look it names.

    Returns:
        cost weight -> measures ``(N, 6)`` in the order of ``names``, as :meth:`Choices.totals` has them.

    Raises:
        DataError: the loader lacks one of ``names``.
    """
    device, flops = _get_ready(reader), FlopCost(spotter_of(reader))
    rows: dict[str, list[list[float]]] = {}
    for number, batch in enumerate(track(loader, description="reading step by step")):
        sizes = batch.views[1.0].sizes
        costs = flops.relative(sizes, selector.scales)
        steps: dict[tuple[int, float], list[list[float]]] = {}  # two cost weights may ask for the same one
        asked = []
        for gamma in selector.gammas:
            (k,) = set(selector.choose(batch.thumbnails, sizes, costs, gamma).tolist())
            asked.append((k, selector.price(gamma)))
            if asked[-1] not in steps:
                view = batch.view(selector.scales[k]).to(device)
                steps[asked[-1]] = _read_step(reader, view, asked[-1][1], batch, flops, rules, warm_up=not number)
        for i, name in enumerate(batch.names):
            rows.setdefault(name, [steps[step][i] for step in asked])  # a damaged file's place is taken by another
    refuse_missing(names, rows)
    return dict(zip(selector.gammas, np.moveaxis(np.array([rows[name] for name in names], float), 1, 0), strict=True))


def refuse_missing(names: Sequence[str], known: Container[str]) -> None:
    """Raise DataError if a table of outcomes has images that the data set lacks."""
    if missing := [name for name in names if name not in known]:
        raise DataError(f"the table has {len(missing)} images that the data set lacks, such as {missing[0]}; give its data set")


def _read_step(
    reader: SecondLook, view: View, price: float, batch: SpottingBatch, flops: CostModel, rules: Rules, warm_up: bool
) -> list[list[float]]:
    """Measures of each image, as a table of outcomes has them."""
    prices = [price] * len(batch)
    if warm_up:
        look(reader, view, prices)
    start = time.perf_counter()
    results = look(reader, view, prices)
    seconds = (time.perf_counter() - start) / len(batch)
    rows = []
    for name, truth, size, found in zip(batch.names, batch.instances, batch.views[1.0].sizes.tolist(), results, strict=True):
        spent = found.spent(flops.cost)
        rows.append([*rules.count(name, truth, found.words), spent / found.full(size, flops.cost), spent, seconds])
    return rows


@torch.inference_mode()
def score_at(
    reader: Spotter | SecondLook,
    selector: Selector,
    gamma: float | None,
    loader: DataLoader,
    rules: Rules,
    resamples: int = 1000,
    spending: BudgetTracker | None = None,
    plan: Mapping[str, int] | None = None,
    max_cost: float | None = None,
) -> tuple[Point, dict[str, list[Word]]]:
    """Read every image once, at the scale that the selector chooses for a cost weight, a budget or a plan.

    Args:
        reader: reads.
        selector: chooses, and where it knows a second look, the price of that.
        gamma: the cost weight; None takes the selector's middle one.
        loader: the test images, with a view per scale.
        rules: how words are counted.
        resamples: bootstrap resamples.
        spending: holds a budget over the images in their order, in place of ``gamma``.
        plan: index of the scale of each image, chosen beforehand.
        max_cost: relative cost that no image may exceed.

    Returns:
        the point of the trade-off, and per image its words in pixels of the original image.
    """
    device = _get_ready(reader)
    _get_ready(selector)
    flops, own, rows, read = FlopCost(spotter_of(reader)), None, [], {}
    for batch in track(loader, description="reading"):
        own = selector_gflops(selector, batch.thumbnails.shape[-1]) if own is None else own
        start = time.perf_counter()
        batch = batch.to(device)
        sizes = batch.views[1.0].sizes
        weight = gamma
        if spending is not None:
            weight = spending.gamma(float(np.mean([flops.cost(*size) for size in sizes.tolist()])))
        if plan is not None:
            index = torch.tensor([plan[name] for name in batch.names], device=device)
        else:
            index = selector.choose(batch.thumbnails, sizes, flops.relative(sizes, selector.scales), weight)
        limits, prices = None, [selector.price(weight)] * len(batch)
        if max_cost is not None:
            limits = [CostCap(max_cost, tuple(size), flops.cost, own) for size in sizes.tolist()]
            index, prices = afford(selector, index, prices[0], limits, batch.names)
        results = read_at(reader, selector.scales, index, batch, prices, limits)
        seconds = (time.perf_counter() - start) / len(batch)
        for i, (name, found) in enumerate(zip(batch.names, results, strict=True)):
            if name in read:
                continue
            spent = found.spent(flops.cost) + own
            full = found.full(batch.views[1.0].sizes[i].tolist(), flops.cost)
            rows.append([*rules.count(name, batch.instances[i], found.words), spent / full, spent, seconds])
            if spending is not None:
                spending.record(*rows[-1][-3:])
            grow = (batch.original_sizes[i] / batch.views[1.0].sizes[i]).flip(0).cpu().numpy()
            read[name] = [Word(word.polygon * grow, word.text, word.score) for word in found.words]
    fixed = selector.scales[int(index[0])] if isinstance(selector, FixedScale) else None
    method = "dynamic" if fixed is None else "static"
    if fixed is None and spending is None and plan is None:
        gamma = selector.gammas[selector.head()] if gamma is None else gamma
    budget = spending.amount if spending is not None and spending.name == "budget" else None
    totals = np.array(rows, float)
    point = Point.of(method, "student", totals, resample(len(rows), resamples), scale=fixed, gamma=gamma, budget=budget)
    return point, read


def afford(
    selector: Selector, index: Tensor, price: float, limits: Sequence[CostCap], names: Sequence[str]
) -> tuple[Tensor, list[float]]:
    """Lower what was chosen for B images to what each can afford: scales ``index`` ``(B,)`` and the price of a second look.

    Raises:
        ConfigError: an image cannot afford any scale; or the one that was asked for.
    """
    scales = selector.scales
    lower = () if isinstance(selector, FixedScale) else scales
    ladder = selector.ladder if isinstance(selector, OperatingPointPolicy) else None
    steps = []
    for k, limit, name in zip(index.tolist(), limits, names, strict=True):
        try:
            steps.append(limit.lower(OperatingPoint(scales[k], price), lower, ladder))
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from error
    return torch.tensor([scales.index(step.scale) for step in steps], device=index.device), [step.price for step in steps]


def trade_off(
    tables: Mapping[str, Outcomes],
    dynamic: Mapping[str, Mapping[float, np.ndarray]],
    dataset: str,
    spotter: str,
    rules: Rules,
    resamples: int = 1000,
) -> TradeOff:
    """Every point of the trade-off from the tables alone.

    Args:
        tables: model -> its outcomes on the same images; static points of each.
        dynamic: model -> cost weight -> measures ``(N, 6)`` of its images; dynamic points, with random mix and oracle of its
            table.
        dataset: name of the data set.
        spotter: name of the spotter.
        rules: how words were counted.
        resamples: bootstrap resamples.
    """
    images = len(next(iter(tables.values())).names)
    drawn = resample(images, resamples)
    points: list[Point] = []
    for model, outcomes in tables.items():
        points += static_points(outcomes, model, drawn)
    for model, spent in dynamic.items():
        outcomes = tables[model]
        points += [Point.of("dynamic", model, totals, drawn, gamma=gamma) for gamma, totals in spent.items()]
        grid = cost_grid(outcomes)
        points += mix_points(outcomes, model, grid, drawn) + oracle_points(outcomes, model, grid, drawn)
    return TradeOff(dataset, rules.protocol, rules.task, rules.lexicon_name, images, spotter, commit(), tuple(points))


@cache
def commit() -> str | None:
    """Version of the code, where it runs from a checkout."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():  # installed, maybe within the checkout of something else
        return None
    try:
        found = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
