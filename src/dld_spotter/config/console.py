"""``dld-spotter COMMAND [OVERRIDES]``: the same as ``python -m dld_spotter.COMMAND [OVERRIDES]``."""

import runpy
import sys
from typing import NoReturn

from dld_spotter import __version__

COMMANDS = {
    "check_data": "say what is in a data set and what is wrong with it",
    "train": "train a teacher, distil a student, draw the trade-off",
    "predict": "read photos",
    "demo": "show in the browser what a checkpoint reads",
    "evaluate": "score a checkpoint on a data set",
    "measure": "read every image at every scale, draw the trade-off",
    "fit_selector": "learn which input size an OCR engine needs",
    "fit_operating_points": "fit the operating points that a budget chooses from",
    "export": "write ONNX graphs, which are read without torch",
    "score": "score anybody's prediction files",
}
"""Command -> what it does."""


def usage() -> str:
    """The list of commands, for a terminal of 80 columns."""
    lines = [f"  {name:<22} {does}" for name, does in COMMANDS.items()]
    head = f"dld-spotter {__version__}\n\ndld-spotter COMMAND [KEY=VALUE ...]   (COMMAND --help lists the keys)\n"
    return "\n".join([head, *lines])


def main() -> None:
    """Run the command that is named first, or list them all."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
    elif name == "--version":
        print(__version__)
    elif name in COMMANDS:
        sys.argv = [sys.argv[0], *arguments]
        try:
            runpy.run_module(f"dld_spotter.{name}", run_name="__main__", alter_sys=True)
        except ModuleNotFoundError as error:  # installed without requirements, to read an export from Python
            package = (error.name or "").partition(".")[0]
            if package in ("", "dld_spotter"):
                raise
            _fail(f"dld-spotter {name} needs the package {package}; install dld-spotter with its requirements")
    else:
        _fail(f"dld-spotter has no command {name!r}; choose one of {', '.join(COMMANDS)}")


def _fail(sentence: str) -> NoReturn:
    """Print an error and end with status 2."""
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(2)
