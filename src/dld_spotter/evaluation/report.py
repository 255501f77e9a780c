"""Measures models or an engine on a data set and leaves the trade-off behind: tables, points, picture."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import rich
from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch.utils.data import DataLoader

from dld_spotter.budget.cost import AreaCost, CostModel, FlopCost
from dld_spotter.core.bootstrap import resample
from dld_spotter.data.dataset import report_damage
from dld_spotter.data.photos import scaled_size
from dld_spotter.evaluation.measuring import Reader, choose, measure, read_steps, spotter_of, trade_off
from dld_spotter.inference.engines.engine import Engine
from dld_spotter.inference.second_pass.reader import SecondLook
from dld_spotter.metrics.rules import Rules
from dld_spotter.models.spotter import Spotter
from dld_spotter.selection.operating_points import OperatingPointPolicy
from dld_spotter.selection.selectors import Selector
from dld_spotter.tradeoff import Outcomes, bias_over, bias_table, compare, comparison_table, cost_grid, plot, table

BIAS_POINTS = 6
"""Budgets at which the luck of the oracle is told."""


def report(
    readers: Mapping[str, Reader],
    selector: Selector | None,
    loader: DataLoader,
    scales: Sequence[float],
    dataset: str,
    rules: Rules,
    resamples: int,
    folder: Path,
    again: DataLoader | None = None,
    known: Mapping[str, Outcomes] | None = None,
) -> None:
    """Measure readers at every scale; write and show the trade-off.

    Args:
        readers: ``teacher`` and ``student``, or one of them; or an engine under its name.
        selector: chooses for the student; None where there is none.
        loader: the test images, with a view per scale.
        scales: ascending, with 1.0.
        dataset: its name.
        rules: how words are counted.
        resamples: bootstrap resamples.
        folder: gets ``outcomes_NAME.npz``, ``tradeoff.json``, ``tradeoff.png`` and, with a selector, ``comparison.json``;
            with a selector also ``dynamic_student.npz``, the measures ``(G, N, 6)`` of each image at each cost weight;
            with ``again`` also ``outcomes_NAME_again.npz`` and ``oracle_bias.json``.
        again: the same images moved by less than matters, to tell how much of the oracle is luck.
        known: tables that are there already, by the name of their reader, which does not read then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = dict(known or {})
    for name, reader in readers.items():
        if name not in tables:
            tables[name] = measure(reader, loader, scales, cost_of(reader), rules, f"reading with the {name}")
        tables[name].save(folder / f"outcomes_{name}.npz")  # at once: the next one may take long
    report_damage([loader.dataset])
    dynamic = {}
    if selector is not None:
        outcomes = tables["student"]
        full = outcomes.gflops[:, outcomes.scales.index(1.0)]
        if isinstance(selector, OperatingPointPolicy):
            dynamic["student"] = read_steps(
                SecondLook(readers["student"], selector.escalation), selector, loader, rules, outcomes.names
            )
        else:
            chosen = choose(selector, loader, outcomes.names, FlopCost(readers["student"]), float(full.mean()))
            dynamic["student"] = chosen.totals(outcomes)
        measures = {"gammas": list(dynamic["student"]), "totals": np.stack(list(dynamic["student"].values()))}
        np.savez_compressed(folder / "dynamic_student.npz", names=np.array(outcomes.names, str), **measures)
    result = trade_off(tables, dynamic, dataset, describe(next(iter(readers.values()))), rules, resamples)
    result.write(folder / "tradeoff.json")
    plot(result.points, folder / "tradeoff.png", f"{dataset}: {result.images} images, {rules.task.replace('_', ' ')}")
    rich.print(table(result.select("static") + result.select("dynamic")))
    if dynamic:
        rows = compare(tables.get("teacher", tables["student"]), tables["student"], dynamic["student"], resamples)
        write_json(folder / "comparison.json", [asdict(row) for row in rows])
        rich.print(comparison_table(rows))
    if again is not None:
        report_bias(readers, tables, again, rules, resamples, folder)
    print(f"everything is in {folder}")


def cost_of(reader: Reader) -> CostModel:
    """GFLOP of a spotter; pixels of an engine, whose FLOPs nobody knows."""
    if isinstance(reader, Engine):
        return AreaCost(reader)
    return FlopCost(spotter_of(reader))


def describe(reader: Reader) -> str:
    """Family of a spotter and what words it knows; name and version of an engine, and what its costs are."""
    if isinstance(reader, Engine):
        return f"{reader.name} {reader.version()}, relative cost by area"
    vocabulary = spotter_of(reader).vocabulary
    return type(reader).__name__ + (f", vocabulary {vocabulary.name}" if vocabulary else "")


def stage_table(
    spotter: Spotter, size: tuple[int, int], words: float, scales: Sequence[float], selector_gflops: float = 0.0
) -> Table:
    """What an image costs, part by part, at every scale, in GFLOP.

    Args:
        spotter: reads.
        size: height and width of the image at scale 1.0.
        words: words that are read in it.
        scales: the scales.
        selector_gflops: GFLOP of the selector's decision.
    """
    flops = FlopCost(spotter)
    columns = [flops.stages(*scaled_size(*size, scale), words) | {"selector": selector_gflops} for scale in scales]
    title = f"GFLOP (1e9, a multiply-add counts 2) of an image of {size[1]} x {size[0]} pixels with {words:.1f} words"
    result = Table("part", title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for scale in scales:
        result.add_column(f"scale {scale:g}", justify="right")
    for part in columns[0]:
        result.add_row(part, *(f"{column[part]:.3f}" for column in columns))
    result.add_section()
    result.add_row("all", *(f"{sum(column.values()):.3f}" for column in columns))
    return result


def report_bias(
    readers: Mapping[str, Reader],
    tables: Mapping[str, Outcomes],
    again: DataLoader,
    rules: Rules,
    resamples: int,
    folder: Path,
) -> None:
    """Read the images once more, moved by less than matters, and show how much of each reader's oracle is luck.

    Args:
        readers: name -> reader.
        tables: name -> its outcomes.
        again: the moved images, in the same order.
        rules: how words are counted.
        resamples: bootstrap resamples.
        folder: gets ``outcomes_NAME_again.npz`` and ``oracle_bias.json``.
    """
    found = {}
    for name, reader in readers.items():
        first = tables[name]
        second = measure(reader, again, first.scales, cost_of(reader), rules, f"reading with the {name} again")
        second.save(folder / f"outcomes_{name}_again.npz")
        found[name] = bias_over(first, second, cost_grid(first, BIAS_POINTS), resample(len(first.names), resamples))
        rich.print(name, bias_table(found[name]))
    write_json(folder / "oracle_luck.json", {name: [asdict(row) for row in rows] for name, rows in found.items()})


def write_json(path: Path, content: Any) -> None:
    """Write JSON, which knows no NaN: what cannot be told is null."""
    plain = json.loads(json.dumps(content), parse_constant=lambda _: None)
    path.write_text(json.dumps(plain, indent=1) + "\n", "utf-8")
