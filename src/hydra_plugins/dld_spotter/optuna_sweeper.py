"""Searches settings with Optuna, several trials at a time over any launcher.

hydra-optuna-sweeper does the same with Optuna 2, which no longer runs beside the numpy and SQLAlchemy of now.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import rich
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from dld_spotter.core.errors import ConfigError
from dld_spotter.core.extras import required

RESULTS = "optimization_results.yaml"


class OptunaSweeper(Sweeper):
    """Ask Optuna for trials, run them as jobs, and tell it their scores.

    The same seed asks for the same trials once the same scores were told, so that ``resume=true`` goes on as with any sweep.

    Args:
        n_trials: how many jobs to run.
        n_jobs: how many of them at a time; one that fails is told as such and not repeated.
        direction: ``maximize`` or ``minimize`` what a job returns.
        seed: of the sampler (TPE).
        startup: trials drawn at random before the sampler learns from them.
        params: setting -> ``interval(a,b)``, ``tag(log,interval(a,b))``, ``range(a,b,step)`` or ``choice(a,b,c)``.
    """

    def __init__(
        self, n_trials: int, n_jobs: int, direction: str, seed: int, startup: int, params: Mapping[str, str] | None
    ) -> None:
        self.n_trials, self.n_jobs, self.direction, self.seed, self.startup = n_trials, n_jobs, direction, seed, startup
        self.params = dict(params or {})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives a sweeper."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run the trials; the best one's score and settings go to ``optimization_results.yaml``.

        Raises:
            ConfigError: nothing is searched, or something that cannot be.
        """
        optuna = required("optuna", "optuna", "hydra/sweeper=optuna")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = {o.get_key_element(): o for o in parser.parse_overrides([f"{k}={v}" for k, v in self.params.items()])}
        overrides |= {o.get_key_element(): o for o in parser.parse_overrides(arguments)}  # the command line replaces the preset
        searched = {key: distribution(optuna, o) for key, o in overrides.items() if o.is_sweep_override()}
        if not searched:
            raise ConfigError("nothing is searched; give such as 'objective.weights.cost=interval(0.01,1)'")
        fixed = [f"{key}={o.get_value_element_as_str()}" for key, o in overrides.items() if not o.is_sweep_override()]
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        sampler = optuna.samplers.TPESampler(seed=self.seed, n_startup_trials=self.startup)
        study = optuna.create_study(direction=self.direction, sampler=sampler)
        self.failed = optuna.trial.TrialState.FAIL
        done: list[JobReturn] = []
        while len(done) < self.n_trials:
            done += self._batch(study, searched, fixed, len(done))
        if not study.get_trials(states=[optuna.trial.TrialState.COMPLETE]):
            return done[0].return_value  # raises what went wrong
        best = {"score": study.best_value, "job": study.best_trial.number, "settings": study.best_params}
        OmegaConf.save(OmegaConf.create(best), folder / RESULTS)
        rich.print(f"best of {len(done)} trials is job {best['job']}, score {best['score']:.4g}: {best['settings']}")
        return best

    def _batch(self, study: Any, searched: dict[str, Any], fixed: list[str], begun: int) -> Sequence[JobReturn]:
        """Run the next few trials."""
        trials = [study.ask(searched) for _ in range(min(self.n_jobs, self.n_trials - begun))]
        jobs = [fixed + [f"{key}={value}" for key, value in trial.params.items()] for trial in trials]
        results = self.launcher.launch(jobs, initial_job_idx=begun)
        for trial, result in zip(trials, results, strict=True):
            score = result.return_value if result.status is JobStatus.COMPLETED else None
            if isinstance(score, int | float) and isfinite(score):
                study.tell(trial, float(score))
            else:
                study.tell(trial, state=self.failed)
        return results


def distribution(optuna: Any, override: Override) -> Any:
    """The values of one setting, as Optuna has them.

    Raises:
        ConfigError: it is none of what is searched over.
    """
    value = override.value()
    if override.is_choice_sweep():
        return optuna.distributions.CategoricalDistribution([_plain(one) for one in override.sweep_string_iterator()])
    log = "log" in getattr(value, "tags", ())
    if override.is_interval_sweep():
        whole = isinstance(value.start, int) and isinstance(value.end, int)
        kind = optuna.distributions.IntDistribution if whole else optuna.distributions.FloatDistribution
        return kind(value.start, value.end, log=log)
    if override.is_range_sweep():
        values = [_plain(one) for one in override.sweep_string_iterator()]
        return optuna.distributions.CategoricalDistribution(values)
    raise ConfigError(f"{override.input_line} cannot be searched over; give choice(...), range(...) or interval(...)")


def _plain(value: Any) -> bool | int | float | str:
    """A value of the command line as Optuna keeps it."""
    return value if isinstance(value, bool | int | float) else str(value)
