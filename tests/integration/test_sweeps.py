"""Sweeps end in one table, survive failures and kills, and run over every launcher."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from dld_spotter.config import resuming
from dld_spotter.core.errors import ConfigError
from dld_spotter.tradeoff import TradeOff, load_points
from dld_spotter.tradeoff.runs import RunStatus, held
from tests.integration.runs import SCENES, SMALL, train

QUICK = ("evaluation.images=2", "evaluation.resamples=5", "evaluation.retention=0", "trainer.limit_train_batches=1")
GRID = ("objective.weights.cost=0.03,0.3", "distillation=token", "distillation.temperature=1,4", "selector.factors=[1.0]")
PAIRS = {"cost=0.03 temperature=1", "cost=0.03 temperature=4", "cost=0.3 temperature=1", "cost=0.3 temperature=4"}


def students(folder: Path) -> set[str]:
    return {point.model for point in TradeOff.read(folder / "tradeoff.json").select("dynamic")}


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [(ConfigError("data is gone; restore it"), 2, "data is gone"), (RuntimeError("out of memory"), 1, "RuntimeError: out of")],
)
def test_a_broken_job_is_told_with_its_reason_and_run_again_alone(tmp_path, jobs, error, status, told):
    ran, broken = jobs
    broken[2] = error
    if status == 2:
        ended = train(tmp_path, "seed=1,2,3", multirun=True)
        assert ended.status == 2
    else:  # a defect keeps its traceback
        with pytest.raises(RuntimeError, match="memory"):
            train(tmp_path, "seed=1,2,3", multirun=True)
    assert ran == [1, 2, 3]
    assert students(tmp_path) == {"student seed=1", "student seed=3"}
    states = [RunStatus.read(tmp_path / str(number)) for number in range(3)]
    assert [state.status for state in states] == ["completed", "failed", "completed"]
    assert told in states[1].error
    if status == 2:
        (row,) = re.findall(r"^\s*1\s+seed=2\s+failed.*$", ended.stdout, re.MULTILINE)
        assert told in row
        assert f"resume=true paths.output_dir={tmp_path}" in ended.stdout.replace("\n", "")

    broken.clear()
    again = train(tmp_path, "seed=1,2,3", "resume=true", multirun=True)
    assert again.status == 0, again.stderr
    assert ran == [1, 2, 3, 2]
    assert students(tmp_path) == {"student seed=1", "student seed=2", "student seed=3"}
    assert "failed" not in again.stdout


def test_a_killed_job_is_told_and_run_again(tmp_path, jobs):
    """A process that is killed has no time to say so: its status still says that it runs."""
    ran, _ = jobs
    train(tmp_path, "seed=1,2", multirun=True)
    before = RunStatus.read(tmp_path / "1")
    RunStatus("running", before.started, before.overrides).write(tmp_path / "1")
    (tmp_path / "0" / "tradeoff.json").touch()
    ended = train(tmp_path, "seed=1,2", "resume=true", multirun=True)
    assert (ended.status, ran) == (0, [1, 2, 2])


@pytest.mark.slow
def test_a_job_that_another_process_is_still_at_is_left_to_it(tmp_path, jobs, monkeypatch):
    """Where the process of a sweep is killed, the jobs that it has started in others go on."""
    monkeypatch.setattr(resuming, "PATIENCE", 1)
    train(tmp_path, "seed=1,2", multirun=True)
    before = RunStatus.read(tmp_path / "1")
    RunStatus("running", before.started, before.overrides).write(tmp_path / "1")
    with held(tmp_path / "1") as mine:
        ended = train(tmp_path, "seed=1,2", "resume=true", multirun=True)
    assert mine
    assert (ended.status, jobs[0]) == (2, [1, 2])
    assert f"another process is training in {tmp_path / '1'}" in ended.error
    assert re.search(r"^\s*1\s+seed=2\s+running", ended.stdout, re.MULTILINE)
    assert train(tmp_path, "seed=1,2", "resume=true", multirun=True).status == 0
    assert jobs[0] == [1, 2, 2]


@pytest.mark.slow
def test_without_resume_every_job_runs_again(tmp_path, jobs):
    ran, _ = jobs
    for _ in range(2):
        train(tmp_path, "seed=1,2", multirun=True)
    assert ran == [1, 2, 1, 2]


def test_another_sweep_is_not_gone_on_with(tmp_path, jobs):
    ran, _ = jobs
    train(tmp_path, "seed=1,2", multirun=True)
    ended = train(tmp_path, "seed=5,2", "resume=true", multirun=True)
    assert (ended.status, ran) == (2, [1, 2])
    assert "a run with seed=1, but this job has 5" in ended.error or "=1, but this job has 5" in ended.error
    assert RunStatus.read(tmp_path / "0").status == "completed"


@pytest.mark.skipif(shutil.which("srun") is not None, reason="Slurm is here")
def test_a_machine_without_slurm_is_told_in_a_sentence(tmp_path, jobs):
    pytest.importorskip("submitit")
    ended = train(tmp_path, "seed=1,2", "launcher=submitit_slurm", multirun=True)
    assert (ended.status, jobs[0]) == (2, [])
    assert "launcher=submitit_local" in ended.error


def test_resuming_nothing_says_so(tmp_path, jobs):
    ended = train(tmp_path, "seed=1,2", "resume=true", multirun=True)
    assert (ended.status, jobs[0]) == (0, [1, 2])
    assert "nothing was run in" in ended.stdout


def test_a_single_run_that_has_ended_is_left_as_it_is(tmp_path, jobs):
    train(tmp_path, "seed=4")
    ended = train(tmp_path, "seed=4", "resume=auto")
    assert (ended.status, jobs[0]) == (0, [4])
    assert "nothing is left to do" in ended.stdout


@pytest.mark.parametrize("missing", [{"evaluation.budgets": "[0.3]"}, {"evaluation.target": "0.3"}, {"budget": "0.3"}])
def test_budgets_need_a_selector_that_learns(tmp_path, missing):
    ((key, value),) = missing.items()
    ended = train(tmp_path, f"{key}={value}", "selector=fixed")
    assert ended.status == 2
    assert key in ended.error
    assert "selector=gumbel" in ended.error


def test_points_of_a_sweep_carry_the_settings(tmp_path, jobs):
    train(tmp_path, "seed=1,2", multirun=True)
    frame = load_points(tmp_path)
    assert set(frame["run"]) == {"0", "1"}
    dynamic = frame[frame.method == "dynamic"].set_index("seed")
    assert dynamic.hmean.to_dict() == {1.0: 0.1, 2.0: 0.2}


@pytest.mark.slow
def test_optuna_searches_and_goes_on(tmp_path, jobs):
    pytest.importorskip("optuna")
    ran, _ = jobs
    line = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=6", "hydra.sweeper.startup=2", "seed=interval(0,9)")
    ended = train(tmp_path, *line, multirun=True)
    assert ended.status == 0, ended.stderr
    best = OmegaConf.load(tmp_path / "optimization_results.yaml")
    assert len(ran) == 6
    assert best.score == max(ran) / 10
    assert best.settings.seed == max(ran)
    first = list(ran)
    again = train(tmp_path, *line, "resume=true", "hydra.sweeper.n_trials=8", multirun=True)
    assert again.status == 0, again.stderr
    assert ran[:6] == first
    assert len(ran) == 8


def grid(folder: Path, *overrides: str) -> list[str]:
    """The command line of a 2 x 2 sweep on the smallest setting."""
    line = [*SMALL, *SCENES, *QUICK, *GRID, "logger=wandb", "logger.wandb.pictures=1", f"paths.output_dir={folder}"]
    return [sys.executable, "-m", "dld_spotter.train", "-m", *line, *overrides]


def run_grid(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"WANDB_MODE": "offline"}
    return subprocess.run(grid(folder, *overrides), env=environment, capture_output=True, text=True, timeout=3000)


def assert_complete(folder: Path) -> None:
    """Four runs in W&B's files, one trade-off, and the same points from either."""
    logs = list(folder.glob("*/wandb/offline-run-*/*.wandb"))
    assert {log.parents[2].name for log in logs} == {"0", "1", "2", "3"}
    assert {name.removeprefix("student ") for name in students(folder)} == PAIRS
    own, logged = (
        load_points(source).sort_values(["run", "method", "model", "relative_cost"], ignore_index=True)
        for source in (folder, f"wandb:{folder}")
    )
    pd.testing.assert_frame_equal(own, logged[own.columns], check_dtype=False)
    assert set(own["distillation.temperature"]) == {1.0, 4.0}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "ray", "submitit_local"])
def test_every_launcher_runs_the_same_sweep(tmp_path, launcher):
    pytest.importorskip({"submitit_local": "submitit"}.get(launcher, launcher))
    ended = run_grid(tmp_path, f"launcher={launcher}")
    assert ended.returncode == 0, ended.stderr
    assert_complete(tmp_path)


@pytest.mark.slow
def test_a_sweep_that_is_killed_goes_on_where_it_was(tmp_path):
    with subprocess.Popen(grid(tmp_path), env=os.environ | {"WANDB_MODE": "offline"}, stdout=subprocess.DEVNULL) as killed:
        while killed.poll() is None:
            state = RunStatus.read(tmp_path / "1")
            if state is not None and state.status == "completed":
                break
            time.sleep(0.05)
        killed.send_signal(signal.SIGKILL)
    before = {number: (tmp_path / number / "tradeoff.json").stat().st_mtime_ns for number in ("0", "1")}
    ended = run_grid(tmp_path, "resume=true")
    assert ended.returncode == 0, ended.stderr
    assert len(re.findall("nothing is left to do", ended.stdout)) == 2
    assert len(re.findall("everything goes to", ended.stdout)) == 2
    assert before == {number: (tmp_path / number / "tradeoff.json").stat().st_mtime_ns for number in before}
    assert_complete(tmp_path)
