"""Readers that look twice: a spotter under a rule of escalation."""

from collections.abc import Sequence
from dataclasses import replace
from math import isinf
from typing import Protocol

import numpy as np
import torch
from torch import nn

from dld_spotter.budget.cap import CostCap
from dld_spotter.budget.cost import FlopCost
from dld_spotter.core.batches import SpottingResult, View, Word
from dld_spotter.core.words import Cost
from dld_spotter.data.views import make_view
from dld_spotter.inference.second_pass.two_pass import read_in_two_passes
from dld_spotter.models.detections import Detections
from dld_spotter.models.spotter import Spotter
from dld_spotter.selection.second_pass.rule import SecondPassRule


class Reads(Protocol):
    """What finds and reads the words of a view."""

    def spot(self, view: View) -> list[list[Word]]:
        """Find and read the words of B images; polygons in reference pixels."""


class SecondLook(nn.Module):
    """A spotter that looks twice.

    Args:
        spotter: reads both times.
        rule: when and where it looks again.
        cost: of a view; None counts GFLOP.
    """

    def __init__(self, spotter: Spotter, rule: SecondPassRule, cost: Cost | None = None) -> None:
        super().__init__()
        self.spotter, self.rule, self.cost = spotter, rule, cost or FlopCost(spotter).cost

    @torch.inference_mode()
    def results(
        self, view: View, prices: Sequence[float] | None = None, limits: Sequence[CostCap] | None = None
    ) -> list[SpottingResult]:
        """Find and read the words of B images, whose reference is in ``view.full``; that itself is read once.

        Args:
            view: the first look.
            prices: of a second one at each image, in place of the rule's own.
            limits: what each image may cost at most.
        """
        prices = [self.rule.price] * len(view.sizes) if prices is None else prices
        most, wholes = most_words(view, limits), (view.full or view).sizes.tolist()
        all_detections = self.spotter.find(view)
        once = [k for k, detections in enumerate(all_detections) if list(detections.size) == wholes[k] or isinf(prices[k])]
        read = self.spotter.read_all([all_detections[k] for k in once], most and [most[k] for k in once])
        results = dict(zip(once, read, strict=True))
        for k, (height, width) in enumerate(wholes):
            if k not in results:
                reference = view.full.images[k, :, :height, :width].permute(1, 2, 0).contiguous().cpu().numpy()
                asked = (all_detections[k], reference, self.rule, prices[k], self.cost, self._find, self._read)
                results[k] = read_in_two_passes(*asked, limits and limits[k])
        return [results[k] for k in range(len(all_detections))]

    def spot(self, view: View) -> list[list[Word]]:
        """Find and read the words of B images; polygons in reference pixels."""
        return [look.words for look in self.results(view)]

    def _find(self, image: np.ndarray, scale: float) -> Detections:
        return find_again(self.spotter, image, scale)

    def _read(self, detections: Detections, which: np.ndarray) -> list[Word]:
        return self.spotter.read([detections], [which])[0]


def find_again(spotter: Spotter, image: np.ndarray, scale: float) -> Detections:
    """Look at an image, or at a sheet, ``(H, W, 3)``, at a scale of it."""
    view, close = (make_view([image], size, spotter.stride) for size in (scale, 1.0))
    device = next(spotter.parameters()).device
    return spotter.find(replace(view, full=close).to(device))[0]


def most_words(view: View, limits: Sequence[CostCap] | None) -> list[int] | None:
    """How many words of each image of a view can be read."""
    return limits and [max(0, limit.words(size)) for limit, size in zip(limits, view.sizes.tolist(), strict=True)]


def look(
    reader: Reads, view: View, prices: Sequence[float] | None = None, limits: Sequence[CostCap] | None = None
) -> list[SpottingResult]:
    """Read B images, once or twice as the reader does: a spotter, one with a second look, or an engine."""
    if isinstance(reader, SecondLook):
        return reader.results(view, prices, limits)
    if isinstance(reader, Spotter):
        return reader.inspect(view, most_words(view, limits))
    sizes = [tuple(size) for size in view.sizes.tolist()]
    return [SpottingResult(words, (size,), (len(words),)) for words, size in zip(reader.spot(view), sizes, strict=True)]
