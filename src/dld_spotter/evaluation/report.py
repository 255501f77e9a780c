"""Measures models or an engine on a data set and leaves the trade-off behind: tables, points, picture."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import rich
from rich.box import SIMPLE_HEAD
from rich.table import Table

from dld_spotter.budget.cost import FlopCost
from dld_spotter.core.bootstrap import resample
from dld_spotter.core.files import whole, write_text
from dld_spotter.core.journal import SUFFIX, Journal
from dld_spotter.data.dataset import report_damage
from dld_spotter.data.photos import scaled_size
from dld_spotter.evaluation.measuring import Counting, Samples, follow, measure, trade_off
from dld_spotter.inference.predictor import Predictor
from dld_spotter.tradeoff import (
    Measures,
    Outcomes,
    Point,
    bias_over,
    bias_table,
    compare,
    comparison_tables,
    cost_grid,
    plot,
    table,
)

BIAS_POINTS = 6
"""Budgets at which the selection bias of the oracle is told."""


@dataclass(frozen=True)
class Report:
    """What a report is about, and where it goes.

    Args:
        dataset: its name.
        scales: ascending, with 1.0.
        counting: how words are counted.
        folder: gets ``outcomes_NAME.npz``, ``tradeoff.json``, ``tradeoff.png`` and, with a policy, ``comparison.json`` and
            ``dynamic_NAME.npz``, the measures ``(G, N, 6)`` of each image at each cost weight.
        resamples: bootstrap resamples.
        facts: what the readings depend on, for the journals.
        resume: go on with the journals of a report that was stopped.
        asked: further points of the same images, such as those of budgets.
    """

    dataset: str
    scales: Sequence[float]
    counting: Counting
    folder: Path
    resamples: int = 1000
    facts: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = False
    asked: Sequence[Point] = ()

    def journal(self, name: str) -> Journal:
        """What is kept of a reading until the report is done."""
        return Journal(self.folder / f"{name}{SUFFIX}", {"reading": name} | dict(self.facts), self.resume)

    def end(self) -> None:
        """Remove the journals."""
        for path in self.folder.glob(f"*{SUFFIX}"):
            path.unlink()


def report(
    about: Report,
    predictors: Mapping[str, Predictor],
    samples: Samples,
    known: Mapping[str, Outcomes] | None = None,
    tables: Mapping[str, Outcomes] | None = None,
) -> dict[str, Outcomes]:
    """Measure predictors at every scale; write and show the trade-off.

    Args:
        about: what, how and where to.
        predictors: ``teacher`` and ``student``, or one of them, and the ``control``; or an engine under its name. Their
            policies are followed. Random policy and oracle are of the student, or else of the only one.
        samples: the test images.
        known: tables that are there already, by the name of their predictor, which does not read then.
        tables: further tables of the same images, by name.

    Returns:
        the tables, by name.
    """
    about.folder.mkdir(parents=True, exist_ok=True)
    found = dict(known or {}) | dict(tables or {})
    for name, predictor in predictors.items():
        if name not in found:
            journal = about.journal(name)
            found[name] = measure(predictor, samples, about.scales, about.counting, f"reading with the {name}", journal)
            journal.close()
        found[name].save(about.folder / f"outcomes_{name}.npz")  # at once: the next one may take long
    report_damage([samples.dataset])
    model = "student" if "student" in predictors else next(iter(predictors))
    outcomes, followed = found[model], {}
    for name in (name for name, predictor in predictors.items() if predictor.policy is not None):
        journal = about.journal(f"followed_{name}")
        followed[name] = follow(predictors[name], samples, about.counting, found[name], journal)
        journal.close()
        totals = {"gammas": list(followed[name]), "totals": Measures.stack(followed[name].values()).values}
        with whole(about.folder / f"dynamic_{name}.npz") as partial, partial.open("wb") as file:
            np.savez_compressed(file, names=np.array(outcomes.names, str), **totals)
    rules, spotter = about.counting.rules, next(iter(predictors.values())).backend.describe()
    result = trade_off(found, model, followed, about.dataset, spotter, rules, about.resamples)
    result = replace(result, points=(*result.points, *about.asked))
    result.write(about.folder / "tradeoff.json")
    title = f"{about.dataset}: {result.images} images, {rules.task.replace('_', ' ')}"
    plot(result.points, about.folder / "tradeoff.png", title)
    rich.print(table(result.select("static") + result.select("dynamic")))
    if model in followed:
        rows = compare(found.get("teacher", outcomes), outcomes, followed[model], about.resamples, found.get("control"))
        write_json(about.folder / "comparison.json", [asdict(row) for row in rows])
        for laid_out in comparison_tables(rows):
            rich.print(laid_out)
    print(f"everything is in {about.folder}")
    return found


def stage_table(flops: FlopCost, size: tuple[int, int], words: float, scales: Sequence[float], deciding: float = 0.0) -> Table:
    """What an image costs, part by part, at every scale, in GFLOP.

    Args:
        flops: of the spotter that reads.
        size: height and width of the image at scale 1.0.
        words: words that are read in it.
        scales: the scales.
        deciding: GFLOP of the policy's decision.
    """
    columns = [flops.stages(*scaled_size(*size, scale), words) | {"policy": deciding} for scale in scales]
    title = f"GFLOP (1e9, a multiply-add counts 2) of an image of {size[1]} x {size[0]} pixels with {words:.1f} words"
    result = Table("part", title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for scale in scales:
        result.add_column(f"scale {scale:g}", justify="right")
    for part in columns[0]:
        result.add_row(part, *(f"{column[part]:.3f}" for column in columns))
    result.add_section()
    result.add_row("all", *(f"{sum(column.values()):.3f}" for column in columns))
    return result


def report_bias(about: Report, predictors: Mapping[str, Predictor], tables: Mapping[str, Outcomes], again: Samples) -> None:
    """Read the images once more, moved by less than matters, and show how much of each oracle's gain is selection bias.

    Args:
        about: as of :func:`report`; its folder gets ``outcomes_NAME_again.npz`` and ``oracle_bias.json``.
        predictors: name -> predictor.
        tables: name -> its outcomes.
        again: the moved images.
    """
    found = {}
    for name, predictor in predictors.items():
        first = tables[name]
        journal = about.journal(f"{name}_again")
        second = measure(predictor, again, first.scales, about.counting, f"reading with the {name} again", journal)
        journal.close()
        second.save(about.folder / f"outcomes_{name}_again.npz")
        found[name] = bias_over(first, second, cost_grid(first, BIAS_POINTS), resample(len(first.names), about.resamples))
        rich.print(name, bias_table(found[name]))
    write_json(about.folder / "oracle_bias.json", {name: [asdict(row) for row in rows] for name, rows in found.items()})


def write_json(path: Path, content: Any) -> None:
    """Write JSON, which knows no NaN: what cannot be told is null."""
    plain = json.loads(json.dumps(content), parse_constant=lambda _: None)
    write_text(path, json.dumps(plain, indent=1) + "\n")
