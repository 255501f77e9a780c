"""What the loggers say and ask."""

import os
import socket
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


def test_a_server_of_weights_and_biases_that_is_out_of_reach_is_told_within_seconds(tmp_path: Path):
    """A port that accepts and never answers, and one that refuses."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (silent.getsockname()[1], 9):
            environment = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
            environment |= {"HOME": str(tmp_path), "WANDB_API_KEY": "k" * 40, "WANDB_BASE_URL": f"http://127.0.0.1:{port}"}
            line = [sys.executable, "-c", SCRIPT, str(tmp_path / str(port))]
            (tmp_path / str(port)).mkdir()
            ended = subprocess.run(
                line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, env=environment, cwd=tmp_path
            )
            assert ended.returncode == 0, ended.stderr
            assert "W&B's server cannot be reached" in ended.stderr
            assert len(ended.stderr.splitlines()) == 1
            assert list(tmp_path.glob(f"{port}/wandb/offline-run-*/*.wandb"))
