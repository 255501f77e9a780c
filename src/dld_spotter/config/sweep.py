"""Sweeps: one table of what became of each job, and one trade-off of those that ended well."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import rich
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.tradeoff import Point, TradeOff, plot, table
from dld_spotter.tradeoff.runs import RESULT, STATUS, RunStatus, held

NAMED_BY_COST = re.compile(r" (?:cost|budget)=\S+")
"""What names the cost weight or the budget in the name of a model."""
WIDE = 200
"""Columns of a terminal that the table may take, since models have long names here."""
NO_SLURM = 'Could not detect "srun"'
"""What submitit says where there is none."""
KILLED = "it was killed: its process is gone"


@dataclass(frozen=True)
class Job:
    """A job of a sweep.

    Args:
        overrides: what it was started with, key -> value.
        result: its trade-off; None where it has left none.
        status: what became of it; None where it does not say, as jobs of before did not.
        number: of the job.
        alive: whether a process is at it now.
    """

    overrides: dict[str, str]
    result: TradeOff | None = None
    status: RunStatus | None = None
    number: int = 0
    alive: bool = False

    @property
    def ended_well(self) -> bool:
        """Whether its trade-off counts."""
        return self.result is not None and (self.status is None or self.status.status == "completed")


class JoinTradeOffs(Callback):
    """Keep one joined trade-off in the folder of a sweep, up to date after every job, and show it at the end.

    A job that failed is named and left out. What earlier sweeps left in the folder is left out too, unless ``resume`` goes on
    with them.
    """

    running: ClassVar["JoinTradeOffs | None"] = None
    """That of the sweep of this process which has begun and not been shown."""

    def __init__(self) -> None:
        self.before: dict[Path, int] | None = None
        self.folder: Path | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Remember what earlier sweeps left."""
        self.folder = Path(config.hydra.sweep.dir)
        left = {file: _modified(file) for name in (RESULT, STATUS) for file in self.folder.rglob(name)}
        resumed = bool(config.get("resume"))
        self.before = {} if resumed else left
        JoinTradeOffs.running = self
        if resumed and not left:
            print(f"resume={config.resume}: nothing was run in {self.folder} before; paths.output_dir= names an earlier sweep")

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
        """Show the sweep."""
        self.show()

    def show(self, cut_off: bool = False) -> None:
        """Join once more, since jobs may have ended on other machines, and show what became of all of them.

        Args:
            cut_off: whether there may be jobs that have not begun.
        """
        JoinTradeOffs.running = None
        jobs = find_jobs(self.folder, self.before or {})
        joined = self.join(self.folder)
        console = Console(width=WIDE)
        if any(job.status for job in jobs):
            console.print(job_table(jobs))
        if joined is not None:
            console.print(table(main_points(joined), title="Trade-off of the sweep"))
            rich.print(f"the joined trade-off is {self.folder / RESULT}")
        if cut_off or not all(job.ended_well for job in jobs):
            rich.print(f"to run what is missing, add resume=true paths.output_dir={self.folder} to the command")

    def join(self, folder: Path) -> TradeOff | None:
        """Write ``tradeoff.json`` and ``tradeoff.png`` of all jobs so far; None where none has ended or they do not fit."""
        jobs = [job for job in find_jobs(folder, self.before or {}) if job.ended_well]
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


@contextmanager
def shown_at_the_end() -> Iterator[None]:
    """Show a sweep that ends with an error, too.

    Raises:
        ConfigError: submitit finds no Slurm on this machine.
    """
    try:
        yield
    except RuntimeError as error:
        if NO_SLURM not in str(error):
            raise
        raise ConfigError(
            "launcher=submitit_slurm finds no srun on this machine; give the command where Slurm's jobs are submitted, or "
            "launcher=submitit_local"
        ) from error
    finally:
        if JoinTradeOffs.running is not None:
            JoinTradeOffs.running.show(cut_off=True)


def find_jobs(folder: Path, before: Mapping[Path, int]) -> list[Job]:
    """Find the jobs below the folder of a sweep that have left a status or a trade-off, in their order.

    Args:
        folder: of the sweep.
        before: files that were there earlier -> their time in nanoseconds; they are left out unless they have changed.
    """
    jobs = []
    for file in folder.rglob(".hydra/overrides.yaml"):
        place = file.parents[1]
        fresh = {name for name in (RESULT, STATUS) if (place / name).is_file() and _changed(place / name, before)}
        if fresh:
            overrides = dict(entry.partition("=")[::2] for entry in OmegaConf.load(file))
            overrides.pop("resume", None)
            number = OmegaConf.load(file.with_name("hydra.yaml")).hydra.job.num
            result = TradeOff.read(place / RESULT) if RESULT in fresh else None
            status = RunStatus.read(place) if STATUS in fresh else None
            with held(place) as free:
                jobs.append(Job(overrides, result, status, number, alive=not free))
    return sorted(jobs, key=lambda job: job.number)


def _changed(file: Path, before: Mapping[Path, int]) -> bool:
    return before.get(file) != _modified(file)


def _modified(file: Path) -> int:
    return file.stat().st_mtime_ns


def job_table(jobs: Sequence[Job]) -> Table:
    """What became of each job, and why."""
    result = Table(title="Jobs of the sweep", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("no.", "what differs", "ended", "score", "minutes"):
        result.add_column(column, justify="left" if column in ("what differs", "ended") else "right", no_wrap=True)
    result.add_column("why")
    for job, name in zip(jobs, job_names([job.overrides for job in jobs]), strict=True):
        status = job.status
        if status is None:
            cells = ["completed", "", "", ""]
        else:
            killed = status.status == "running" and not job.alive
            score = "" if status.score is None else f"{status.score:.4g}"
            minutes = "" if status.seconds is None else f"{status.seconds / 60:.1f}"
            cells = ["killed" if killed else status.status, score, minutes, KILLED if killed else status.error or ""]
        result.add_row(str(job.number), *map(escape, (name, *cells)))
    return result


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

    Where each run has one cost weight or budget, the runs that differ in nothing else make one curve.
    """
    dynamic = joined.select("dynamic")
    models = Counter(point.model for point in dynamic)
    static = [point for point in joined.select("static") if point.model not in models]
    if set(models.values()) == {1}:
        dynamic = [replace(point, model=NAMED_BY_COST.sub("", point.model)) for point in dynamic]
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
