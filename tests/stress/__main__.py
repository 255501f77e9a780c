"""What a machine can do to a command: ``make stress``, or ``python -m tests.stress [--kills 10] [--others 5] ...``.

Ends every command at random moments and starts it again; trains in two processes what one trains; watches the memory of many
steps and readings. Prints a table, and ends with status 1 where something is not as it should be.
"""

import argparse
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import torch

from dld_spotter.evaluation.measuring import commit
from tests.stress.kills import Row, run_all
from tests.stress.leaks import Leak, reading, training
from tests.stress.processes import Comparison, compare

COMMANDS = ("train", "fit_operating_points", "measure", "evaluate", "predict", "export")
HEAD = "| command | ended by a signal | over before it | end equal to the undisturbed run | |\n|---|---|---|---|---|"


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=10, help="of the training")
    parser.add_argument("--others", type=int, default=5, help="kills of each other command")
    parser.add_argument("--steps", type=int, default=2000, help="of the training whose memory is watched; 0 for none")
    parser.add_argument("--readings", type=int, default=1000, help="whose memory is watched; 0 for none")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--only", nargs="*", default=[], help="beginnings of names of commands; train, both stages goes first")
    parser.add_argument("--without-processes", action="store_true", help="leave out the training in two processes")
    return parser.parse_args()


def show(row: Row) -> None:
    """Print a row as soon as it is known."""
    notes = "; ".join(dict.fromkeys(row.notes)).replace("|", "/").replace("\n", " ")
    print(f"| {row.name} | {row.ended} | {row.late} | {row.equal} of {row.ended + row.late} | {notes} |", flush=True)


def show_leak(leak: Leak) -> None:
    """Print what became of the memory."""
    print(f"| {leak.count} {leak.what} | {leak.first:.0f} | {leak.second:.0f} | {100 * leak.growth:+.2f} % |", flush=True)


def show_comparison(found: Comparison) -> None:
    """Print how two processes compare with one."""
    told = found.metrics or "equal", found.images or "each once"
    print(f"\n| steps | largest relative difference of a loss | metrics and table | images |\n|---|---|---|---|\n"
          f"| {found.steps} | {found.curve:.1g} | {told[0]} | {told[1]} |", flush=True)  # fmt: skip


def main() -> int:
    """Do all of it; returns the exit status."""
    asked = arguments()
    for command in COMMANDS:  # here, so that no fork spends its time on it
        import_module(f"dld_spotter.{command}")
    torch.set_num_threads(1)
    start = time.monotonic()
    print(f"commit {commit()}, seed {asked.seed}\n\n{HEAD}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rows = run_all(folder, (asked.kills, asked.others), asked.seed, asked.only, show)
        sound = [row.equal == row.ended + row.late > 0 and not row.notes for row in rows]
        teacher, student = folder / "material" / "teacher.ckpt", folder / "material" / "student.ckpt"
        if not asked.without_processes:
            found = compare(folder / "processes", teacher)
            show_comparison(found)
            sound.append(found.sound)
        if asked.steps or asked.readings:
            print("\n| | peak of the first half, MB | of the second | |\n|---|---|---|---|", flush=True)
        leaks = [training(folder / "leak", teacher, asked.steps)] if asked.steps else []
        leaks += [reading(folder / "leak", student, asked.readings)] if asked.readings else []
        for leak in leaks:
            show_leak(leak)
            sound.append(leak.sound)
    print(f"\n{sum(sound)} of {len(sound)} rows as they should be, {(time.monotonic() - start) / 60:.0f} minutes", flush=True)
    return 0 if all(sound) else 1


if __name__ == "__main__":
    sys.exit(main())
