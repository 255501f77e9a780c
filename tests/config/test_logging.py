"""What the loggers say and ask."""

import os
import re
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from unittest.mock import Mock

import matplotlib as mpl
import pytest
import wandb
from wandb.errors import CommError

from dld_spotter.config import loggers

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
    environment["MPLCONFIGDIR"] = mpl.get_configdir()  # else it says that it builds its cache of fonts
    line = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    ended = subprocess.run(
        line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert len(list(tmp_path.glob("wandb/offline-run-*/*.wandb"))) == 1


@pytest.mark.parametrize("answers", ["never", "no", "not found"])
def test_a_server_of_weights_and_biases_that_is_out_of_reach_is_told(tmp_path, monkeypatch, caplog, answers):
    """One that accepts and never answers, one that refuses, and one that is there."""
    begun = []
    monkeypatch.setattr(wandb, "init", lambda **options: begun.append(options))
    monkeypatch.setattr(loggers, "WANDB_SECONDS", 0.5)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadingHTTPServer(("127.0.0.1", 0), NotFound) as there:
        Thread(target=there.serve_forever, daemon=True).start()
        port = {"never": silent.getsockname()[1], "no": 9, "not found": there.server_port}[answers]
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
        logger = loggers.wandb_logger("project", str(tmp_path))
        there.shutdown()
    assert logger._offline == (answers != "not found")
    assert ("W&B's server cannot be reached" in caplog.text) == logger._offline
    assert len(begun) == (not logger._offline)


def test_a_server_that_answers_and_does_not_take_the_run_is_told(tmp_path, monkeypatch, caplog):
    """As one does that does not know the key, and a proxy in its place."""
    refusal = CommError("Failed to get resume status: returned error 404\nand more")
    monkeypatch.setattr(wandb, "init", Mock(side_effect=refusal))
    monkeypatch.setattr(loggers, "_out_of_reach", lambda: "")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    logger = loggers.wandb_logger("project", str(tmp_path))
    assert logger._offline
    told = "cannot be reached (Failed to get resume status: returned error 404): this run is logged offline"
    assert told in caplog.text


def test_a_run_that_a_server_does_not_take_is_logged_to_its_end(tmp_path: Path):
    """With W&B's own client, which keeps what its environment said when it was first asked."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    environment |= {"HOME": str(tmp_path), "MPLCONFIGDIR": mpl.get_configdir(), "WANDB_API_KEY": "k" * 40}
    with ThreadingHTTPServer(("127.0.0.1", 0), NotFound) as there:
        Thread(target=there.serve_forever, daemon=True).start()
        environment["WANDB_BASE_URL"] = f"http://127.0.0.1:{there.server_port}"
        line = [sys.executable, "-c", SCRIPT, str(tmp_path)]
        ended = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, env=environment)
        there.shutdown()
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
    assert ended.stderr.count("\n") == 1
    assert re.search(r"cannot be reached \(.*returned error 404\): this run is logged offline", ended.stderr)
    assert len(list(tmp_path.glob("wandb/offline-run-*/*.wandb"))) == 1


class NotFound(BaseHTTPRequestHandler):
    """Answers everything with 404."""

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_error(404)

    do_POST = do_GET

    def log_message(self, *_):
        pass
