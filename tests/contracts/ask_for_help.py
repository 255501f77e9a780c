"""Runs every script that it is given with ``--help``, in one process, and prints what came of each as JSON.

    python tests/contracts/ask_for_help.py SCRIPT...

A process for each script would take minutes, most of them for importing torch. Scripts of several folders import neighbours of
the same name, so each folder is in the path for its own scripts alone, and its modules are forgotten afterwards.
"""

import io
import json
import runpy
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path


def ask(script: Path) -> dict[str, str]:
    """What a script prints, and the error that it ends with; empty where there is none."""
    known, written = set(sys.modules), io.StringIO()
    error = ""
    sys.path.insert(0, str(script.parent))
    sys.argv = [str(script), "--help"]
    try:
        with redirect_stdout(written), redirect_stderr(written):
            runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        written.write(end.code if isinstance(end.code, str) else "")
    except Exception:
        error = traceback.format_exc()
    finally:
        sys.path.remove(str(script.parent))
        for name in set(sys.modules) - known:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(script.parent)):
                del sys.modules[name]
    return {"printed": written.getvalue(), "error": error}


if __name__ == "__main__":
    print(json.dumps({script: ask(Path(script)) for script in sys.argv[1:]}))
