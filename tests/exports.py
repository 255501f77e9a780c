"""An export that several test modules, and all processes of a run of the tests, look at: writing it takes most of a minute."""

from pathlib import Path

import pytest
from filelock import FileLock

from dld_spotter.export import write
from dld_spotter.inference.checkpoint import load_checkpoint
from dld_spotter.inference.loading import predictor_of
from tests.small import LEVELS
from tests.trained import make_checkpoint


def small_export(factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A very small, untrained checkpoint with a selector, and the folder of its graphs. Nobody may change them."""
    base = factory.getbasetemp()
    if base.name.startswith("popen-"):  # of one process of several
        base = base.parent
    checkpoint, folder = base / "small_export.ckpt", base / "small_export"
    with FileLock(base / "small_export.lock"):
        if not folder.exists():
            make_checkpoint(checkpoint, full_resolution_crops=True, levels=LEVELS)
            known = load_checkpoint(checkpoint)
            write(known, predictor_of(known), base / "small_export_begun")
            (base / "small_export_begun").rename(folder)
    return checkpoint, folder
