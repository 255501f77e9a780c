"""Runs the jobs of a sweep as tasks of Ray, on this machine or on a cluster that is there.

hydra-ray-launcher does the same, but asks for cloudpickle of before 2023 and for boto3, and loses a sweep with one worker.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from dld_spotter.core.errors import ConfigError
from dld_spotter.core.extras import required
from dld_spotter.core.interruption import Interrupted, Postponed


class RayLauncher(Launcher):
    """One task of Ray for each job; a worker that dies fails its own job alone.

    Args:
        init: of ``ray.init``, such as ``address=auto`` for the cluster that this machine belongs to.
        remote: of ``ray.remote``: what a job needs, such as ``num_gpus=1``.
    """

    def __init__(self, init: Mapping[str, Any], remote: Mapping[str, Any]) -> None:
        self.init, self.remote = init, remote

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives a launcher."""
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs and wait for all of them."""
        ray = required("ray", "ray", "launcher=ray")
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        if not ray.is_initialized():
            ray.init(**_plain(self.init))
        self._refuse_more_than_there_is(ray)
        task = ray.remote(**_plain(self.remote))(_run)
        arguments = (self.context, self.config, self.task, Singleton.get_state())
        shared = ray.put(arguments)
        running = [
            task.remote(shared, initial_job_idx + number, list(overrides)) for number, overrides in enumerate(job_overrides)
        ]
        _wait(ray, running)
        return [_result(ray, job, overrides) for job, overrides in zip(running, job_overrides, strict=True)]

    def _refuse_more_than_there_is(self, ray: Any) -> None:
        """Raise ConfigError if this machine lacks what a job needs, since Ray would wait for it; a cluster may grow."""
        if self.init.get("address") or os.environ.get("RAY_ADDRESS"):
            return
        there = ray.cluster_resources()
        for key, name in (("num_cpus", "CPU"), ("num_gpus", "GPU")):
            if self.remote.get(key, 0) > there.get(name, 0):
                raise ConfigError(
                    f"hydra.launcher.remote.{key}={self.remote[key]}, but this machine has {there.get(name, 0):g}; give fewer, "
                    "or hydra.launcher.init.address=auto on a cluster that has them"
                )


def _wait(ray: Any, running: Sequence[Any]) -> None:
    """Wait until all jobs have ended.

    Raises:
        Interrupted: a signal has come. Ray puts a handler of its own in the place of ours, and what is raised while it waits
            comes out as another error, so it waits for a second at a time.
    """
    signals = Postponed()
    signals.start()
    try:
        while ray.wait(running, num_returns=len(running), timeout=1.0)[1]:
            if signals.number:
                raise Interrupted(signals.number)
    finally:
        signals.end()


def _run(shared: tuple[Any, ...], number: int, overrides: list[str]) -> JobReturn:
    """One job, in a process of Ray."""
    context, config, task, state = shared
    setup_globals()
    Singleton.set_state(state)
    config = context.config_loader.load_sweep_config(config, overrides)
    with open_dict(config):
        config.hydra.job.id = config.hydra.job.num = number
    return run_job(
        hydra_context=context,
        config=config,
        task_function=task,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


def _result(ray: Any, job: Any, overrides: Sequence[str]) -> JobReturn:
    try:
        return ray.get(job)
    except ray.exceptions.RayError as error:  # the worker is gone; the other jobs go on
        failed = JobReturn(overrides=list(overrides), status=JobStatus.FAILED)
        failed.return_value = error
        return failed


def _plain(values: Any) -> dict[str, Any]:
    return dict(OmegaConf.to_container(values)) if OmegaConf.is_config(values) else dict(values)
