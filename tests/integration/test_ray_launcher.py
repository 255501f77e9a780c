"""The launcher for Ray, over a stand-in for Ray that runs tasks at once; ``test_sweeps.py`` has the real one."""

import os
import signal
import sys
from types import SimpleNamespace

import pytest
from hydra.core.utils import JobStatus

from dld_spotter.core.errors import ConfigError
from dld_spotter.tradeoff.runs import RunStatus
from hydra_plugins.dld_spotter import ray_launcher
from tests.integration.runs import train
from tests.integration.test_sweeps import students


class RayError(Exception):
    """What Ray raises where a worker is gone."""


class StandIn:
    """So much of Ray's interface as the launcher uses."""

    exceptions = SimpleNamespace(RayError=RayError)

    def __init__(self, dying=()):
        self.started, self.asked, self.dying = {}, {}, dying

    def is_initialized(self):
        return bool(self.started)

    def init(self, **options):
        self.started = options

    def cluster_resources(self):
        return {"CPU": 2.0, "GPU": 1.0}

    def put(self, value):
        return value

    def remote(self, **options):
        self.asked = options

        def wrap(function):
            def call(shared, number, overrides):
                return (lambda: function(shared, number, overrides)) if number not in self.dying else None

            return SimpleNamespace(remote=call)

        return wrap

    def wait(self, running, num_returns, timeout):
        return running, []

    def get(self, job):
        if job is None:
            raise RayError("the worker died")
        return job()


@pytest.fixture
def ray(monkeypatch):
    found = StandIn()
    monkeypatch.setattr(ray_launcher, "required", lambda *_: found)
    return found


def test_jobs_run_as_tasks_with_what_they_need(tmp_path, jobs, ray):
    ended = train(tmp_path, "launcher=ray", "hydra.launcher.remote.num_gpus=0.5", "seed=1,2", multirun=True)
    assert ended.status == 0, ended.stderr
    assert jobs[0] == [1, 2]
    assert ray.started["address"] is None
    assert (ray.asked["num_cpus"], ray.asked["num_gpus"]) == (1, 0.5)
    assert students(tmp_path) == {"student seed=1", "student seed=2"}


def test_a_worker_that_dies_fails_its_own_job_alone(tmp_path, jobs, ray):
    ray.dying = (1,)
    with pytest.raises(RayError, match="died"):
        train(tmp_path, "launcher=ray", "seed=1,2,3", multirun=True)
    assert jobs[0] == [1, 3]
    assert students(tmp_path) == {"student seed=1", "student seed=3"}
    assert RunStatus.read(tmp_path / "1") is None


def test_more_than_there_is_is_refused(tmp_path, jobs, ray):
    """Ray would wait for it without end."""
    ended = train(tmp_path, "launcher=ray", "hydra.launcher.remote.num_gpus=2", "seed=1,2", multirun=True)
    assert (ended.status, jobs[0]) == (2, [])
    assert "hydra.launcher.remote.num_gpus=2, but this machine has 1" in ended.error


def test_a_sweep_that_is_told_to_end_shows_what_became_of_its_jobs(tmp_path, jobs, ray, monkeypatch):
    """Its own process runs no job, and is none the less expected to end as jobs do."""

    def stopped(running, num_returns, timeout):
        running[0]()
        os.kill(os.getpid(), signal.SIGTERM)
        return running[:1], running[1:]

    monkeypatch.setattr(ray, "wait", stopped)
    ended = train(tmp_path, "launcher=ray", "seed=1,2", multirun=True)
    assert (ended.status, jobs[0]) == (143, [1])
    assert "stopped by SIGTERM" in ended.error
    assert "Jobs of the sweep" in ended.stdout
    assert f"resume=true paths.output_dir={tmp_path}" in ended.stdout.replace("\n", "")


def test_a_result_of_a_dead_worker_is_a_failed_job():
    failed = ray_launcher._result(StandIn(), None, ["seed=1"])
    assert (failed.status, failed.overrides) == (JobStatus.FAILED, ["seed=1"])


def test_without_ray_the_extra_is_named(tmp_path, jobs, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    ended = train(tmp_path, "launcher=ray", "seed=1,2", multirun=True)
    assert ended.status == 2
    assert "pip install 'dld-spotter[ray]'" in ended.error
    with pytest.raises(ConfigError, match=r"dld-spotter\[ray\]"):
        ray_launcher.required("ray", "ray", "launcher=ray")
