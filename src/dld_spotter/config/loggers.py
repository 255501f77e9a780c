"""Loggers of a run, as the options of ``logger`` name them."""

import logging
import os
from http.client import HTTPException
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch.loggers import TensorBoardLogger

from dld_spotter.core.extras import required
from dld_spotter.training.wandb_run import RunLogger

WANDB_HOST = "api.wandb.ai"
WANDB_SECONDS = 5.0
OFFLINE = ("offline", "dryrun")
"""Values of WANDB_MODE; Lightning itself sets the second, which the next run of a sweep finds."""


def wandb_logger(
    project: str, save_dir: str, group: str | None = None, pictures: int = 8, checkpoint: bool = False, **options: Any
) -> RunLogger:
    """Log to Weights & Biases: online where the user is logged in and the server takes the run, else offline; no prompt."""
    os.environ.setdefault("WANDB_SILENT", "true")
    mode = os.environ.get("WANDB_MODE") or ("online" if _logged_in() else "offline")
    given = options | {"project": project, "save_dir": save_dir, "group": group or _sweep()}
    if mode == "online":
        logger = _run_logger(given | {"offline": False}, pictures, checkpoint)
        if not (reason := _out_of_reach() or _refused(logger)):
            return logger
        logging.getLogger(__name__).warning(
            "W&B's server cannot be reached (%s): this run is logged offline, in %s/wandb, and `wandb sync` sends it later",
            reason,
            save_dir,
        )
        mode = "offline"
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # W&B's own reports would go over the network even so
    if mode in OFFLINE:  # said twice, as W&B reads its environment once, and may have been asked for a run online before
        return _run_logger(given | {"offline": True, "mode": "offline"}, pictures, checkpoint)
    return _run_logger(given | ({"mode": "disabled"} if mode == "disabled" else {}), pictures, checkpoint)


def _run_logger(options: dict[str, Any], pictures: int, checkpoint: bool) -> RunLogger:
    logger = RunLogger(options, pictures, checkpoint)
    logger._wandb_init.pop("anonymous", None)  # Lightning passes on what W&B answers with a warning in every run
    return logger


def _refused(logger: RunLogger) -> str:
    """Why the server does not take a run: it may answer, and not know the key, or be a proxy's; empty where it does."""
    from wandb.errors import Error

    try:
        logger.experiment  # noqa: B018  asking for it begins the run
    except Error as error:
        return str(error).partition("\n")[0].partition(": {")[0]  # without what the server sent
    return ""


def tensorboard_logger(save_dir: str) -> TensorBoardLogger:
    """Log to files of TensorBoard.

    Raises:
        ConfigError: it is not installed.
    """
    required("tensorboard", "tensorboard", "logger=tensorboard")
    return TensorBoardLogger(save_dir, name="", version="tensorboard")


def _sweep() -> str | None:
    """Name of the sweep that this run belongs to; its runs are grouped by it."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    return Path(HydraConfig.get().sweep.dir).name


def _out_of_reach() -> str:
    """Why W&B's server cannot be asked within seconds, its own client waiting for minutes; empty where it answers."""
    server = os.environ.get("WANDB_BASE_URL") or f"https://{WANDB_HOST}"
    try:
        urlopen(server, timeout=WANDB_SECONDS).close()
    except HTTPError:  # which is an answer, too
        return ""
    except (OSError, ValueError, HTTPException) as error:
        return f"{server}: {getattr(error, 'reason', error)}"
    return ""


def _logged_in() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc().authenticators(WANDB_HOST) is not None
    except (FileNotFoundError, NetrcParseError):
        return False
