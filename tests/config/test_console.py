"""``dld-spotter COMMAND``."""

import runpy
import sys
from pathlib import Path

import pytest

import dld_spotter
from dld_spotter.config.console import COMMANDS, main

FILES = {path.stem for path in Path(dld_spotter.__file__).parent.glob("*.py")} - {"__init__"}


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Call the script; returns the exit status."""
    monkeypatch.setattr(sys, "argv", ["dld-spotter", *arguments])
    try:
        main()
    except SystemExit as ended:
        return 0 if ended.code is None else ended.code
    return 0


def test_every_command_is_listed():
    assert set(COMMANDS) == FILES


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_lists_the_commands(monkeypatch, capsys, arguments):
    assert call(monkeypatch, *arguments) == 0
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines() if line.startswith("  ")] == list(COMMANDS)
    assert max(map(len, shown.splitlines())) <= 80


def test_tells_the_version(monkeypatch, capsys):
    assert call(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == dld_spotter.__version__ + "\n"


@pytest.mark.parametrize("name", ["read", "--budget", "config", "predict.py", ""])
def test_refuses_other_commands_in_one_sentence(monkeypatch, capsys, name):
    assert call(monkeypatch, name) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: dld-spotter has no command {name!r}; choose one of check_data, train, predict")
    assert error.count("\n") == 1


def test_runs_a_command_with_its_overrides(monkeypatch, capsys, tmp_path):
    (tmp_path / "gt.jsonl").write_text('{"image": "a", "words": []}\n')
    assert call(monkeypatch, "score", f"gt={tmp_path}/gt.jsonl", f"preds={tmp_path}/gt.jsonl") == 0
    assert '"hmean"' in capsys.readouterr().out
    assert call(monkeypatch, "score", f"gt={tmp_path}/none.jsonl", f"preds={tmp_path}/gt.jsonl") == 1
    assert "none.jsonl" in capsys.readouterr().err


def test_a_missing_requirement_is_named(monkeypatch, capsys):
    def missing(*_, **__):
        raise ModuleNotFoundError("No module named 'hydra'", name="hydra.core")

    monkeypatch.setattr(runpy, "run_module", missing)
    assert call(monkeypatch, "predict") == 2
    assert capsys.readouterr().err == (
        "error: dld-spotter predict needs the package hydra; install dld-spotter with its requirements\n"
    )


def test_a_module_of_the_package_that_is_missing_is_a_defect(monkeypatch):
    def missing(*_, **__):
        raise ModuleNotFoundError("No module named 'dld_spotter.none'", name="dld_spotter.none")

    monkeypatch.setattr(runpy, "run_module", missing)
    with pytest.raises(ModuleNotFoundError):
        call(monkeypatch, "predict")
