"""What the loggers say and ask."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from dld_spotter.config.loggers import wandb_logger
logger = wandb_logger("project", sys.argv[1])
logger.log_metrics({"loss": 1.0}, step=0)
logger.experiment.finish()
"""


def test_weights_and_biases_without_an_account_is_offline_and_silent(tmp_path: Path):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    environment |= {"HOME": str(tmp_path), "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    line = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    ended = subprocess.run(
        line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert len(list(tmp_path.glob("wandb/offline-run-*/*.wandb"))) == 1
