"""Points of many runs as one table: from the folder of a sweep, or from Weights & Biases."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from dld_spotter.core.errors import DataError
from dld_spotter.tradeoff.points import Point, TradeOff
from dld_spotter.tradeoff.runs import RESULT, RunStatus

if TYPE_CHECKING:
    import pandas as pd

WANDB = "wandb:"
"""What a source in Weights & Biases begins with."""
TABLE = "tradeoff"
"""Name of the table in a run of Weights & Biases."""
OVERRIDES = ".hydra/overrides.yaml"


def load_points(source: str | Path) -> "pd.DataFrame":
    """Every point of every run, with the settings that the run was started with.

    Args:
        source: folder of a sweep or of a run; ``wandb:FOLDER`` for the offline runs of Weights & Biases below a folder;
            ``wandb:ENTITY/PROJECT`` or ``wandb:ENTITY/PROJECT/GROUP`` for runs that are online.

    Returns:
        a row for each point: ``run``, a column for each setting (its whole key), the fields of :class:`Point`, and the ends
        of the interval in ``hmean_low`` and ``hmean_high``. Runs that failed or go on have no row.

    Raises:
        DataError: there is no point.
    """
    import pandas as pd  # takes long to import

    text = str(source)
    if not text.startswith(WANDB):
        rows = list(_of_folder(Path(source)))
        remedy = "give the paths.output_dir of a sweep or of a run that has ended"
    else:
        place = text.removeprefix(WANDB)
        rows = list(_of_offline_runs(Path(place)) if Path(place).is_dir() else _of_online_runs(place))
        remedy = "give wandb:FOLDER with offline runs below it, or wandb:ENTITY/PROJECT/GROUP"
    if not rows:
        raise DataError(f"{source} holds no points of a trade-off; {remedy}")
    return pd.DataFrame(rows)


def point_rows(run: str, overrides: Mapping[str, str], result: TradeOff) -> list[dict[str, Any]]:
    """A row for each point of a run, as plain values; the settings stand beside them under their keys.

    Numbers among the settings are numbers. A setting that has the name of a column, such as ``budget``, goes by ``set.budget``.
    """
    own = {field.name for field in fields(Point)} | {"run"}
    settings = {f"set.{key}" if key in own else key: _number(value) for key, value in overrides.items()}
    return [{"run": run} | settings | _row(point) for point in result.points]


def _row(point: Point) -> dict[str, Any]:
    values = point.to_dict()
    low, high = values.pop("hmean_interval") or (None, None)
    return values | {"hmean_low": low, "hmean_high": high}


def _number(value: str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return value


def _of_folder(folder: Path) -> Iterator[dict[str, Any]]:
    """Rows of a sweep's runs, or of the run whose folder this is; what joins the runs of a sweep is left out."""
    found = sorted(sorted(folder.rglob(RESULT)), key=lambda file: [int(part) if part.isdigit() else -1 for part in file.parts])
    runs = [file for file in found if (file.parent / OVERRIDES).is_file() or RunStatus.read(file.parent)]
    for file in runs or found:
        status = RunStatus.read(file.parent)
        if status is None or status.status == "completed":
            name = file.parent.relative_to(folder).as_posix()
            yield from point_rows(name, status.overrides if status else {}, TradeOff.read(file))


def _of_offline_runs(folder: Path) -> Iterator[dict[str, Any]]:
    """Rows of the tables that runs have logged into a folder; of a run that was done again, the last one."""
    last = {run.parent: tables[-1] for run in sorted(folder.rglob("offline-run-*")) if (tables := _tables(run))}
    for table in last.values():
        yield from _of_table(table)


def _tables(run: Path) -> list[Path]:
    return sorted(run.glob(f"files/media/table/{TABLE}_*.table.json"))


def _of_online_runs(place: str) -> Iterator[dict[str, Any]]:
    import wandb

    entity, _, rest = place.partition("/")
    project, _, group = rest.partition("/")
    if not (entity and project):
        raise DataError(f"{WANDB}{place} is neither a folder nor ENTITY/PROJECT; give such as {WANDB}me/dld_spotter/sweep")
    runs: Iterable[Any] = wandb.Api().runs(f"{entity}/{project}", filters={"group": group} if group else {})
    for run in runs:
        table = run.summary.get(TABLE)
        if table:
            with TemporaryDirectory() as folder:
                run.file(table["path"]).download(root=folder, replace=True)
                yield from list(_of_table(Path(folder) / table["path"]))


def _of_table(file: Path) -> Iterator[dict[str, Any]]:
    """Rows of a table as Weights & Biases writes them."""
    try:
        content = json.loads(file.read_text("utf-8"))
        yield from (dict(zip(content["columns"], row, strict=True)) for row in content["data"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is no table of Weights & Biases ({error}); log the run again") from error
