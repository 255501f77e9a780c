"""Scripts of ``experiments/``: each can be imported, tells how it is used, and composes configurations that there are."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "experiments").rglob("*.py"))
COMPOSED = re.compile(r"\bcompose\(\s*\"(\w+)\"")


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, str]]:
    """What every script prints when it is asked for help, and the error that it ends with."""
    command = [sys.executable, str(Path(__file__).with_name("ask_for_help.py")), *map(str, SCRIPTS)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout.splitlines()[-1])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT / "experiments")))
def test_a_script_can_be_imported_and_tells_how_it_is_used(answers: dict[str, dict[str, str]], script: Path):
    answer, text = answers[str(script)], script.read_text("utf-8")
    assert answer["error"] == ""
    if '__name__ == "__main__"' in text:
        assert re.search(rf"usage:|python experiments/{script.relative_to(ROOT / 'experiments')}", answer["printed"])
    else:
        assert answer["printed"] == ""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT / "experiments")))
def test_a_script_composes_configurations_that_there_are(script: Path):
    names = COMPOSED.findall(script.read_text("utf-8"))
    assert [name for name in names if not (ROOT / "conf" / f"{name}.yaml").is_file()] == []
