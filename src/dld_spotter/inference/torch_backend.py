"""Reads with a spotter of this package in torch."""

import os
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch

from dld_spotter.budget.cost import FlopCost, identify
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.memory import keep_pages
from dld_spotter.core.precision import computes_in_half, has_half_instructions
from dld_spotter.core.words import Word
from dld_spotter.data.views import make_view, resize
from dld_spotter.inference.backend import Backend
from dld_spotter.models.detections import Detections
from dld_spotter.models.folding import folded
from dld_spotter.models.spotter import Spotter
from dld_spotter.models.vocabulary import Vocabulary

PRECISIONS = ("auto", "bf16", "fp32")


_opencv_threads: list[int] = []
"""How many threads OpenCV had when this process began to fork."""


def _before_fork() -> None:
    """End OpenCV's threads: in a process that is forked they are missing, and it would wait for them for ever to end them."""
    _opencv_threads.append(cv2.getNumThreads())
    cv2.setNumThreads(1)


def _after_fork_in_parent() -> None:
    cv2.setNumThreads(_opencv_threads.pop())


def _after_fork_in_child() -> None:
    """Compute in one thread, as OpenCV does already: torch's helpers are missing too."""
    _opencv_threads.clear()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


class TorchBackend(Backend):
    """A spotter on a device.

    Args:
        spotter: a copy of it reads, see :func:`~dld_spotter.models.folding.folded`: what is changed in it later is not seen,
            and the copy's weights do not go back into a checkpoint.
        device: where to; None leaves it where it is.
        precision: ``fp32``; ``bf16``, where words are detected and encoded in bfloat16, and decoded in single precision;
            ``auto`` is ``bf16`` on CPUs that have instructions for it, and ``fp32`` elsewhere.

    Raises:
        ConfigError: there is no such precision, or the device does not compute in it.
    """

    def __init__(self, spotter: Spotter, device: torch.device | None = None, precision: str = "fp32") -> None:
        keep_pages()
        self.spotter = folded(spotter) if device is None else folded(spotter).to(device)
        self.flops = FlopCost(spotter)
        self.half = reads_in_half(precision, self.device)

    @property
    def device(self) -> torch.device:
        """Where it reads."""
        return next(self.spotter.parameters()).device

    @property
    def vocabulary(self) -> Vocabulary | None:
        """Words that readings are weighed against."""
        return self.spotter.vocabulary

    def describe(self) -> str:
        """Family of the spotter, and what words it knows."""
        known = f", vocabulary {self.vocabulary.name}" if self.vocabulary else ""
        return type(self.spotter).__name__ + known + (", bfloat16" if self.half else "")

    def identity(self) -> tuple[str, str, int]:
        """See :meth:`Backend.identity`."""
        weights, device, threads = identify(self.spotter)
        return weights, f"{device} bf16" if self.half else device, threads

    def cost(self, height: int, width: int, words: float) -> float:
        """GFLOP of a view."""
        return self.flops.cost(height, width, words)

    def resize(self, image: np.ndarray, height: int, width: int) -> np.ndarray:
        """See :meth:`Backend.resize`."""
        return resize(image, height, width)

    def detect(self, images: Sequence[np.ndarray], scale: float, keep_all: bool = False) -> list[Detections]:
        """See :meth:`Backend.detect`; the full resolution stays at hand for spotters that crop words from there."""
        view = make_view(images, scale, self.spotter.stride)
        if scale != 1.0 and self.spotter.full_resolution_crops:
            view = replace(view, full=make_view(images, 1.0, self.spotter.stride))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            return self.spotter.detect(view.to(self.device), keep_all)

    def recognize(self, detections: Sequence[Detections], which: Sequence[np.ndarray]) -> list[list[Word]]:
        """See :meth:`Backend.recognize`."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            return self.spotter.recognize(detections, which)


def reads_in_half(precision: str, device: torch.device) -> bool:
    """Whether ``precision`` means bfloat16 on a device, see :class:`TorchBackend`."""
    if precision not in PRECISIONS:
        raise ConfigError(f"precision={precision} is unknown; give one of {', '.join(PRECISIONS)}")
    if precision == "auto":
        return device.type == "cpu" and has_half_instructions()
    if precision == "bf16" and not computes_in_half(device.type):
        raise ConfigError(f"precision=bf16 needs a GPU or a CPU that computes in bfloat16, {device.type} does not; give fp32")
    return precision == "bf16"


def usable_device(device: torch.device | str | None = None) -> torch.device:
    """The device of that name, by default the GPU where there is one; raises ConfigError if it cannot be used."""
    try:
        return torch.zeros(0, device=device or ("cuda" if torch.cuda.is_available() else "cpu")).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"device={device} cannot be used ({reason}); leave it out or give device=cpu") from error
