"""How the commands help and how they tell errors."""

import signal
import sys
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from omegaconf.errors import ConfigKeyError

from dld_spotter.config.entry import entry_point
from dld_spotter.core.errors import ConfigError, DataError
from dld_spotter.core.interruption import Interrupted


def run(task, monkeypatch, *arguments: str) -> int:
    """Run a command made of ``task`` with ``arguments``; returns its exit status."""
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    try:
        entry_point("train")(task)()
    except SystemExit as exit_:
        return exit_.code or 0
    return 0


def fails_with(error: Exception):
    def task(config: DictConfig) -> None:
        raise error

    return task


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("modell=x", ["modell"]),
        ("data.no_such_key=1", ["data.no_such_key"]),
        ("distillation=x", ["distillation=x", "sequential"]),
        ("+experiments=no_such_study", ["no_such_study"]),
        ("nonsense", ["nonsense", "KEY=VALUE"]),
    ],
)
def test_a_wrong_override_is_one_line_and_status_2(override, words, monkeypatch, capsys):
    assert run(lambda config: None, monkeypatch, override) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert all(word in lines[0] for word in words)


@pytest.mark.parametrize(("error", "status"), [(DataError("gt_1.txt line 2\nis bad"), 1), (ConfigError("gamma is -1"), 2)])
def test_an_error_of_ours_is_one_line(error, status, monkeypatch, capsys, tmp_path):
    assert run(fails_with(error), monkeypatch, f"paths.output_dir={tmp_path}") == status
    assert capsys.readouterr().err == f"error: {' '.join(str(error).split())}\n"


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), Interrupted(signal.SIGTERM)])
def test_a_signal_is_told_although_tidying_up_behind_it_fails(stop, monkeypatch, capsys, tmp_path):
    def task(config: DictConfig) -> None:
        try:
            raise stop
        except BaseException:
            None._invalidate_flags_cache()  # as OmegaConf does where a node was not made yet

    def wrapped(config: DictConfig) -> None:
        try:
            task(config)
        except AttributeError as error:
            raise ConfigKeyError(str(error)) from error

    status = run(wrapped, monkeypatch, f"paths.output_dir={tmp_path}")
    number = signal.SIGTERM if isinstance(stop, Interrupted) else signal.SIGINT
    assert status == 128 + number
    assert capsys.readouterr().err.startswith(f"error: stopped by {number.name}; the same command")


def test_a_defect_keeps_its_traceback(monkeypatch, tmp_path):
    with pytest.raises(ZeroDivisionError):
        run(lambda config: 1 / 0, monkeypatch, f"paths.output_dir={tmp_path}")


def test_a_failed_job_of_a_sweep_is_named(monkeypatch, capsys, tmp_path):
    arguments = ("-m", "seed=7", f"hydra.sweep.dir={tmp_path}")
    assert run(fails_with(DataError("gt_1.txt is absent")), monkeypatch, *arguments) == 1
    first, last = capsys.readouterr().err.splitlines()
    assert "seed=7" in first
    assert last == "error: gt_1.txt is absent"


def test_a_job_sees_its_folder(monkeypatch, tmp_path):
    seen = []
    run(lambda config: seen.append(HydraConfig.get().runtime.output_dir), monkeypatch, f"paths.output_dir={tmp_path}")
    assert [Path(folder) for folder in seen] == [tmp_path]


def test_help_teaches(monkeypatch, capsys):
    assert run(lambda config: None, monkeypatch, "--help", "distillation=token") == 0
    text = capsys.readouterr().out
    assert text.startswith("python -m dld_spotter.train")
    assert "token*" in text
    assert "sequential*" not in text
    assert "tradeoff.png" in text
    assert "+experiments=NAME" in text
    assert "HYDRA_FULL_ERROR=1" in text
    assert text.count("\n  ") >= 20
