"""The student that ``fit_*`` commands are given."""

from collections.abc import Sequence

import lightning
from omegaconf import DictConfig, open_dict

from dld_spotter.config import assembly
from dld_spotter.core.errors import CheckpointError, ConfigError
from dld_spotter.inference.checkpoint import Checkpoint, load_checkpoint
from dld_spotter.inference.torch_backend import usable_device
from dld_spotter.models.spotter import Spotter


def given_student(config: DictConfig, counts: Sequence[str]) -> tuple[Checkpoint, Spotter]:
    """Load the checkpoint of ``ckpt`` and its student, on the device of the configuration, which takes over its settings.

    Args:
        config: of the entry point; all but the size of the thumbnails is the student's afterwards.
        counts: keys of whole numbers of at least 1.

    Raises:
        CheckpointError: there is no student.
        ConfigError: a count is none.
    """
    for key in counts:
        if not isinstance(config[key], int) or config[key] < 1:
            raise ConfigError(f"{key}={config[key]} must be a whole number of at least 1")
    checkpoint = load_checkpoint(config.ckpt, config.vocabulary)
    if "student" not in checkpoint.parts():
        raise CheckpointError(f"{checkpoint.path} holds no student to fit to; give the student.ckpt of a training")
    thumbnail = config.thumbnail
    assembly.adopt(config, checkpoint)
    config.thumbnail = thumbnail
    with open_dict(config):
        config.model = {"student": checkpoint.config("student")}
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    return checkpoint, checkpoint.build("student").to(usable_device(config.device))
