"""Tries inputs of every kind and prints a table: ``make fuzz``, or ``python -m tests.fuzz [--inputs N] [--seed S]``.

Exit status 1 where one of them ended in anything but a sentence, took too long or too much memory. The input of each kind of
fault is kept.
"""

import argparse
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

from tests.fuzz.campaign import Tally, campaign, shares
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import CHUNK, MEMORY, SECONDS, inputs


def main() -> int:
    """Try, count, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="in all (100000)")
    parser.add_argument("--seed", type=int, default=1, help="of all inputs (1)")
    parser.add_argument("--only", nargs="*", choices=list(TARGETS), help="these targets alone")
    parser.add_argument("--processes", type=int, default=1, help="at a time (1)")
    parser.add_argument("--keep", type=Path, default=Path("outputs/fuzz"), help="where inputs that fail go (outputs/fuzz)")
    arguments = parser.parse_args()
    chosen = {name: target.weight for name, target in TARGETS.items() if not arguments.only or name in arguments.only}
    start, total = time.monotonic(), Tally()
    print(f"{arguments.inputs:,} inputs, seed {arguments.seed}, {SECONDS} s and {MEMORY >> 30} GB each\n")
    print("| target | inputs | seconds | most memory, MB | faults |\n|---|---:|---:|---:|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name, tally in campaign(shares(chosen, arguments.inputs), arguments.seed, Path(scratch), arguments.processes):
            print(_row(name, tally), flush=True)
            keep(name, tally, arguments.seed, arguments.keep)
            total.inputs += tally.inputs
            total.faults += tally.faults
            total.memory = max(total.memory, tally.memory)
    total.seconds = time.monotonic() - start
    print(_row("all", total))
    return int(bool(total.faults))


def _row(name: str, tally: Tally) -> str:
    faults = ", ".join(f"{count} {kind}" for kind, count in tally.faults.most_common()) or "none"
    return f"| {name} | {tally.inputs:,} | {tally.seconds:,.0f} | {tally.memory / 1e6:,.0f} | {faults} |"


def keep(name: str, tally: Tally, seed: int, folder: Path) -> None:
    """Write the first input of each kind of fault, and what was told."""
    for kind, fault in tally.examples.items():
        place = folder / name / "".join(letter if letter.isalnum() else "_" for letter in kind)
        place.mkdir(parents=True, exist_ok=True)
        number = fault["number"]
        first = number // CHUNK * CHUNK
        content = next(islice(inputs(name, seed, first), number - first, None))
        (place / Path(TARGETS[name].file).name).write_bytes(content)
        (place / "fault.txt").write_text(f"{fault}\n", "utf-8", "backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
