"""Readers that look twice: a spotter under a rule of escalation."""

from collections.abc import Sequence
from dataclasses import replace
from math import isinf
from typing import Protocol

import numpy as np
import torch
from torch import nn

from dld_spotter.budget.cap import Limit
from dld_spotter.budget.cost import FlopCost
from dld_spotter.core.batches import Look, View, Word
from dld_spotter.core.words import Cost
from dld_spotter.data.views import make_view
from dld_spotter.inference.second_pass.two_pass import look_twice
from dld_spotter.models.detections import Glance
from dld_spotter.models.spotter import Spotter
from dld_spotter.selection.second_pass.rule import Escalation


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

    def __init__(self, spotter: Spotter, rule: Escalation, cost: Cost | None = None) -> None:
        super().__init__()
        self.spotter, self.rule, self.cost = spotter, rule, cost or FlopCost(spotter).cost

    @torch.inference_mode()
    def looks(self, view: View, prices: Sequence[float] | None = None, limits: Sequence[Limit] | None = None) -> list[Look]:
        """Find and read the words of B images, whose reference is in ``view.close``; that itself is read once.

        Args:
            view: the first look.
            prices: of a second one at each image, in place of the rule's own.
            limits: what each image may cost at most.
        """
        prices = [self.rule.price] * len(view.sizes) if prices is None else prices
        most, wholes = most_words(view, limits), (view.close or view).sizes.tolist()
        glances = self.spotter.find(view)
        once = [k for k, glance in enumerate(glances) if list(glance.size) == wholes[k] or isinf(prices[k])]
        read = self.spotter.read_all([glances[k] for k in once], most and [most[k] for k in once])
        looks = dict(zip(once, read, strict=True))
        for k, (height, width) in enumerate(wholes):
            if k not in looks:
                reference = view.close.images[k, :, :height, :width].permute(1, 2, 0).contiguous().cpu().numpy()
                asked = (glances[k], reference, self.rule, prices[k], self.cost, self._find, self._read)
                looks[k] = look_twice(*asked, limits and limits[k])
        return [looks[k] for k in range(len(glances))]

    def spot(self, view: View) -> list[list[Word]]:
        """Find and read the words of B images; polygons in reference pixels."""
        return [look.words for look in self.looks(view)]

    def _find(self, image: np.ndarray, scale: float) -> Glance:
        return find_again(self.spotter, image, scale)

    def _read(self, glance: Glance, which: np.ndarray) -> list[Word]:
        return self.spotter.read([glance], [which])[0]


def find_again(spotter: Spotter, image: np.ndarray, scale: float) -> Glance:
    """Look at an image, or at a sheet, ``(H, W, 3)``, at a scale of it."""
    view, close = (make_view([image], size, spotter.stride) for size in (scale, 1.0))
    device = next(spotter.parameters()).device
    return spotter.find(replace(view, close=close).to(device))[0]


def most_words(view: View, limits: Sequence[Limit] | None) -> list[int] | None:
    """How many words of each image of a view can be read."""
    return limits and [max(0, limit.words(size)) for limit, size in zip(limits, view.sizes.tolist(), strict=True)]


def look(reader: Reads, view: View, prices: Sequence[float] | None = None, limits: Sequence[Limit] | None = None) -> list[Look]:
    """Read B images, once or twice as the reader does: a spotter, one with a second look, or an engine."""
    if isinstance(reader, SecondLook):
        return reader.looks(view, prices, limits)
    if isinstance(reader, Spotter):
        return reader.inspect(view, most_words(view, limits))
    sizes = [tuple(size) for size in view.sizes.tolist()]
    return [Look(words, (size,), (len(words),)) for words, size in zip(reader.spot(view), sizes, strict=True)]
