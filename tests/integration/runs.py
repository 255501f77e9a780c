"""Runs whole commands on a model and images so small that every stage takes seconds."""

import contextlib
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import torch

_MODEL = (
    "backbone.settings={embedding_size:8,hidden_sizes:[16,16,16,16],depths:[1,1,1,1],layer_type:basic}",
    "channels=16",
    "head_channels=8",
    "widths=[16,16,16]",
    "hidden=12",
)
SMALL = (
    "debug=tiny",
    "trainer.precision=32-true",
    "scales=[0.5,1.0]",
    "thumbnail=32",
    "max_length=6",
    "control=false",
    *(f"model.{model}.{option}" for model in ("teacher", "student") for option in _MODEL),
)
"""A model of a few thousand parameters; ``debug=tiny`` makes the stages short."""
SCENES = tuple(f"data.{part}.renderer.layout.{side}" for part in ("train", "test") for side in ("height=96", "width=128"))
"""Rendered scenes of 128 x 96 pixels."""


@dataclass(frozen=True)
class Ended:
    """A command that has ended, with its exit status and what it printed."""

    status: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The sentence about what went wrong, the only one."""
        (line,) = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        return line


def run(command: str, *arguments: str) -> Ended:
    """Run ``python -m dld_spotter.COMMAND`` in this process, which spares the imports."""
    main = import_module(f"dld_spotter.{command}").main
    stdout, stderr = io.StringIO(), io.StringIO()
    status = 0
    with (
        patch.object(sys, "argv", [command, *arguments]),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        _one_thread(),
    ):
        try:
            main()
        except SystemExit as end:
            status = end.code
    return Ended(status, stdout.getvalue(), stderr.getvalue())


def train(folder: Path, *overrides: str, multirun: bool = False) -> Ended:
    """Train on rendered scenes into a folder."""
    return run("train", *(["-m"] if multirun else []), *SMALL, *SCENES, f"paths.output_dir={folder}", *overrides)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch from more threads than such small tensors are worth."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
