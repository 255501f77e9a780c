"""How many hops from file to file an image makes: pairs of a calling and a called file of the package, each counted once.

    python experiments/benchmarks/hops.py predict input=PHOTO budget=0.3
    python experiments/benchmarks/hops.py train debug=tiny stages.teacher.checkpoint=bundled_tiny stages.teacher.epochs=0

Of ``predict`` it counts from the open photo to the written line; of ``train`` while a batch is made and a training step runs,
the renderer of scenes being one file.
"""

import runpy
import sys
from types import FrameType
from typing import Any

import dld_spotter

ROOT = dld_spotter.__path__[0] + "/"
RENDERER = "data/synthetic/"
ENTRIES = {
    "predict": {"predict.py:read_all"},
    "train": {
        "data/datamodule.py:__getitem__",
        "data/datamodule.py:_collate_draws",
        "data/datamodule.py:on_after_batch_transfer",
        "training/modules.py:training_step",
    },
}
"""Functions during which hops are counted."""


class Hops:
    """A profiler that collects the pairs, in the order in which they first occur."""

    def __init__(self, entries: set[str]) -> None:
        self.entries, self.depth = entries, 0
        self.pairs: dict[tuple[str, str], tuple[str, str]] = {}

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """See ``sys.setprofile``."""
        here = file_of(frame)
        if here is None or event not in ("call", "return"):
            return
        entry = f"{here}:{frame.f_code.co_name}" in self.entries
        if event == "return":
            self.depth -= entry
            return
        self.depth += entry
        caller = frame.f_back
        while caller is not None and file_of(caller) is None:
            caller = caller.f_back
        if not self.depth or caller is None:
            return
        pair = file_of(caller), here
        if pair[0] != here:
            self.pairs.setdefault(pair, (caller.f_code.co_name, frame.f_code.co_name))


def file_of(frame: FrameType) -> str | None:
    """File of the package that a frame is in."""
    name = frame.f_code.co_filename
    if not name.startswith(ROOT):
        return None
    return RENDERER if name.startswith(ROOT + RENDERER) else name.removeprefix(ROOT)


def main() -> None:
    """Run the command and print the pairs."""
    command, *overrides = sys.argv[1:]
    hops = Hops(ENTRIES[command])
    sys.argv = [command, *overrides]
    sys.setprofile(hops)
    try:
        runpy.run_module(f"dld_spotter.{command}", run_name="__main__", alter_sys=True)
    finally:
        sys.setprofile(None)
        print(f"{len(hops.pairs)} hops")
        for (caller, called), names in hops.pairs.items():
            print(f"  {caller}:{names[0]} -> {called}:{names[1]}")


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ENTRIES:
        sys.exit(__doc__)
    main()
