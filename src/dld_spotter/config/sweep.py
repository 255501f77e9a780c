"""Joins the trade-offs of a sweep's jobs."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import rich
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.markup import escape

from dld_spotter.core.errors import DataError
from dld_spotter.tradeoff import Point, TradeOff, plot, table

RESULT = "tradeoff.json"
COST_WEIGHT = re.compile(r" cost=\S+")
"""What names the cost weight in the name of a model."""
WIDE = 200
"""Columns of a terminal that the table may take, since models have long names here."""


@dataclass(frozen=True)
class Job:
    """A job that ended well.

    Args:
        overrides: what it was started with, key -> value.
        result: its trade-off.
    """

    overrides: dict[str, str]
    result: TradeOff


class JoinTradeOffs(Callback):
    """Keep one joined trade-off in the folder of a sweep, up to date after every job, and show it at the end.

    A job that failed is named and left out. What earlier sweeps left in the folder is left out too.
    """

    def __init__(self) -> None:
        self.before: dict[Path, int] | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Remember what earlier sweeps left."""
        self.before = {result: _modified(result) for result in Path(config.hydra.sweep.dir).rglob(RESULT)}

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Join what there is; Hydra reports no end of a sweep in which a job failed."""
        if self.before is None:  # a single run
            return
        folder = Path(config.hydra.sweep.dir)
        if job_return.status is JobStatus.FAILED:
            name = " ".join(job_return.overrides or []) or "without overrides"
            rich.print(f"[red]job {config.hydra.job.num} failed[/] ({escape(name)}); {folder / RESULT} is without it")
        else:
            self.join(folder)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Join once more, since jobs may have ended on other machines, and show the result."""
        folder = Path(config.hydra.sweep.dir)
        joined = self.join(folder)
        if joined is not None:
            Console(width=WIDE).print(table(main_points(joined), title="Trade-off of the sweep"))
            rich.print(f"the joined trade-off is {folder / RESULT}")

    def join(self, folder: Path) -> TradeOff | None:
        """Write ``tradeoff.json`` and ``tradeoff.png`` of all jobs so far; None where none has ended or they do not fit."""
        jobs = find_jobs(folder, self.before or {})
        if not jobs:
            return None
        try:
            joined = join_jobs(jobs)
        except DataError as error:
            rich.print(f"no joined trade-off: {escape(str(error))}")
            return None
        joined.write(folder / RESULT)
        plot(main_points(joined), folder / "tradeoff.png", f"{joined.dataset}: {joined.images} images, {len(jobs)} runs")
        return joined


def find_jobs(folder: Path, before: Mapping[Path, int]) -> list[Job]:
    """Find the jobs below the folder of a sweep that have left a trade-off, in their order.

    Args:
        folder: of the sweep.
        before: results that were there earlier -> their time in nanoseconds; they are left out unless they have changed.
    """
    jobs = []
    for file in folder.rglob(".hydra/overrides.yaml"):
        result = file.parents[1] / RESULT
        if result.is_file() and before.get(result) != _modified(result):
            overrides = dict(entry.partition("=")[::2] for entry in OmegaConf.load(file))
            number = OmegaConf.load(file.with_name("hydra.yaml")).hydra.job.num
            jobs.append((number, Job(overrides, TradeOff.read(result))))
    return [job for _, job in sorted(jobs, key=lambda pair: pair[0])]


def _modified(file: Path) -> int:
    return file.stat().st_mtime_ns


def join_jobs(jobs: Sequence[Job]) -> TradeOff:
    """Join the trade-offs of jobs; models that differ between jobs are told apart by the overrides that vary.

    Raises:
        DataError: the jobs were scored on different images or by different rules.
    """
    names = job_names([job.overrides for job in jobs])
    common = common_models([job.result for job in jobs])
    parts = []
    for i, (job, name) in enumerate(zip(jobs, names, strict=True)):
        own = [replace(p, model=f"{p.model} {name}".strip()) for p in job.result.points if p.model not in common]
        shared = [] if i else [point for point in job.result.points if point.model in common]
        parts.append(replace(job.result, points=(*shared, *own)))
    return TradeOff.join(parts)


def main_points(joined: TradeOff) -> list[Point]:
    """What can be shown of many runs: the dynamic points, and as a baseline the fixed scales of models without any.

    Where each run has one cost weight, the runs that differ in nothing else make one curve.
    """
    dynamic = joined.select("dynamic")
    models = Counter(point.model for point in dynamic)
    static = [point for point in joined.select("static") if point.model not in models]
    if set(models.values()) == {1}:
        dynamic = [replace(point, model=COST_WEIGHT.sub("", point.model)) for point in dynamic]
    return static + dynamic


def job_names(overrides: Sequence[dict[str, str]]) -> list[str]:
    """Name jobs by the overrides in which they differ, keys cut down to what tells them apart.

    >>> job_names([{"seed": "1", "objective.weights.cost": "0.3"}, {"seed": "1", "objective.weights.cost": "1"}])
    ['cost=0.3', 'cost=1']
    """
    keys = list(dict.fromkeys(key for job in overrides for key in job))
    varying = [key for key in keys if len({job.get(key) for job in overrides}) > 1]
    last = [key.rpartition(".")[2] for key in varying]
    short = {key: name if last.count(name) == 1 else key for key, name in zip(varying, last, strict=True)}
    return [" ".join(f"{short[key].lstrip('+~')}={job[key]}" for key in varying if key in job) for job in overrides]


def common_models(results: Sequence[TradeOff]) -> set[str]:
    """Models that are the same in every job, such as the teacher: equal in everything but time at every fixed scale."""
    tables = [{model: _untimed(result, model) for model in {point.model for point in result.points}} for result in results]
    return {model for model, points in tables[0].items() if points and all(other.get(model) == points for other in tables)}


def _untimed(result: TradeOff, model: str) -> list[Point]:
    if result.select("dynamic", model):
        return []
    return [replace(point, seconds=None) for point in result.select("static", model)]
