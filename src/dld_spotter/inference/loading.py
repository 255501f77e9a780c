"""From a checkpoint, or the folder of an export, to a predictor."""

from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from dld_spotter.core.errors import ConfigError
from dld_spotter.data.photos import ReferenceSize
from dld_spotter.inference.onnx_backend import onnx_predictor
from dld_spotter.inference.onnx_meta import META
from dld_spotter.inference.pieces import PieceRule
from dld_spotter.inference.predictor import Predictor
from dld_spotter.selection.second_pass.rule import SecondPassRule

if TYPE_CHECKING:
    import torch

    from dld_spotter.inference.checkpoint import Checkpoint


def load(
    checkpoint: str | Path = "bundled",
    reference: ReferenceSize | None = None,
    device: "torch.device | str | None" = None,
    second_pass: SecondPassRule | None = None,
    vocabulary: str | Path | None = None,
    precision: str = "fp32",
    pieces: PieceRule | None = None,
) -> Predictor:
    """Load a spotter that reads images.

    Args:
        checkpoint: ``bundled`` or ``bundled_tiny``, which travel with the package; ``ppocr_small``, which needs the package
            rapidocr; a file that training left; or the folder of an export (``python -m dld_spotter.export``), which is read
            without torch.
        reference: rule for the reference resolution; None limits the longest side to 1280 pixels.
        device: where to read; None takes the GPU where there is one. An export reads on the CPU.
        second_pass: when and where to read again; None leaves it to the checkpoint.
        vocabulary: ``english``, a file of words, or ``none``; None leaves it to the checkpoint.
        precision: ``fp32``, ``bf16`` or ``auto``, see :class:`~dld_spotter.inference.torch_backend.TorchBackend`; an export has
            its own.
        pieces: which images are read in tiles, and whether turned text is looked for; None for tiles of long images alone.

    Raises:
        CheckpointError: the file is missing, damaged, or none of this package.
        ConfigError: the device or precision cannot be used, or the vocabulary be read.
    """
    if (Path(checkpoint) / META).is_file():
        if str(device) not in ("None", "cpu"):
            raise ConfigError(f"device={device} is none of an export, which reads on the CPU; leave it out")
        if precision not in ("fp32", "auto"):
            raise ConfigError(f"precision={precision} cannot be asked of an export, whose graphs have their own; leave it out")
        return onnx_predictor(checkpoint, reference, second_pass=second_pass, vocabulary=vocabulary, pieces=pieces)
    from dld_spotter.inference.checkpoint import load_checkpoint  # here, as an export is read without torch

    return predictor_of(load_checkpoint(checkpoint, vocabulary), reference, device, second_pass, precision, pieces)


def predictor_of(
    content: "Checkpoint",
    reference: ReferenceSize | None = None,
    device: "torch.device | str | None" = None,
    second_pass: SecondPassRule | None = None,
    precision: str = "fp32",
    pieces: PieceRule | None = None,
) -> Predictor:
    """Build the predictor that a checkpoint holds; arguments as of :func:`load`."""
    from dld_spotter.inference.torch_backend import TorchBackend, usable_device

    where = usable_device(device)
    known = content.second_pass()
    rule = second_pass.taught_by(known) if second_pass else known
    threshold = second_pass.gain_threshold if second_pass else inf
    backend = TorchBackend(content.spotter(), where, precision)
    return Predictor(backend, content.policy(where), rule, reference, threshold, content.score_scaling(), pieces)
