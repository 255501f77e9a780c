"""What the tests of sweeps share."""

import pytest

from dld_spotter.config import assembly
from tests.config.test_sweep import result


@pytest.fixture
def jobs(monkeypatch):
    """Jobs that end at once, in place of trainings: the seeds that were run, and the errors of those that fail, by seed."""
    ran, broken = [], {}

    def run(config, folder, record):
        assembly.settle_precision(config)
        assembly.save_config(config, folder)
        ran.append(config.seed)
        if config.seed in broken:
            raise broken[config.seed]
        result(config.seed / 10).write(folder / "tradeoff.json")
        return config.seed / 10

    monkeypatch.setattr("dld_spotter.train.run", run)
    return ran, broken
