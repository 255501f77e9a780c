"""Measures models on a data set and leaves the trade-off behind: tables, points, picture."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import rich
from torch.utils.data import DataLoader

from dld_spotter.cost import FlopCost
from dld_spotter.data.dataset import report_damage
from dld_spotter.evaluation import Rules, choose, measure, trade_off
from dld_spotter.models.selector import Selector
from dld_spotter.models.spotter import Spotter
from dld_spotter.tradeoff import compare, comparison_table, plot, table


def report(
    models: Mapping[str, Spotter],
    selector: Selector | None,
    loader: DataLoader,
    scales: Sequence[float],
    dataset: str,
    rules: Rules,
    resamples: int,
    folder: Path,
) -> None:
    """Measure models at every scale; write and show the trade-off.

    Args:
        models: ``teacher`` and ``student``, or one of them.
        selector: chooses for the student; None where there is none.
        loader: the test images, with a view per scale.
        scales: ascending, with 1.0.
        dataset: its name.
        rules: how words are counted.
        resamples: bootstrap resamples.
        folder: gets ``outcomes_MODEL.npz``, ``tradeoff.json``, ``tradeoff.png`` and, with teacher and student,
            ``comparison.json``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        name: measure(model, loader, scales, FlopCost(model), rules, f"reading with the {name}")
        for name, model in models.items()
    }
    report_damage([loader.dataset])
    for name, outcomes in tables.items():
        outcomes.save(folder / f"outcomes_{name}.npz")
    choices = {}
    if selector is not None:
        outcomes = tables["student"]
        full = outcomes.gflops[:, outcomes.scales.index(1.0)]
        choices["student"] = choose(selector, loader, outcomes.names, FlopCost(models["student"]), float(full.mean()))
    result = trade_off(tables, choices, dataset, type(next(iter(models.values()))).__name__, rules, resamples)
    result.write(folder / "tradeoff.json")
    plot(result.points, folder / "tradeoff.png", f"{dataset}: {result.images} images, {rules.task.replace('_', ' ')}")
    rich.print(table(result.select("static") + result.select("dynamic")))
    if choices and "teacher" in tables:
        rows = compare(tables["teacher"], tables["student"], choices["student"], resamples)
        plain = json.loads(json.dumps([asdict(row) for row in rows]), parse_constant=lambda _: None)  # JSON knows no NaN
        (folder / "comparison.json").write_text(json.dumps(plain, indent=1) + "\n", "utf-8")
        rich.print(comparison_table(rows))
    print(f"everything is in {folder}")
