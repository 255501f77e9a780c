"""``make stress`` in short: a command that is ended goes on, and what stress would complain about is noticed."""

import importlib
import json
import random
import signal
from pathlib import Path

import pytest

from tests.integration.runs import Ended
from tests.stress.kills import cases, complaints, differences, stress
from tests.stress.leaks import halves


@pytest.mark.parametrize("name", ["predict", *(pytest.param(name, marks=pytest.mark.slow) for name in ("measure", "evaluate"))])
def test_a_command_that_is_ended_goes_on_to_the_undisturbed_end(tmp_path: Path, name: str):
    case = next(case for case in cases(tmp_path / "material") if case.command == name)
    importlib.import_module(f"dld_spotter.{name}")
    row = stress(case, tmp_path / "runs", 1, random.Random(3))
    assert row.notes == []
    assert row.equal == row.ended + row.late == 1


@pytest.mark.parametrize(
    ("expected", "found", "where"),
    [
        ({"a": [1.0, 2.0]}, {"a": [1.0, 2.0 + 1e-9]}, ""),
        ({"a": [1.0, 2.0]}, {"a": [1.0, 2.1]}, "/a/1: 2.0 and 2.1"),
        ({"a": 1}, {"b": 1}, ": ['a', 'b']"),
        ({"text": "cat"}, {"text": "car"}, "/text: cat and car"),
        ([1, 2], [1], ": [1, 2] and [1]"),
        (float("nan"), float("nan"), ""),
    ],
)
def test_results_that_differ_are_told_apart(expected, found, where: str):
    assert differences(expected, found) == where


@pytest.mark.parametrize(
    ("ended", "sound"),
    [
        (Ended(143, "", "error: stopped by SIGTERM; resume=auto goes on\n"), True),
        (Ended(0, "", ""), True),
        (Ended(143, "", "Traceback (most recent call last):\n"), False),
        (Ended(0 - signal.SIGTERM, "", ""), False),
        (Ended(1, "", "error: stopped by SIGTERM; resume=auto goes on\n"), False),
    ],
)
def test_a_command_must_say_that_it_was_stopped(ended: Ended, sound: bool):
    assert (complaints(ended, signal.SIGTERM) == []) is sound


@pytest.mark.parametrize(("second", "sound"), [(102.0, True), (104.0, False)])
def test_growing_memory_is_noticed(tmp_path: Path, second: float, sound: bool):
    file = tmp_path / "found.json"
    file.write_text(json.dumps([50.0, 100.0, 90.0, second]))
    assert halves("steps", 4, file).sound is sound
