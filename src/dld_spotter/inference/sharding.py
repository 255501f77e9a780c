"""Reading at scale: photos in shards, each read by one process of Ray Data, and one file of what was read.

A shard holds the budget for its own photos, so that it is held in sum as well. What is read is written line by line to a file
of the shard, so that a reading that was killed goes on where it was. At the end the shards' files become one.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

from dld_spotter.budget.requests import BUDGETS, Request
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.core.extras import required
from dld_spotter.core.files import whole
from dld_spotter.core.interruption import interruptible
from dld_spotter.data.pages import Page
from dld_spotter.data.stores import place_of
from dld_spotter.inference.many import Reader, batches_of, read_all
from dld_spotter.inference.output import as_line
from dld_spotter.inference.writers import LISTS, JsonWriter, key_of, open_output

PARQUET = ".parquet"


class ShardReader:
    """Reads shards one after the other, in a process of its own.

    Args:
        reader: how.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader, self.predictor = reader, reader.predictor()

    def __call__(self, shard: dict[str, Any]) -> dict[str, Any]:
        """Read the images of ``shard``, which its file has no line of; returns how many are damaged."""
        from rich.console import Console

        self.predictor.forget_budgets()
        pages = [Page(place_of(name), number, frame) for name, number, frame in json.loads(shard["pages"])]
        with open_output(shard["part"]) as (out, done):
            writer, quiet = JsonWriter(out, self.reader.lines, done, shard["part"]), Console(stderr=True, force_terminal=False)
            written, left = batches_of(pages, self.reader.batch, writer)
            own = {page.key for page in pages}
            spent = [[line] for key, line in done.items() if key not in own]  # when there were fewer shards, or more
            self.predictor.catch_up(self.reader.request, [*spent, *map(writer.earlier, written)])
            damaged = read_all(self.reader, self.predictor, left, writer, {}, quiet, alone=False)
        tracker = self.predictor.tracker(self.reader.request)
        return {"part": shard["part"], "damaged": damaged, "spent": str(tracker) if tracker else ""}


def shard_of(pages: Sequence[Page], part: Path) -> dict[str, str]:
    """Images and the file that they are written to, as plain values that travel to other processes."""
    return {"part": str(part), "pages": json.dumps([(str(page.path), page.number, page.frame) for page in pages])}


def read_shards(reader: Reader, pages: Sequence[Page], out: Path, workers: int, shards: int) -> tuple[int, int, list[str]]:
    """Read images in so many processes, and write one file.

    Args:
        reader: how.
        pages: N images.
        out: ``.jsonl`` or ``.parquet``; images in it are left as they are.
        workers: processes that read at a time.
        shards: parts of the images, each with a budget of its own.

    Returns:
        how many were read before, how many are damaged, and what each shard has spent.

    Raises:
        ConfigError: the extra is missing, or ``out`` is another kind of file.
    """
    if out.suffix not in (".jsonl", PARQUET):
        raise ConfigError(f"out={out} with workers={workers} must end in .jsonl or {PARQUET}")
    parts = parts_of(out, shards)
    lines = read_output(out)
    done = {key_of(line) for line in lines}
    left = [page for page in pages if page.key not in done]
    begun = {key_of(line) for line in all_lines(out)}
    fresh = sum(page.key not in begun for page in left)
    shares = shares_of(left, parts, begun)
    found = _read_fresh(reader, shares, workers) if fresh else []
    write_output(out, [*lines, *all_lines(out)], [page.key for page in pages])
    for part in sorted(folder_of(out).glob("*.jsonl")):
        part.unlink()
    if folder_of(out).is_dir():
        folder_of(out).rmdir()
    spent = [f"shard {number}: {row['spent']}" for number, row in enumerate(found) if row["spent"]]
    return len(pages) - fresh, sum(row["damaged"] for row in found), spent


def shares_of(pages: Sequence[Page], parts: Sequence[Path], begun: Collection[str]) -> dict[Path, list[Page]]:
    """Divide images among shards; what a shard has read itself stays in its share, so that it goes on as it would have.

    Args:
        pages: those that are in no output.
        parts: file of each shard.
        begun: :attr:`Page.key` of those that are in any of the shards' files.
    """
    shares = {}
    for number, part in enumerate(parts):
        others = set(begun) - {key_of(line) for line in read_lines(part)}
        shares[part] = [page for page in pages[number :: len(parts)] if page.key not in others]
    return shares


def _read_fresh(reader: Reader, shares: Mapping[Path, Sequence[Page]], workers: int) -> list[dict[str, Any]]:
    """Hand the shards to the processes."""
    ray = required("ray", "scale", f"workers={workers}")
    data = required("ray.data", "scale", f"workers={workers}")
    reader.predictor()  # what it refuses is told here rather than by each process
    rows = [shard_of(pages, part) for part, pages in shares.items()]
    if not ray.is_initialized():
        ray.init(include_dashboard=False, logging_level="warning")
    context = data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False  # they count shards
    shards = data.from_items(rows, override_num_blocks=len(rows))
    # One shard at a time: the process that is ready first would else be given those of others that still start.
    pool = data.ActorPoolStrategy(size=min(workers, len(rows)), max_tasks_in_flight_per_actor=1)
    read = shards.map(ShardReader, fn_constructor_args=(reader,), compute=pool, num_cpus=1)
    try:
        # Interruptible once more, as Ray puts a handler of its own in the place of ours.
        with interruptible(), progress(list(shares), sum(map(len, shares.values()))):
            return sorted(read.take_all(), key=lambda row: row["part"])
    except ray.exceptions.RayError as error:
        last = str(error).strip().rpartition("\n")[2]
        raise DataError(
            f"a process that reads photos has failed ({last}); the same command goes on with what is missing"
        ) from error


@contextmanager
def progress(parts: Sequence[Path], total: int) -> Iterator[None]:
    """Show in a terminal how many lines other processes have written to ``parts``."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    ended, places, count = Event(), dict.fromkeys(parts, 0), 0
    console = Console(stderr=True)

    def follow(bar: Progress) -> None:
        nonlocal count
        task = bar.add_task("reading", total=total)
        while not ended.wait(1.0):
            for part in filter(Path.is_file, parts):
                with part.open("rb") as file:
                    file.seek(places[part])
                    written = file.read()
                places[part] += len(written)
                count += written.count(b"\n")
            bar.update(task, completed=count)

    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        thread = Thread(target=follow, args=(bar,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def folder_of(out: Path) -> Path:
    """Where the shards write while they read."""
    return out.with_name(out.name + ".parts")


def parts_of(out: Path, shards: int) -> list[Path]:
    """The file of each shard."""
    return [folder_of(out) / f"{number:05d}.jsonl" for number in range(shards)]


def all_lines(out: Path) -> list[dict[str, Any]]:
    """What the shards have read so far."""
    return [line for part in sorted(folder_of(out).glob("*.jsonl")) for line in read_lines(part)]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of ``predict``, without a last one that was cut off; none where there is no file.

    Raises:
        DataError: a line is something else.
    """
    if not path.is_file():
        return []
    whole = path.read_text("utf-8").split("\n")[:-1]
    try:
        return [json.loads(line) for line in whole]
    except ValueError as error:
        raise DataError(f"{path} holds a line that predict does not write ({error}); name another file") from error


def read_output(out: Path) -> list[dict[str, Any]]:
    """What an earlier reading has left in ``out``."""
    if out.suffix != PARQUET or not out.is_file():
        return read_lines(out)
    pq = required("pyarrow.parquet", "scale", f"out={out}")
    lines: list[dict[str, Any]] = pq.read_table(out).to_pylist()
    return [{name: value for name, value in line.items() if value is not None} for line in lines]


def write_output(out: Path, lines: Iterable[dict[str, Any]], order: Sequence[str]) -> None:
    """Write all lines, those of the keys ``order`` first and so; whoever reads meanwhile finds the old file or the new one."""
    found = {key_of(line): line for line in lines}
    ordered = [found.pop(key) for key in order if key in found] + list(found.values())
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole(out) as partial:
        if out.suffix == PARQUET:
            pa, pq = (required(name, "scale", f"out={out}") for name in ("pyarrow", "pyarrow.parquet"))
            lists = {name for line in ordered for name in LISTS if name in line}
            pq.write_table(pa.Table.from_pylist(ordered, schema=_schema(pa, sorted(lists) or LISTS[:1])), partial)
        else:
            partial.write_text("".join(map(as_line, ordered)), "utf-8", newline="\n")


def _schema(pa: Any, lists: Sequence[str]) -> Any:
    """Types of the columns: those of the JSON lines; ``lists`` are those of ``LISTS`` that there are."""
    piece = [("polygon", pa.list_(pa.list_(pa.float64()))), ("text", pa.string()), ("score", pa.float64())]
    words = pa.list_(pa.struct(piece))
    kinds = {"words": words, "lines": pa.list_(pa.struct([*piece, ("block", pa.int64()), ("words", words)]))}
    whole_numbers = {"page", "width", "height", "dropped", "pieces", "turned"}
    numbers = (
        "page",
        "width",
        "height",
        "scale",
        "second_pass",
        "relative_cost",
        "gflops",
        "seconds",
        "dropped",
        "pieces",
        "turned",
    )
    columns = [(name, pa.int64() if name in whole_numbers else pa.float64()) for name in numbers]
    return pa.schema([("image", pa.string()), *columns, *((name, kinds[name]) for name in lists)])


def spent_per_image(request: Request, lines: Sequence[dict[str, Any]]) -> str:
    """What the images of a file have cost in the unit of the budget; empty where there is none."""
    if request.budgeted is None or not lines:
        return ""
    name, amount = request.budgeted
    key, factor = {"budget": ("relative_cost", 1), "budget_gflops": ("gflops", 1), "budget_ms": ("seconds", 1000)}[name]
    mean = factor * sum(line[key] for line in lines) / len(lines)
    return f"{name}={amount:g}: {mean:.3g} {BUDGETS[name]} spent per image"
