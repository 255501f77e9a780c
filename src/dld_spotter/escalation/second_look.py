"""Readers that look twice: a spotter under a rule of escalation."""

from collections.abc import Sequence
from dataclasses import replace
from math import isinf
from typing import Protocol

import numpy as np
import torch
from torch import nn

from dld_spotter.cost import FlopCost
from dld_spotter.data.views import make_view
from dld_spotter.escalation import Escalation, look_again
from dld_spotter.limit import Limit
from dld_spotter.models.spotter import Spotter
from dld_spotter.structures import Look, View, Word
from dld_spotter.word import Cost


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
        firsts, probabilities = self.spotter.inspect(view, most_words(view, limits))
        whole = view.close.sizes.tolist() if view.close else view.sizes.tolist()
        looks = []
        for place, (first, size, price) in enumerate(zip(firsts, view.sizes.tolist(), prices, strict=True)):
            if size == whole[place] or isinf(price):
                looks.append(first)
                continue
            height, width = whole[place]
            reference = view.close.images[place, :, :height, :width].permute(1, 2, 0).contiguous().cpu().numpy()
            limit = limits and limits[place]
            looks.append(look_again(first, probabilities[place], reference, self.rule, price, self.cost, self._read, limit))
        return looks

    def spot(self, view: View) -> list[list[Word]]:
        """Find and read the words of B images; polygons in reference pixels."""
        return [look.words for look in self.looks(view)]

    def _read(self, image: np.ndarray, scale: float, most: int | None) -> Look:
        return read_again(self.spotter, image, scale, most)


def read_again(spotter: Spotter, image: np.ndarray, scale: float, most: int | None = None) -> Look:
    """A look at a scale of an image, or of a sheet, ``(H, W, 3)``; so many words are read of it at most."""
    view, close = (make_view([image], size, spotter.stride) for size in (scale, 1.0))
    device = next(spotter.parameters()).device
    return spotter.inspect(replace(view, close=close).to(device), None if most is None else [most])[0][0]


def most_words(view: View, limits: Sequence[Limit] | None) -> list[int] | None:
    """How many words of each image of a view can be read."""
    return limits and [max(0, limit.words(size)) for limit, size in zip(limits, view.sizes.tolist(), strict=True)]


def look(reader: Reads, view: View, prices: Sequence[float] | None = None, limits: Sequence[Limit] | None = None) -> list[Look]:
    """Read B images, once or twice as the reader does: a spotter, one with a second look, or an engine."""
    if isinstance(reader, SecondLook):
        return reader.looks(view, prices, limits)
    if isinstance(reader, Spotter):
        return reader.inspect(view, most_words(view, limits))[0]
    sizes = [tuple(size) for size in view.sizes.tolist()]
    return [Look(words, (size,), (len(words),)) for words, size in zip(reader.spot(view), sizes, strict=True)]
