"""Reading photos with a trained student at the resolution its selector chooses."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import torch

from dld_spotter.budget.cap import CostCap
from dld_spotter.budget.controller import Calibration
from dld_spotter.budget.cost import FlopCost, identify, selector_gflops
from dld_spotter.core.errors import ConfigError
from dld_spotter.core.words import SpottingResult
from dld_spotter.data.photos import ReferenceSize, to_array
from dld_spotter.data.views import make_thumbnails, make_view, resize
from dld_spotter.inference.checkpoint import Checkpoint, load_checkpoint
from dld_spotter.inference.predictor import PhotoReader, Reading
from dld_spotter.inference.second_pass.reader import SecondLook, look
from dld_spotter.models.spotter import Spotter
from dld_spotter.selection.operating_points import OperatingPointPolicy, rule_of
from dld_spotter.selection.second_pass.rule import SecondPassRule
from dld_spotter.selection.selectors import Selector, folded

__all__ = ["DynamicSpotter", "Reading", "load", "to_array", "usable_device"]


class DynamicSpotter(PhotoReader):
    """A spotter with its selector.

    Args:
        spotter: reads.
        selector: chooses the scale; None reads at 1.0 unless a scale is given.
        thumbnail: side of the image that the selector sees.
        reference: rule for the reference resolution; the longest side is limited, so that large photos stay affordable.
        device: where to read; None takes the GPU where there is one.
        calibration: what the selector's cost weights spend; None where budgets are not asked for.
        escalation: when and where to look again; None leaves it to the selector, of which most know one look alone.
    """

    def __init__(
        self,
        spotter: Spotter,
        selector: Selector | None,
        thumbnail: int = 128,
        reference: ReferenceSize | None = None,
        device: torch.device | str | None = None,
        calibration: Calibration | None = None,
        escalation: SecondPassRule | None = None,
    ) -> None:
        self.device = usable_device(device)
        self.spotter = spotter.eval().to(self.device)
        self.reader = SecondLook(self.spotter, rule_of(selector, escalation))
        self.price = escalation.price if escalation else inf
        self.selector = folded(selector).to(self.device) if selector else None
        self.scales = selector.scales if selector else ()
        self.ladder = selector.ladder if isinstance(selector, OperatingPointPolicy) else None
        self.thumbnail = thumbnail
        self.reference = reference or ReferenceSize(long=1280)
        self.calibration = calibration
        self.flops = FlopCost(spotter)
        self.offers: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] = {}
        self.selector_gflops = selector_gflops(selector, thumbnail) if selector else 0.0

    @property
    def has_selector(self) -> bool:
        """See :class:`PhotoReader`."""
        return self.selector is not None

    def check_gamma(self, gamma: float) -> None:
        """See :meth:`PhotoReader.check_gamma`."""
        self.selector.check(gamma)

    def resize(self, image: np.ndarray, height: int, width: int) -> np.ndarray:
        """See :meth:`PhotoReader.resize`."""
        return resize(image, height, width)

    def price_for(self, gamma: float | None = None) -> float:
        """See :meth:`PhotoReader.price_for`."""
        return self.selector.price(gamma) if isinstance(self.selector, OperatingPointPolicy) else self.price

    def spot(
        self, references: Sequence[np.ndarray], scale: float, prices: Sequence[float], limit: CostCap | None = None
    ) -> list[SpottingResult]:
        """See :meth:`PhotoReader.spot`."""
        view, close = (make_view(references, size, self.spotter.stride) for size in (scale, 1.0))
        limits = limit and [limit] * len(references)
        return look(self.reader, replace(view, full=close).to(self.device), prices, limits)

    def gflops(self, height: int, width: int, words: int) -> float:
        """See :meth:`PhotoReader.gflops`."""
        return self.flops.cost(height, width, words)

    def identity(self) -> tuple[str, str, int]:
        """See :meth:`PhotoReader.identity`."""
        return identify(self.spotter)

    @torch.inference_mode()
    def choose(self, reference: np.ndarray, gamma: float | None = None) -> float:
        """Scale that the selector chooses for a reference image ``(H, W, 3)``."""
        if isinstance(self.selector, OperatingPointPolicy):
            return self.selector.step(gamma).scale
        thumbnails = make_thumbnails([reference], self.thumbnail).to(self.device)
        sizes, costs = self._offers(*reference.shape[:2])
        return self.selector.scales[int(self.selector.choose(thumbnails, sizes, costs, gamma)[0])]

    def _offers(self, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """What a selector chooses from for an image: its size ``(1, 2)`` and the relative cost ``(1, K)`` of every scale."""
        if (height, width) not in self.offers:
            sizes = torch.tensor([[height, width]], device=self.device)
            self.offers[height, width] = sizes, self.flops.relative(sizes, self.selector.scales)
        return self.offers[height, width]


def usable_device(device: torch.device | str | None = None) -> torch.device:
    """The device of that name, by default the GPU where there is one; raises ConfigError if it cannot be used."""
    try:
        return torch.zeros(0, device=device or ("cuda" if torch.cuda.is_available() else "cpu")).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"device={device} cannot be used ({reason}); leave it out or give device=cpu") from error


def load(
    checkpoint: str | Path = "bundled",
    reference: ReferenceSize | None = None,
    device: torch.device | str | None = None,
    escalation: SecondPassRule | None = None,
    vocabulary: str | Path | None = None,
) -> DynamicSpotter:
    """Load a spotter that reads photos.

    Args:
        checkpoint: ``bundled``, or a file.
        reference: see :class:`DynamicSpotter`.
        device: same.
        escalation: same.
        vocabulary: ``english``, a file of words, or ``none``; None leaves it to the checkpoint.

    Raises:
        CheckpointError: the file is missing, damaged, or none of this package.
        ConfigError: the device cannot be used, or the vocabulary be read.
    """
    return reader_of(load_checkpoint(checkpoint, vocabulary), reference, device, escalation)


def reader_of(
    content: Checkpoint,
    reference: ReferenceSize | None = None,
    device: torch.device | str | None = None,
    escalation: SecondPassRule | None = None,
) -> DynamicSpotter:
    """Build the reader that a checkpoint holds."""
    facts = content.provenance
    selector = content.selector()
    if isinstance(selector, OperatingPointPolicy):
        known = selector.ladder.calibration
    else:
        known = Calibration.read(facts["calibration"], str(content.path)) if "calibration" in facts else None
    return DynamicSpotter(content.spotter(), selector, facts["thumbnail"], reference, device, known, escalation)
