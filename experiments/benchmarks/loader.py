"""How long does a training step wait for its batch? Trains a spotter for some steps, as the default run does.

python experiments/benchmarks/loader.py --steps 40 --workers 2 [data=dense data.batch_size=4 ...]
"""

import argparse
import logging
import sys
import tempfile
import warnings

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from lightning import Trainer
from lightning.pytorch.profilers import SimpleProfiler
from omegaconf import DictConfig

from dld_spotter.config.assembly import build_data, build_dld_module, build_teacher_module, create
from dld_spotter.config.entry import ROOT

WAIT, STEP = "[_TrainingEpochLoop].train_dataloader_next", "run_training_batch"
MOST_WAITING = 0.05


class Recorder(SimpleProfiler):
    """Keeps the seconds of every action, and prints no table of its own."""

    def describe(self) -> None:
        """Print nothing."""


def composed(folder: str, overrides: list[str]) -> DictConfig:
    """Compose the configuration of a training that writes to ``folder``."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [*overrides, f"hydra.runtime.output_dir={folder}"], return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    return config


def measure(config: DictConfig, stage: str, steps: int, warm_up: int) -> tuple[np.ndarray, np.ndarray]:
    """Train for ``warm_up`` steps and ``steps`` more; return the seconds that each of the latter waited and computed."""
    data = build_data(config, stage)
    teacher = create(config.model.teacher)
    build = {"teacher": build_teacher_module, "distillation": build_dld_module}[stage]
    profiler = Recorder()
    with tempfile.TemporaryDirectory() as folder:
        trainer: Trainer = create(
            config.trainer,
            max_steps=warm_up + steps,
            limit_val_batches=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            profiler=profiler,
            default_root_dir=folder,
        )
        trainer.fit(build(config, teacher), datamodule=data)
    recorded = profiler.recorded_durations
    return tuple(np.array(recorded[action][warm_up : warm_up + steps]) for action in (WAIT, STEP))


def main() -> int:
    """Print a row for each stage; exit status 1 where waiting takes more than ``MOST_WAITING`` of the time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40, help="steps measured (default: %(default)s)")
    parser.add_argument("--warm-up", type=int, default=5, help="steps before, while workers start (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="loader processes (default: %(default)s)")
    parser.add_argument("--stages", nargs="+", default=["teacher", "distillation"], help="(default: both)")
    options, overrides = parser.parse_known_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    worst = 0.0
    print(f"{'stage':14} {'steps':>6} {'seconds each':>13} {'waiting':>9} {'share':>7}")
    with tempfile.TemporaryDirectory() as folder:
        config = composed(folder, [*overrides, f"data.workers={options.workers}"])
        for stage in options.stages:
            waits, steps = measure(config, stage, options.steps, options.warm_up)
            share = waits.sum() / (waits.sum() + steps.sum())
            worst = max(worst, share)
            print(f"{stage:14} {len(steps):6} {steps.mean():13.3f} {waits.mean():9.3f} {share:7.1%}", flush=True)
    return 0 if worst <= MOST_WAITING else 1


if __name__ == "__main__":
    sys.exit(main())
